package entry

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Customer is the log's record of a customer that was created or changed. Names and addresses stay out of the log.
type Customer struct {
	Reference string `json:"reference,omitempty"`
}

// A LicenseKey is the log's record of a license key that was added or rotated.
type LicenseKey struct {
	Overlap licensing.Span `json:"overlap,omitempty"`
	Keep    bool           `json:"keep,omitempty"`
}

// A Change is the log's record of a change to a license, made or scheduled.
type Change struct {
	Change    licensing.Change     `json:"change"`
	Payment   licensing.Payment    `json:"payment,omitempty"`
	Shortages []licensing.Shortage `json:"shortages,omitempty"`
	Reason    string               `json:"reason,omitempty"`
}

// A Reason is the log's record of a license that was suspended, reinstated or revoked.
type Reason struct {
	Reason   string `json:"reason,omitempty"`
	Fallback bool   `json:"fallback,omitempty"`
}

// A Transfer is the log's record of a license that went to another customer.
type Transfer struct {
	From   licensing.CustomerID `json:"from"`
	To     licensing.CustomerID `json:"to"`
	Reason string               `json:"reason,omitempty"`
}

// A TermBegun is the log's record of a license whose next term began with scheduled changes.
type TermBegun struct {
	Changes   []licensing.Change   `json:"changes"`
	Shortages []licensing.Shortage `json:"shortages,omitempty"`
}

// A Term is the log's record of a license that was extended or renewed.
type Term struct {
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// An Applied is the log's record of a plan that was applied or rolled back.
type Applied struct {
	Plan     licensing.PlanName   `json:"plan"`
	Channel  string               `json:"channel"`
	From     licensing.RevisionID `json:"from,omitempty"`
	Revision licensing.RevisionID `json:"revision"`
	Changes  []string             `json:"changes,omitempty"`
}

// A Left is the log's record of a license that stayed at its revision because it no longer fits the new one.
type Left struct {
	Move   licensing.MoveID     `json:"move"`
	At     licensing.RevisionID `json:"at"`
	Reason string               `json:"reason"`
}

// A Moved is the log's record of a license that moved to another revision of its plan.
type Moved struct {
	Move    licensing.MoveID       `json:"move"`
	From    licensing.RevisionID   `json:"from"`
	To      licensing.RevisionID   `json:"to"`
	Changes []licensing.Difference `json:"changes,omitempty"`
}

// A Moving is the log's record of a plan whose licenses start or finish moving.
type Moving struct {
	Move     licensing.MoveID     `json:"move"`
	Channel  string               `json:"channel"`
	Revision licensing.RevisionID `json:"revision"`
	Total    int64                `json:"total"`
	Moved    int64                `json:"moved,omitempty"`
	Refused  int64                `json:"refused,omitempty"`
}
