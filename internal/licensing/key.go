package licensing

import (
	"strings"

	"copyhold.dev/sdk/license"
)

// NewKey returns a license key with its public id from 16 bytes of secret and
// 4 of id, all random. The format is the SDK's: programs check it too.
func NewKey(id [4]byte, secret [16]byte) (KeyID, string) {
	public, key := license.MakeKey(id, secret)
	return KeyID(public), key
}

// ParseKey returns the public id and the canonical form of a key that a person
// typed, as license.ParseKey does. A text that can't be a key, by length or
// checksum, is Invalid; the error does not repeat it.
func ParseKey(s string) (KeyID, string, error) {
	public, key, err := license.ParseKey(s)
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), ": not ")
		return "", "", Errorf(Invalid, "this is not %s", why)
	}
	return KeyID(public), key, nil
}

// HashKey returns what is stored of a license key in its canonical form, and
// of an imported foreign one as it is.
func HashKey(key string) [32]byte { return license.KeyHash(key) }
