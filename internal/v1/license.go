package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// LicenseDetail is a license with its current grants and its keys, without secrets.
type LicenseDetail struct {
	ShownLicense
	Keys     []Credential  `json:"keys" nullable:"false"`
	Programs []SeenProgram `json:"programs,omitempty" doc:"Programs that have validated or checked the license on the answering server since it started, newest first."`
}

// IssueBatchBody is a request for several licenses.
type IssueBatchBody struct {
	Licenses []IssueRequest `json:"licenses" minItems:"1" maxItems:"1000" nullable:"false"`
}

// IssueBatchAnswer contains the issued licenses, in the order of the request.
type IssueBatchAnswer struct {
	Licenses []Issued `json:"licenses" nullable:"false"`
}

// ReasonBody is a reason.
type ReasonBody struct {
	Reason string `json:"reason,omitempty" maxLength:"1000"`
}

// An IssueRequest is a request for a license of a plan for a customer. Zero fields use
// the plan's own channel, dates and capacity.
type IssueRequest struct {
	Customer    licensing.CustomerID  `json:"customer"`
	Plan        licensing.PlanName    `json:"plan"`
	Product     licensing.ProductName `json:"product,omitempty" doc:"If given, it must be the plan's product."`
	Channel     string                `json:"channel,omitempty" doc:"The channel of the plan to follow. The default is stable if no revision is given."`
	Revision    licensing.RevisionID  `json:"revision,omitempty" doc:"Pins the license to one revision instead."`
	Edition     string                `json:"edition,omitempty"`
	Start       time.Time             `json:"start,omitzero" doc:"The start date, for plans that start on a date."`
	End         time.Time             `json:"end,omitzero" doc:"The end of the first term, in place of the plan's."`
	Maintenance time.Time             `json:"maintenance,omitzero" doc:"The last release date covered, in place of the plan's."`
	Addons      []licensing.Grant     `json:"addons,omitempty"`
	Exceptions  []licensing.Exception `json:"exceptions,omitempty"`
	Capacity    map[string]int64      `json:"capacity,omitempty" doc:"Units by pool, in place of those from plan and add-ons."`
	Payment     licensing.Payment     `json:"payment,omitempty" doc:"paid or unpaid. An unpaid license is not renewed."`
	Reference   string                `json:"reference,omitempty" doc:"The vendor's own number for this license, unique in the environment."`
	Metadata    map[string]string     `json:"metadata,omitempty"`
}

// A License is a plan granted to a customer. Zero times are absent. A license without an
// end is perpetual or has not started. Granted is the revision in force. Revision pins the
// license to one revision; otherwise it follows channel. Term_end is the original end of the
// term if an extension has moved the end. Seq increases with every change.
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

// An Issued license includes its first key, whose text is shown only once.
type Issued struct {
	License License       `json:"license"`
	Key     NewCredential `json:"key"`
}
