package licensing

import (
	"crypto/sha256"
	"strings"
)

// A license key is CH- and seven groups of five Crockford digits: the public
// id (25 bits), a secret (128 bits, two zero bits ahead) and a checksum of 20
// bits over both.
const (
	keyPrefix = "CH-"
	keyDigits = 35
	idDigits  = 5
	sumDigits = 4
)

// NewKey returns a license key with its public id from 16 bytes of secret and
// 4 of id, all random.
func NewKey(id [4]byte, secret [16]byte) (KeyID, string) {
	digits := encodeDigits(id[:], idDigits) + encodeDigits(secret[:], keyDigits-idDigits-sumDigits)
	digits += checksum(digits)
	groups := make([]string, 0, keyDigits/5)
	for i := 0; i < keyDigits; i += 5 {
		groups = append(groups, strings.ToUpper(digits[i:i+5]))
	}
	return KeyID(groups[0]), keyPrefix + strings.Join(groups, "-")
}

// ParseKey returns the public id and the canonical form of a key that a person
// typed: case, spaces and dashes do not matter, o is read as 0, i and l as 1.
// A key that cannot be one, by length or checksum, is Invalid; the error does
// not repeat it.
func ParseKey(s string) (KeyID, string, error) {
	digits, ok := foldKey(s)
	if !ok || len(digits) != keyDigits {
		return "", "", Errorf(Invalid, "this is not a license key: it has CH and %d letters or digits", keyDigits)
	}
	body := digits[:keyDigits-sumDigits]
	if checksum(body) != digits[keyDigits-sumDigits:] {
		return "", "", Errorf(Invalid, "this license key has a typing mistake: its checksum does not agree")
	}
	up := strings.ToUpper(digits)
	groups := make([]string, 0, keyDigits/5)
	for i := 0; i < keyDigits; i += 5 {
		groups = append(groups, up[i:i+5])
	}
	return KeyID(groups[0]), keyPrefix + strings.Join(groups, "-"), nil
}

// foldKey returns the digits of a typed key in canonical form.
func foldKey(s string) (string, bool) {
	if len(s) > 128 {
		return "", false
	}
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(s)) {
		switch c {
		case ' ', '-', '\t', '\r', '\n':
		case 'o':
			b.WriteByte('0')
		case 'i', 'l':
			b.WriteByte('1')
		default:
			b.WriteByte(c)
		}
	}
	digits, found := strings.CutPrefix(b.String(), "ch")
	return digits, found && strings.Trim(digits, crockford) == ""
}

// encodeDigits returns the first n digits of b, leading zero bits added so
// that n digits hold it, or the first bits where they don't.
func encodeDigits(b []byte, n int) string {
	lead := max(0, n*5-len(b)*8)
	out := make([]byte, 0, n)
	acc, bits := uint32(0), lead
	for _, c := range b {
		acc = acc<<8 | uint32(c)
		for bits += 8; bits >= 5 && len(out) < n; {
			bits -= 5
			out = append(out, crockford[acc>>bits&31])
		}
	}
	return string(out)
}

// checksum returns 20 bits of SHA-256 over the digits before it.
func checksum(digits string) string {
	sum := sha256.Sum256([]byte("copyhold license key " + digits))
	return encodeDigits(sum[:3], sumDigits)
}

// HashKey returns what is stored of a license key in its canonical form, and
// of an imported foreign one as it is: SHA-256. Keys of 128 random bits need
// no slow hash.
func HashKey(key string) [32]byte { return sha256.Sum256([]byte(key)) }
