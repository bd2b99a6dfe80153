package license

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// TestLicenseKeyVectorsHold reads keys as people type them, and computes their names in documents.
func TestLicenseKeyVectorsHold(t *testing.T) {
	var vectors []struct{ Name, Error, Text, Public, Key, Hash, Issuer, Subject, Digest string }
	readJSON(t, "licensekey", &vectors)
	if len(vectors) < 16 {
		t.Errorf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		key, err := NormalKey(v.Text)
		if v.Error != "" {
			if !errors.Is(err, ErrLicenseKey) {
				t.Errorf("%s: %v", v.Name, err)
			} else if len(v.Text) > 10 && strings.Contains(err.Error(), v.Text[3:8]) {
				t.Errorf("%s: the error repeats the key: %v", v.Name, err)
			}
			continue
		}
		hash := KeyHash(key)
		public, _, _ := ParseKey(v.Text)
		if err != nil || key != v.Key || public != v.Public || hex.EncodeToString(hash[:]) != v.Hash {
			t.Errorf("%s: %q of %q, %v", v.Name, key, public, err)
		}
		l := &License{Claims: Claims{Issuer: v.Issuer, Subject: v.Subject}, LicenseKeys: []string{v.Digest}}
		if KeyDigest(v.Issuer, v.Subject, hash) != v.Digest || !l.HasKey(hash) || l.HasKey(KeyHash("another")) {
			t.Errorf("%s: digest %s, want %s", v.Name, KeyDigest(v.Issuer, v.Subject, hash), v.Digest)
		}
	}
}

func TestKeysThatAreMadeAreRead(t *testing.T) {
	for i := range byte(200) {
		public, key := MakeKey([4]byte{i, i * 7}, [16]byte{i * 3, 15: i})
		if id, same, err := ParseKey(key); err != nil || same != key || id != public {
			t.Errorf("%s is read as %s, %v", key, same, err)
		}
	}
}
