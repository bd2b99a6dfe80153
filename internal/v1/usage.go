package v1

import "copyhold.dev/sdk/license"

// UsageBody is consumption to record.
type UsageBody struct {
	Events []UsageEvent `json:"events" doc:"1 to 1,000"`
	Nonce  string       `json:"nonce,omitempty" doc:"8 to 128 random characters, for a signed reply"`
	CallerBody
}

// UsageEvent is consumption that is recorded once, however often it is sent.
type UsageEvent struct {
	ID       string        `json:"id" doc:"The event's own name"`
	Meter    string        `json:"meter"`
	Quantity license.Value `json:"quantity" doc:"A decimal as \"1.25\", or a whole number"`
	At       license.Value `json:"at,omitzero" doc:"RFC 3339, or Unix seconds; now when left out"`
}

// UsageAnswer has a result for each event, in their order.
type UsageAnswer struct {
	Results []UsageResult `json:"results"`
	Reply   string        `json:"reply,omitempty" doc:"The first denial, or else the last decision, signed for the nonce"`
}

// UsageResult is what became of an event.
type UsageResult struct {
	ID       string            `json:"id"`
	Status   string            `json:"status" enum:"recorded,duplicate,denied,invalid"`
	Decision *license.Decision `json:"decision,omitempty" doc:"Not of an invalid event"`
	Reason   string            `json:"reason,omitempty" doc:"Why an event is invalid"`
}
