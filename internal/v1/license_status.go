package v1

import "copyhold.dev/internal/licensing"

// A RevokeRequest ends a license permanently. Fallback keeps the fallback features in
// documents that grant them.
type RevokeRequest struct {
	Reason   string `json:"reason" minLength:"1" maxLength:"1000"`
	Fallback bool   `json:"fallback,omitempty"`
}

// A TransferRequest gives a license to another customer. NewKey ends the keys
// that the former customer knows.
type TransferRequest struct {
	Customer licensing.CustomerID `json:"customer"`
	NewKey   bool                 `json:"new_key,omitempty" doc:"Whether to end all keys immediately and create a new one."`
	Reason   string               `json:"reason,omitempty"`
}

// A Transferred license includes its new key if the request asked for one.
type Transferred struct {
	License License        `json:"license"`
	Key     *NewCredential `json:"key,omitempty"`
}
