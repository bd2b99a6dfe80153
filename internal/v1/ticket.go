package v1

import "copyhold.dev/sdk/license"

// TicketAnswer is a place in a queue.
type TicketAnswer struct {
	ID       string           `json:"id"`
	Pool     string           `json:"pool"`
	Units    int64            `json:"units"`
	Decision license.Decision `json:"decision" doc:"queued while the request waits; offered while units are reserved for it. Then acquire with the same request id"`
	Ahead    int64            `json:"ahead" doc:"The number of requests ahead in the queue"`
	Deadline int64            `json:"deadline,omitempty" doc:"When waiting ends, Unix seconds"`
	Offered  int64            `json:"offered_until,omitempty" doc:"Until when units are reserved for the request, Unix seconds"`
	Lease    string           `json:"lease,omitempty" doc:"The lease that the ticket became"`
	Ended    string           `json:"ended,omitempty" doc:"How the ticket ended: claimed, withdrawn, vanished, late, lapsed or too_large"`
}
