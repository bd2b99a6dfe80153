package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Credential is what may be known of a license key: everything but its text.
type Credential struct {
	ID        licensing.KeyID `json:"id"`
	Imported  bool            `json:"imported,omitempty"`
	Hint      string          `json:"hint,omitempty" doc:"The end of an imported key."`
	CreatedAt time.Time       `json:"created_at"`
	ExpiresAt time.Time       `json:"expires_at,omitzero" doc:"Absent: as long as its license."`
}

// A NewCredential is a license key with its text, which nobody can see again.
type NewCredential struct {
	Credential
	Text string `json:"key"`
}

// A KeyRequest asks for a new key of a license. The others end after Overlap,
// at once when it is zero, unless Keep.
type KeyRequest struct {
	Overlap licensing.Span `json:"overlap,omitempty" doc:"How long the other keys go on, such as 7d."`
	Keep    bool           `json:"keep,omitempty" doc:"Keep the other keys as they are."`
}
