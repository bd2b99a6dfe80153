package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Credential is the visible part of a license key: everything except its text.
type Credential struct {
	ID        licensing.KeyID `json:"id"`
	Imported  bool            `json:"imported,omitempty"`
	Hint      string          `json:"hint,omitempty" doc:"The end of an imported key."`
	CreatedAt time.Time       `json:"created_at"`
	ExpiresAt time.Time       `json:"expires_at,omitzero" doc:"Absent if the key lasts as long as its license."`
}

// A NewCredential is a license key with its text, which is shown only once.
type NewCredential struct {
	Credential
	Text string `json:"key"`
}

// A KeyRequest is a request for a new key of a license. The other keys end after
// Overlap, or immediately if it is zero, unless Keep is set.
type KeyRequest struct {
	Overlap licensing.Span `json:"overlap,omitempty" doc:"How long the other keys stay valid, for example 7d."`
	Keep    bool           `json:"keep,omitempty" doc:"Whether to leave the other keys unchanged."`
}
