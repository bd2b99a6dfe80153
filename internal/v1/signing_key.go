package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// WithdrawRequest is when a key stops being trusted, and why.
type WithdrawRequest struct {
	Cutoff time.Time `json:"cutoff,omitzero" doc:"Documents signed from this time on are not trusted. Default: now"`
	Reason string    `json:"reason,omitempty" maxLength:"400" doc:"The reason, which is recorded"`
}

// RootKeys are the private parts of an environment's root keys in the form that is
// kept outside the server.
type RootKeys struct {
	Kind   string           `json:"copyhold" doc:"root"`
	Issuer string           `json:"iss"`
	Keys   []map[string]any `json:"keys" doc:"Private JSON Web Keys (RFC 8037)"`
}

// FeatureKeyAnswer is the public key to which a feature's data is sealed.
type FeatureKeyAnswer struct {
	Public []byte `json:"public" doc:"X25519 public key"`
}

// RootSetRequest contains the sets that a ceremony signed.
type RootSetRequest struct {
	RootSet []string `json:"rootset" minItems:"1" maxItems:"16" doc:"Compact JWS over one payload"`
	KeySet  []string `json:"keyset" minItems:"1" maxItems:"16" doc:"Compact JWS over one payload"`
}

// A SigningKey is a signing key in the form that people and programs read.
type SigningKey struct {
	Kid        string           `json:"kid"`
	Use        licensing.KeyUse `json:"use"`
	State      string           `json:"state"` // signs, prepared, retired, ended, withdrawn
	Here       bool             `json:"here"`  // the private part is on the server
	SignFrom   time.Time        `json:"sign_from"`
	SignUntil  time.Time        `json:"sign_until"`
	TrustUntil time.Time        `json:"trust_until"`
	Withdrawn  time.Time        `json:"withdrawn,omitzero"`
	Exported   time.Time        `json:"exported,omitzero"` // when a root's private part was exported
}
