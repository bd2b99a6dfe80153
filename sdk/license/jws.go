package license

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
)

// Sign returns the document as compact JWS (RFC 7515), signed by sign (Ed25519) under the key's
// name. It does not sign a document that every verifier would refuse. Claims is one of this
// package's documents, of kind t, or a pointer to one.
func Sign(t Type, claims any, kid string, sign func([]byte) []byte) (string, error) {
	return SignAlg(AlgEdDSA, t, claims, kid, sign)
}

// SignAlg is Sign for a key whose entry in the key set has another alg.
func SignAlg(alg string, t Type, claims any, kid string, sign func([]byte) []byte) (string, error) {
	doc, ok := claims.(document)
	if !ok || doc.kind() != t {
		return "", fault(ErrType, "%T is not of kind %s", claims, t)
	}
	if err := doc.check(); err != nil {
		return "", err
	}
	if set, ok := claims.(interface{ ring() (keyring, error) }); ok {
		if _, err := set.ring(); err != nil {
			return "", err
		}
	}
	payload, err := encodeClaims(doc)
	if err != nil {
		return "", err
	}
	head := header(alg, kid, t)
	text := make([]byte, 0, len(head)+1+base64.RawURLEncoding.EncodedLen(len(payload))+1+sigLen)
	text = append(text, head...)
	text = append(text, '.')
	text = base64.RawURLEncoding.AppendEncode(text, payload)
	sig := sign(text)
	if len(sig) != ed25519.SignatureSize {
		return "", fault(ErrSignature, "%d bytes", len(sig))
	}
	text = append(text, '.')
	return string(base64.RawURLEncoding.AppendEncode(text, sig)), nil
}

const (
	sigLen     = 86                              // length of an Ed25519 signature in base64url
	maxPayload = (MaxDocument*8 + 5) / 6         // length of a payload in base64url
	maxHeader  = 256                             // more than any header of the profile needs
	maxCompact = maxHeader + maxPayload + sigLen // length of a document
)

// encodeClaims encodes the claims according to the profile.
func encodeClaims(doc document) ([]byte, error) {
	if l, ok := doc.(Lease); ok {
		// Its member names are fixed and distinct, and its texts are UTF-8.
		if payload, ok := l.appendJSON(make([]byte, 0, leaseRoom)); ok && len(payload) <= MaxDocument {
			return payload, nil
		}
	}
	payload, err := encode(doc)
	if err != nil {
		return nil, err
	}
	return payload, checkJSON(payload)
}

// leaseRoom is enough for nearly every lease.
const leaseRoom = 1 << 10

// header returns the only header that the profile allows, in base64url.
func header(alg, kid string, t Type) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","kid":"` + kid + `","typ":"` + string(t) + `"}`))
}

// A keyring finds a key by the complete header that the key would have written. The header is
// compared and never interpreted.
type keyring map[string]slot

type slot struct {
	key Key
	typ Type
	pub ed25519.PublicKey
}

func (r keyring) add(k Key) error {
	pub, err := k.check()
	if err != nil {
		return err
	}
	for _, t := range k.Use {
		r[header(k.Alg, k.Kid, t)] = slot{k, t, pub}
	}
	return nil
}

// verify is the only function that verifies a signature. It returns the payload, and the key that
// signed it as a document of kind t.
func (r keyring) verify(t Type, compact string) ([]byte, Key, error) {
	if len(compact) > maxCompact {
		return nil, Key{}, fault(ErrFormat, "longer than %d bytes", maxCompact)
	}
	dot, last := strings.IndexByte(compact, '.'), strings.LastIndexByte(compact, '.')
	if last <= dot {
		return nil, Key{}, fault(ErrFormat, "not three parts")
	}
	by, ok := r[compact[:dot]]
	if !ok {
		return nil, Key{}, diagnose(t, compact[:dot])
	}
	if by.typ != t {
		return nil, Key{}, fault(ErrType, "%s, not %s", by.typ, t)
	}
	sig, err := decode64(compact[last+1:])
	if err != nil {
		return nil, Key{}, err
	}
	if !ed25519.Verify(by.pub, []byte(compact[:last]), sig) {
		return nil, Key{}, ErrSignature
	}
	payload, err := decode64(compact[dot+1 : last])
	if err != nil {
		return nil, Key{}, err
	}
	return payload, by.key, nil
}

// Peek returns the kind that a document claims to be, for choosing how to verify it. It verifies
// nothing.
func Peek(compact string) (Type, error) {
	head, _, ok := strings.Cut(compact, ".")
	if !ok || len(head) > maxHeader {
		return "", fault(ErrFormat, "not three parts")
	}
	h, err := parseHeader(head)
	return h.Typ, err
}

type parsedHeader struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ Type   `json:"typ"`
}

// parseHeader reads a header for callers that report what is wrong with it.
func parseHeader(head string) (parsedHeader, error) {
	var h parsedHeader
	text, err := decode64(head)
	if err != nil {
		return h, err
	}
	_ = Unmarshal(text, &h) // the comparison below detects anything that it could not read
	if header(h.Alg, h.Kid, h.Typ) != head {
		return h, fault(ErrHeader, "header must contain exactly alg, kid, and typ")
	}
	return h, nil
}

// diagnose returns the reason why no key would have written this header. It decides nothing: the
// document is refused in any case.
func diagnose(t Type, head string) error {
	h, err := parseHeader(head)
	if err != nil {
		return err
	}
	if h.Alg != AlgEdDSA && h.Alg != AlgEd25519 {
		return fault(ErrHeader, "alg %q", h.Alg)
	}
	if h.Typ != t {
		return fault(ErrType, "%q, not %s", h.Typ, t)
	}
	return fault(ErrUnknownKey, "%q for %s", h.Kid, t)
}

// decode64 decodes base64url without padding, line breaks, or stray bits, so that no two texts
// decode to the same bytes.
func decode64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, fault(ErrEncoding, "line break in base64url")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fault(ErrEncoding, "not canonical base64url")
	}
	return b, nil
}
