package license

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"slices"
)

// Names of the signature algorithm. Both mean Ed25519. Keys are issued with AlgEdDSA until common
// libraries support AlgEd25519 (RFC 9864).
const (
	AlgEdDSA   = "EdDSA"
	AlgEd25519 = "Ed25519"
)

// A Key is a public key (RFC 8037), with the kinds of documents that it may sign and its dates.
// Times are seconds since 1970.
type Key struct {
	Kty        string `json:"kty"` // OKP
	Crv        string `json:"crv"` // Ed25519
	X          string `json:"x"`
	Kid        string `json:"kid"` // Thumbprint
	Alg        string `json:"alg"`
	Use        []Type `json:"types"`       // kinds of documents that it may sign
	SignFrom   int64  `json:"sign_from"`   // earliest iat of what it signs
	SignUntil  int64  `json:"sign_until"`  // iat of what it signs is before this
	TrustUntil int64  `json:"trust_until"` // last date of what it signs is at or before this
	Withdrawn  int64  `json:"withdrawn,omitempty"`
}

// NewKey describes a public key. The key may sign documents of the given kinds whose iat is at or
// after from and before until, and whose last date is trust or earlier.
func NewKey(pub ed25519.PublicKey, kinds []Type, from, until, trust int64) Key {
	return Key{
		Kty: "OKP", Crv: "Ed25519", X: base64.RawURLEncoding.EncodeToString(pub), Kid: Thumbprint(pub),
		Alg: AlgEdDSA, Use: kinds, SignFrom: from, SignUntil: until, TrustUntil: trust,
	}
}

// Thumbprint returns the key's name: SHA-256 per RFC 7638, base64url.
func Thumbprint(pub ed25519.PublicKey) string { return thumbprint("Ed25519", pub) }

func thumbprint(crv string, pub []byte) string {
	sum := sha256.Sum256([]byte(`{"crv":"` + crv + `","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(pub) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Public returns the key's bytes. It returns ErrKey if the entry is not a usable Ed25519 key under
// its own name.
func (k Key) Public() (ed25519.PublicKey, error) {
	if k.Kty != "OKP" || k.Crv != "Ed25519" {
		return nil, fault(ErrKey, "kty %q, crv %q", k.Kty, k.Crv)
	}
	if k.Alg != AlgEdDSA && k.Alg != AlgEd25519 {
		return nil, fault(ErrKey, "alg %q", k.Alg)
	}
	pub, err := decode64(k.X)
	if err != nil {
		return nil, err
	}
	if len(pub) != ed25519.PublicKeySize {
		return nil, fault(ErrKey, "%d bytes", len(pub))
	}
	if weak(pub) {
		return nil, fault(ErrKey, "weak point")
	}
	if k.Kid != Thumbprint(pub) {
		return nil, fault(ErrKey, "kid is not the thumbprint")
	}
	return pub, nil
}

func (k Key) check() (ed25519.PublicKey, error) {
	pub, err := k.Public()
	if err != nil {
		return nil, err
	}
	if len(k.Use) == 0 {
		return nil, fault(ErrKey, "no kinds of documents to sign")
	}
	if k.SignUntil <= k.SignFrom {
		return nil, fault(ErrKey, "signing window is empty")
	}
	if k.TrustUntil < k.SignUntil {
		return nil, fault(ErrKey, "trust ends before signing does")
	}
	return pub, nil
}

// timely checks that the dates of a document lie within those of the key that signed it.
func (k Key) timely(c Claims, last int64) error {
	if c.IssuedAt < k.SignFrom {
		return fault(ErrKeyDates, "iat is before sign_from")
	}
	if c.IssuedAt >= k.SignUntil {
		return fault(ErrKeyDates, "iat is not before sign_until")
	}
	if last > k.TrustUntil {
		return fault(ErrKeyDates, "last date is after trust_until")
	}
	return nil
}

func (k Key) may(t Type) bool { return slices.Contains(k.Use, t) }

// weak reports whether the 32 bytes are not a proper key. They may be a point of low order, for
// which signatures can be made without a private key. Or their coordinate may not be reduced, which
// makes them a second name for another point.
func weak(pub []byte) bool {
	y := [32]byte(pub)
	y[31] &= 0x7f // ignore the sign of x
	if unreduced(y) {
		return true
	}
	for _, low := range lowOrder() {
		if y == low {
			return true
		}
	}
	return false
}

// unreduced reports whether y >= p = 2^255-19, little-endian.
func unreduced(y [32]byte) bool {
	if y[31] != 0x7f || y[0] < 0xed {
		return false
	}
	for _, b := range y[1:31] {
		if b != 0xff {
			return false
		}
	}
	return true
}

// lowOrder returns the y coordinates of the points of order 1, 2, 4, and 8.
func lowOrder() [5][32]byte {
	return [5][32]byte{
		{1}, // order 1
		{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, // 2
		{}, // 4
		{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
			0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05}, // 8
		{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
			0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}, // 8
	}
}
