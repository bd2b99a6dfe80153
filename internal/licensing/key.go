package licensing

import (
	"strings"

	"copyhold.dev/sdk/license"
)

// NewKey returns a license key and its public id, made from 16 random bytes of secret and
// 4 of id. The SDK defines the format, because programs check it too.
func NewKey(id [4]byte, secret [16]byte) (KeyID, string) {
	public, key := license.MakeKey(id, secret)
	return KeyID(public), key
}

// ParseKey returns the public id and the canonical form of a key that a person
// typed, as license.ParseKey does. It fails with Invalid if the text has the wrong length
// or checksum. The error does not repeat the text.
func ParseKey(s string) (KeyID, string, error) {
	public, key, err := license.ParseKey(s)
	if err != nil {
		why := strings.TrimPrefix(err.Error(), license.ErrLicenseKey.Error()+": ")
		return "", "", Errorf(Invalid, "this is not a license key: %s", why)
	}
	return KeyID(public), key, nil
}

// HashKey returns what is stored for a license key: the hash of its canonical form, or
// of an imported key as it is.
func HashKey(key string) [32]byte { return license.KeyHash(key) }
