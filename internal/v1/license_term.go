package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// An ExtendRequest moves the end of a license to Until, or By a length after
// its present end.
type ExtendRequest struct {
	Until  time.Time        `json:"until,omitzero"`
	By     licensing.Length `json:"by,omitzero"`
	Reason string           `json:"reason,omitempty"`
}

// A RenewRequest asks for one more term after the one that ends at After. Paid says
// that it was paid for.
type RenewRequest struct {
	After  time.Time `json:"after" doc:"The end of the term to renew: the license's term_end where it was extended, and else its end, or the maintenance of a license without an end. A term that was renewed before is not renewed again: the answer is the license as it is."`
	Paid   bool      `json:"paid,omitempty" doc:"The term is paid for: a license marked unpaid is renewed and marked paid."`
	Reason string    `json:"reason,omitempty"`
}
