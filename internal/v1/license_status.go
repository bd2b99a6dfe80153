package v1

import "copyhold.dev/internal/licensing"

// A RevokeRequest ends a license for good. Fallback leaves the fallback set to
// documents that grant one.
type RevokeRequest struct {
	Reason   string `json:"reason" minLength:"1" maxLength:"1000"`
	Fallback bool   `json:"fallback,omitempty"`
}

// A TransferRequest gives a license to another customer. NewKey ends the keys
// that the former customer knows.
type TransferRequest struct {
	Customer licensing.CustomerID `json:"customer"`
	NewKey   bool                 `json:"new_key,omitempty" doc:"End all keys at once and make a new one."`
	Reason   string               `json:"reason,omitempty"`
}

// A Transferred license comes with its new key if one was asked for.
type Transferred struct {
	License License        `json:"license"`
	Key     *NewCredential `json:"key,omitempty"`
}
