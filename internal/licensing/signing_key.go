package licensing

import "time"

// A KeyUse is what a signing key signs.
type KeyUse string

// The uses of signing keys.
const (
	RootKey     KeyUse = "root"     // root sets and key sets
	DocumentKey KeyUse = "document" // everything that programs receive
	LogKey      KeyUse = "log"      // heads of the log
	ProposedKey KeyUse = "proposed" // nothing yet: a document key that waits for a new root set
)

// A SigningKey is a signing key of an environment as it is stored. The private
// part is sealed. It is absent if it is kept elsewhere or was destroyed.
type SigningKey struct {
	Env       Env       `json:"environment"`
	ID        string    `json:"id"` // RFC 7638 thumbprint
	Use       KeyUse    `json:"use"`
	Number    int64     `json:"number"` // order within a use, from 1
	Public    []byte    `json:"public"`
	Sealed    string    `json:"-"`
	SignFrom  time.Time `json:"sign_from"`
	SignUntil time.Time `json:"sign_until"`
	// TrustUntil is the latest date that a document signed with the key can contain.
	TrustUntil time.Time `json:"trust_until"`
	RetiredAt  time.Time `json:"retired_at,omitzero"` // signs no more; what it signed stays valid
	// WithdrawnAt is the cut-off: documents signed later are refused.
	WithdrawnAt time.Time `json:"withdrawn_at,omitzero"`
	ExportedAt  time.Time `json:"exported_at,omitzero"` // root: the private part was exported
}

// Present reports whether this server has the private part.
func (k SigningKey) Present() bool { return k.Sealed != "" }

// MaySign reports whether the key may sign at now.
func (k SigningKey) MaySign(now time.Time) bool {
	return k.RetiredAt.IsZero() && k.WithdrawnAt.IsZero() && !now.Before(k.SignFrom) && now.Before(k.SignUntil)
}

// A SetKind is a kind of signed set.
type SetKind string

// The kinds of signed sets.
const (
	RootSet SetKind = "rootset"
	KeySet  SetKind = "keyset"
)

// A SignedSet is a root set or key set: compact JWS over one payload, one for
// each signature.
type SignedSet struct {
	Env       Env
	Kind      SetKind
	Number    int64
	ExpiresAt time.Time
	Documents []string
}

// A FeatureKey is the X25519 key pair to which the data of a feature is sealed.
type FeatureKey struct {
	Env     Env
	Product ProductName
	Feature string
	Public  []byte
	Sealed  string
}
