package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// An ExtendRequest moves the end of a license to Until, or by the length By from
// its current end.
type ExtendRequest struct {
	Until  time.Time        `json:"until,omitzero"`
	By     licensing.Length `json:"by,omitzero"`
	Reason string           `json:"reason,omitempty"`
}

// A RenewRequest requests one more term after the one that ends at After. Paid reports
// that the term is paid for.
type RenewRequest struct {
	After  time.Time `json:"after" doc:"The end of the term to renew: the license's term_end if it was extended, otherwise its end, or the maintenance date of a license without an end. A term that was already renewed is not renewed again, and the answer is the unchanged license."`
	Paid   bool      `json:"paid,omitempty" doc:"Whether the term is paid for. If so, a license marked unpaid is renewed and marked paid."`
	Reason string    `json:"reason,omitempty"`
}
