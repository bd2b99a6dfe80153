package license

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// ErrLicenseKey reports a text that begins like a license key but has the wrong length or checksum.
// The error never contains the text.
var ErrLicenseKey = errors.New("license: not a license key")

// A license key is CH- and seven groups of five Crockford digits. The digits encode the public id
// (25 bits), a secret (128 bits, after two zero bits), and a checksum of 20 bits over both.
const (
	keyPrefix = "CH-"
	keyDigits = 35
	idDigits  = 5
	sumDigits = 4
	maxTyped  = 128 // bytes

	crockford = "0123456789abcdefghjkmnpqrstvwxyz"
)

// MakeKey returns a license key and its public id, from 4 random bytes for the id and 16 for the
// secret.
func MakeKey(id [4]byte, secret [16]byte) (public, key string) {
	digits := encodeDigits(id[:], idDigits) + encodeDigits(secret[:], keyDigits-idDigits-sumDigits)
	return writeKey(digits + keySum(digits))
}

// ParseKey returns the public id and the canonical form of a typed key. Case, spaces, and dashes do
// not matter. The letter o is read as 0, and the letters i and l are read as 1. If the length or
// the checksum is wrong, the error is ErrLicenseKey.
func ParseKey(text string) (public, key string, err error) {
	digits, ok := foldKey(text)
	if !ok || len(digits) != keyDigits {
		return "", "", fault(ErrLicenseKey, "a key has CH and %d letters or digits", keyDigits)
	}
	body := digits[:keyDigits-sumDigits]
	if keySum(body) != digits[keyDigits-sumDigits:] {
		return "", "", fault(ErrLicenseKey, "the checksum does not match; check for a typing mistake")
	}
	public, key = writeKey(digits)
	return public, key, nil
}

// NormalKey returns the form of a key that is hashed. For a Copyhold key that is the canonical
// form. Any other text is returned as it is, because a vendor may have imported keys of another
// system. The error for a mistyped key is ErrLicenseKey.
func NormalKey(text string) (string, error) {
	_, key, err := ParseKey(text)
	if err == nil {
		return key, nil
	}
	if len(text) >= len(keyPrefix) && strings.EqualFold(text[:len(keyPrefix)], keyPrefix) {
		return "", err
	}
	return text, nil
}

// KeyHash returns the SHA-256 of a normal key, which is what a server stores. Keys with 128 random
// bits need no slow hash.
func KeyHash(normal string) [32]byte { return sha256.Sum256([]byte(normal)) }

// KeyDigest returns the name of a key in the documents of a license. The name does not reveal the
// key. It is the first 128 bits of SHA-256 over a fixed text, the issuer, the license's id, and the
// key's hash, in base64url. Digests of two licenses cannot be correlated.
func KeyDigest(issuer, subject string, hash [32]byte) string {
	text := "copyhold/v1/license-key\x00" + issuer + "\x00" + subject + "\x00"
	sum := sha256.Sum256(append([]byte(text), hash[:]...))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// HasKey reports whether the document lists the key with this hash.
func (l *License) HasKey(hash [32]byte) bool {
	return slices.Contains(l.LicenseKeys, KeyDigest(l.Issuer, l.Subject, hash))
}

// writeKey returns the public id and the key with the given digits.
func writeKey(digits string) (public, key string) {
	b := append(make([]byte, 0, len(keyPrefix)+keyDigits+keyDigits/5), keyPrefix...)
	for i, c := range []byte(strings.ToUpper(digits)) {
		if i > 0 && i%5 == 0 {
			b = append(b, '-')
		}
		b = append(b, c)
	}
	key = string(b)
	return key[len(keyPrefix):][:idDigits], key
}

// foldKey returns the digits of a typed key.
func foldKey(s string) (string, bool) {
	if len(s) > maxTyped {
		return "", false
	}
	b := make([]byte, 0, maxTyped)
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

// encodeDigits returns the first n digits of b. It adds leading zero bits if b has too few bits for
// n digits.
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

// keySum returns 20 bits of SHA-256 over the digits.
func keySum(digits string) string {
	sum := sha256.Sum256([]byte("copyhold license key " + digits))
	return encodeDigits(sum[:3], sumDigits)
}
