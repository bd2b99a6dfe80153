package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// LicenseDetail is a license with what it grants now and its keys, which show no secret.
type LicenseDetail struct {
	ShownLicense
	Keys     []Credential  `json:"keys" nullable:"false"`
	Programs []SeenProgram `json:"programs,omitempty" doc:"What has validated or checked the license at the server that answers since it started, the latest first."`
}

// IssueBatchBody asks for many licenses.
type IssueBatchBody struct {
	Licenses []IssueRequest `json:"licenses" minItems:"1" maxItems:"1000" nullable:"false"`
}

// IssueBatchAnswer is what was issued, in the order asked for.
type IssueBatchAnswer struct {
	Licenses []Issued `json:"licenses" nullable:"false"`
}

// ReasonBody says why.
type ReasonBody struct {
	Reason string `json:"reason,omitempty" maxLength:"1000"`
}

// An IssueRequest asks for a license of a plan for a customer. Zero fields are
// the plan's own: its channel, its dates, its capacity.
type IssueRequest struct {
	Customer    licensing.CustomerID  `json:"customer"`
	Plan        licensing.PlanName    `json:"plan"`
	Product     licensing.ProductName `json:"product,omitempty" doc:"Checked against the plan's product when given."`
	Channel     string                `json:"channel,omitempty" doc:"The channel of the plan to follow; stable when neither channel nor revision is given."`
	Revision    licensing.RevisionID  `json:"revision,omitempty" doc:"Pins the license to one revision instead."`
	Edition     string                `json:"edition,omitempty"`
	Start       time.Time             `json:"start,omitzero" doc:"For plans that start on a date."`
	End         time.Time             `json:"end,omitzero" doc:"Instead of the end of the plan's first term."`
	Maintenance time.Time             `json:"maintenance,omitzero" doc:"The last release date covered, instead of the plan's."`
	Addons      []licensing.Grant     `json:"addons,omitempty"`
	Exceptions  []licensing.Exception `json:"exceptions,omitempty"`
	Capacity    map[string]int64      `json:"capacity,omitempty" doc:"Units by pool, instead of what plan and add-ons give."`
	Payment     licensing.Payment     `json:"payment,omitempty" doc:"paid or unpaid: an unpaid license is not renewed."`
	Reference   string                `json:"reference,omitempty" doc:"The vendor's own number of this license, unique in the environment."`
	Metadata    map[string]string     `json:"metadata,omitempty"`
}

// A License is a plan granted to a customer. Times that are zero are absent: a license
// without an end is perpetual or has not started. Granted is the revision in force; revision
// pins the license to one, and channel is what it follows. Term_end is where the term ends by
// itself when an extension has moved the end. Seq rises with every change.
type License struct {
	Env         licensing.Env         `json:"environment"`
	ID          licensing.LicenseID   `json:"id"`
	Product     licensing.ProductName `json:"product"`
	Customer    licensing.CustomerID  `json:"customer"`
	Plan        licensing.PlanName    `json:"plan"`
	Revision    licensing.RevisionID  `json:"revision,omitempty"`
	Channel     string                `json:"channel,omitempty"`
	Granted     licensing.RevisionID  `json:"granted,omitempty"`
	Edition     string                `json:"edition,omitempty"`
	Status      licensing.Status      `json:"status"`
	Payment     licensing.Payment     `json:"payment"`
	Reference   string                `json:"reference,omitempty"`
	Issued      time.Time             `json:"issued"`
	Start       time.Time             `json:"start,omitzero"`
	End         time.Time             `json:"end,omitzero"`
	TermEnd     time.Time             `json:"term_end,omitzero"`
	Renewed     []time.Time           `json:"renewed,omitempty"`
	Ended       []time.Time           `json:"ended,omitempty"`
	Maintenance time.Time             `json:"maintenance,omitzero"`
	Addons      []licensing.Grant     `json:"addons,omitempty"`
	Exceptions  []licensing.Exception `json:"exceptions,omitempty"`
	Scheduled   []licensing.Change    `json:"scheduled,omitempty"`
	ChangeAt    time.Time             `json:"change_at,omitzero"`
	Metadata    map[string]string     `json:"metadata,omitempty"`
	Seq         license.Seq           `json:"seq"`
}

// An Issued license comes with its first key, whose text nobody can see again.
type Issued struct {
	License License       `json:"license"`
	Key     NewCredential `json:"key"`
}
