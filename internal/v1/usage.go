package v1

import "copyhold.dev/sdk/license"

// UsageBody is usage to record.
type UsageBody struct {
	Events []UsageEvent `json:"events" doc:"1 to 1,000 events"`
	Nonce  string       `json:"nonce,omitempty" doc:"8 to 128 random characters, for a signed reply"`
	CallerBody
}

// UsageEvent is usage that is recorded once, however often it is sent.
type UsageEvent struct {
	ID       string        `json:"id" doc:"The event's own id"`
	Meter    string        `json:"meter"`
	Quantity license.Value `json:"quantity" doc:"A decimal such as \"1.25\", or a whole number"`
	At       license.Value `json:"at,omitzero" doc:"RFC 3339, or Unix seconds. Default: now"`
}

// UsageAnswer has one result for each event, in the order of the events.
type UsageAnswer struct {
	Results []UsageResult `json:"results"`
	Reply   string        `json:"reply,omitempty" doc:"The first denial, or otherwise the last decision, signed with the nonce"`
}

// UsageResult is the outcome of an event.
type UsageResult struct {
	ID       string            `json:"id"`
	Status   string            `json:"status" enum:"recorded,duplicate,denied,invalid"`
	Decision *license.Decision `json:"decision,omitempty" doc:"Absent for an invalid event"`
	Reason   string            `json:"reason,omitempty" doc:"Why the event is invalid"`
}
