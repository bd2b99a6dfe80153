package v1

import "copyhold.dev/sdk/license"

// CheckBody names one feature, pool or meter.
type CheckBody struct {
	Feature  string        `json:"feature,omitempty"`
	Pool     string        `json:"pool,omitempty"`
	Meter    string        `json:"meter,omitempty"`
	Units    int64         `json:"units,omitempty" doc:"Units of the pool; default 1"`
	Quantity license.Value `json:"quantity,omitzero" doc:"Quantity of the meter, a decimal such as \"1.25\" or a whole number; default 1"`
	Holder   HolderBody    `json:"holder,omitzero" doc:"The holder that would get the units"`
	Nonce    string        `json:"nonce,omitempty" doc:"8 to 128 random characters, for a signed reply"`
	CallerBody
}

// CheckAnswer is the decision that would be made now.
type CheckAnswer struct {
	Decision license.Decision `json:"decision"`
	Reply    string           `json:"reply,omitempty" doc:"The decision, signed with the nonce"`
}
