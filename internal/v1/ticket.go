package v1

import "copyhold.dev/sdk/license"

// TicketAnswer is a place in a queue.
type TicketAnswer struct {
	ID       string           `json:"id"`
	Pool     string           `json:"pool"`
	Units    int64            `json:"units"`
	Decision license.Decision `json:"decision" doc:"queued while it waits; offered while units are kept for it: acquire with the same request id"`
	Ahead    int64            `json:"ahead" doc:"How many are served before it"`
	Deadline int64            `json:"deadline,omitempty" doc:"When waiting ends, Unix seconds"`
	Offered  int64            `json:"offered_until,omitempty" doc:"Until when units are kept for it, Unix seconds"`
	Lease    string           `json:"lease,omitempty" doc:"The lease it became"`
	Ended    string           `json:"ended,omitempty" doc:"How it ended: claimed, withdrawn, vanished, late, lapsed or too_large"`
}
