package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// An Explained is the thing that an id identifies, the decision about it, and the current
// state of its license. Members that do not apply are empty.
type Explained struct {
	ID       string                `json:"id" doc:"The id in the request"`
	Kind     string                `json:"kind" enum:"request,license,license_key,lease,ticket,usage_event,log_entry" doc:"The kind of thing that the id identifies; log_entry also for ids that only the log knows"`
	Request  string                `json:"request_id" doc:"The program's own id of the request, or otherwise the server's"`
	License  licensing.LicenseID   `json:"license"`
	At       time.Time             `json:"at"`
	Pool     string                `json:"pool" doc:"The pool or the meter"`
	Holder   string                `json:"holder,omitempty"`
	Lease    licensing.LeaseID     `json:"lease,omitempty"`
	Ticket   licensing.TicketID    `json:"ticket,omitempty"`
	Call     string                `json:"call,omitempty" doc:"The server's own id of the request, as in X-Request-Id and in the server's log"`
	Status   licensing.UsageStatus `json:"status,omitempty" enum:"recorded,denied,invalid" doc:"The status of a usage event"`
	Quantity string                `json:"quantity,omitempty" doc:"The quantity of a recorded usage event, in the meter's unit"`
	UsedAt   time.Time             `json:"used_at,omitzero" doc:"When a recorded usage event happened, as reported by its program"`
	Times    int64                 `json:"times,omitempty" doc:"How often the request was denied in that minute."`
	Repeated bool                  `json:"repeated,omitempty" doc:"Whether the denial followed another one with the same holder and reason in the same minute. Time and decision are then those of the first one."`
	Decision license.Decision      `json:"decision" doc:"The decision at that time; for a license, a key, a ticket or a lease in force, the decision now"`
	Standing license.Decision      `json:"license_now,omitzero" doc:"The current decision about the license itself"`
	Parts    []Explained           `json:"parts,omitempty" doc:"One explanation for each thing, if the id identifies several"`
	Denials  []ExplainedDenial     `json:"denials,omitempty" doc:"Denials of the same holder and pool, newest first"`
	Entries  []LogEntry            `json:"entries,omitempty" doc:"The related log entries, newest first, for callers that may read the log"`
	licensing.Caller
}
