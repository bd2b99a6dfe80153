package v1

import "copyhold.dev/sdk/license"

// CheckBody names one feature, pool or meter.
type CheckBody struct {
	Feature  string        `json:"feature,omitempty"`
	Pool     string        `json:"pool,omitempty"`
	Meter    string        `json:"meter,omitempty"`
	Units    int64         `json:"units,omitempty" doc:"Of the pool, 1 when left out"`
	Quantity license.Value `json:"quantity,omitzero" doc:"Of the meter, 1 when left out: a decimal as \"1.25\", or a whole number"`
	Holder   HolderBody    `json:"holder,omitzero" doc:"Who would hold"`
	Nonce    string        `json:"nonce,omitempty" doc:"8 to 128 random characters, for a signed reply"`
	CallerBody
}

// CheckAnswer is what would be decided now.
type CheckAnswer struct {
	Decision license.Decision `json:"decision"`
	Reply    string           `json:"reply,omitempty" doc:"The decision, signed for the nonce"`
}
