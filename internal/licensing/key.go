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
	return canonical(digits + checksum(digits))
}

// canonical returns the public id and the key that digits are written as.
func canonical(digits string) (KeyID, string) {
	b := append(make([]byte, 0, len(keyPrefix)+keyDigits+keyDigits/5), keyPrefix...)
	for i, c := range []byte(digits) {
		if i > 0 && i%5 == 0 {
			b = append(b, '-')
		}
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		b = append(b, c)
	}
	key := string(b)
	return KeyID(key[len(keyPrefix):][:idDigits]), key
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
	id, key := canonical(digits)
	return id, key, nil
}

// foldKey returns the digits of a typed key in canonical form.
func foldKey(s string) (string, bool) {
	if len(s) > 128 {
		return "", false
	}
	b := make([]byte, 0, 128)
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		switch c {
		case ' ', '-', '\t', '\r', '\n':
		case 'o':
			b = append(b, '0')
		case 'i', 'l':
			b = append(b, '1')
		default:
			b = append(b, c)
		}
	}
	digits, found := strings.CutPrefix(string(b), "ch")
	for i := range len(digits) {
		found = found && strings.IndexByte(crockford, digits[i]) >= 0
	}
	return digits, found
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
