package license

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
)

// Sign returns the document as compact JWS (RFC 7515), signed by sign (Ed25519)
// under the key's name. What a verifier would refuse on sight is not signed;
// claims is one of this package's documents, of kind t, or a pointer to one.
func Sign(t Type, claims any, kid string, sign func([]byte) []byte) (string, error) {
	return SignAlg(AlgEdDSA, t, claims, kid, sign)
}

// SignAlg is Sign for a key whose entry in the key set says another alg.
func SignAlg(alg string, t Type, claims any, kid string, sign func([]byte) []byte) (string, error) {
	doc, ok := claims.(document)
	if !ok || doc.kind() != t {
		return "", fault(ErrType, "%T is not a %s", claims, t)
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
	sigLen     = 86                              // an Ed25519 signature in base64url
	maxPayload = (MaxDocument*8 + 5) / 6         // a payload in base64url
	maxHeader  = 256                             // more than any header of the profile
	maxCompact = maxHeader + maxPayload + sigLen // a document
)

// encodeClaims writes the claims under the profile.
func encodeClaims(doc document) ([]byte, error) {
	if l, ok := doc.(Lease); ok {
		// Its members are of fixed names, once each, and its texts UTF-8.
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

// leaseRoom holds nearly every lease.
const leaseRoom = 1 << 10

// header returns the only header that the profile allows, in base64url.
func header(alg, kid string, t Type) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","kid":"` + kid + `","typ":"` + string(t) + `"}`))
}

// A keyring finds a key by the whole header that it would have written: what
// the header says is compared and never interpreted.
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

// verify is the one place where a signature is verified. It returns the
// payload and the key that signed it as a document of kind t.
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

// Peek returns the kind that a document claims to be, to choose how to verify
// it. Nothing is verified yet.
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

// parseHeader reads a header for those who have to say what is wrong with it.
func parseHeader(head string) (parsedHeader, error) {
	var h parsedHeader
	text, err := decode64(head)
	if err != nil {
		return h, err
	}
	_ = Unmarshal(text, &h) // what it could not read isn't written again
	if header(h.Alg, h.Kid, h.Typ) != head {
		return h, fault(ErrHeader, "not alg, kid and typ alone")
	}
	return h, nil
}

// diagnose tells why no key would have written this header. It decides
// nothing: the document is refused in any case.
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

// decode64 decodes base64url without padding, line breaks or loose bits, so
// that no two texts are the same bytes.
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
