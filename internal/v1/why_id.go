package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// An Explained is what an id stands for, what was decided about it, and how its license
// stands now. Members that do not apply are empty.
type Explained struct {
	ID       string                `json:"id" doc:"What was asked about"`
	Kind     string                `json:"kind" enum:"request,license,license_key,lease,ticket,usage_event,log_entry" doc:"What the id is of; log_entry also for ids that only the log knows"`
	Request  string                `json:"request_id" doc:"The name that its program gave it, or else the server's own id"`
	License  licensing.LicenseID   `json:"license"`
	At       time.Time             `json:"at"`
	Pool     string                `json:"pool" doc:"The pool or the meter"`
	Holder   string                `json:"holder,omitempty"`
	Lease    licensing.LeaseID     `json:"lease,omitempty"`
	Ticket   licensing.TicketID    `json:"ticket,omitempty"`
	Call     string                `json:"call,omitempty" doc:"The server's own id of the request, as in X-Request-Id and in its log"`
	Status   licensing.UsageStatus `json:"status,omitempty" enum:"recorded,denied,invalid" doc:"Of a usage event"`
	Quantity string                `json:"quantity,omitempty" doc:"Of a usage event that was recorded, in the meter's unit"`
	UsedAt   time.Time             `json:"used_at,omitzero" doc:"When a recorded usage event happened, as its program said"`
	Times    int64                 `json:"times,omitempty" doc:"How often it was denied in that minute."`
	Repeated bool                  `json:"repeated,omitempty" doc:"It followed another of the same holder and reason in its minute: time and decision are the first one's."`
	Decision license.Decision      `json:"decision" doc:"What was decided then; of a license, a key, a ticket and a lease in force what is decided now"`
	Standing license.Decision      `json:"license_now,omitzero" doc:"Of the license itself, now"`
	Parts    []Explained           `json:"parts,omitempty" doc:"Each by itself, where the id stands for several"`
	Denials  []ExplainedDenial     `json:"denials,omitempty" doc:"Of the same holder and pool, the newest first"`
	Entries  []LogEntry            `json:"entries,omitempty" doc:"What the log says of it, the newest first, for those who may read the log"`
	licensing.Caller
}
