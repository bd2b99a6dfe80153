package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// A LicenseKey is a text that a person enters as a license key, and the expected result.
type LicenseKey struct {
	Name    string `json:"name"`
	Why     string `json:"why"`
	Error   string `json:"error,omitempty"` // "" if the text may be a key
	Text    string `json:"text"`
	Public  string `json:"public,omitempty"` // the key's id; "" for a key of another system
	Key     string `json:"key,omitempty"`    // the normal form
	Hash    string `json:"hash,omitempty"`   // SHA-256 of that, hexadecimal
	Issuer  string `json:"issuer,omitempty"`
	Subject string `json:"subject,omitempty"`
	Digest  string `json:"digest,omitempty"` // the key's name in documents of that issuer and license
}

const (
	aKey       = "CH-04000-01000-00000-00000-00000-00000-04KEJ"
	anotherKey = "CH-0C2GE-01081-G8186-0W40J-2GB1G-6GW3R-GWV6T"
)

// licenseKeys returns the vectors of license keys.
func licenseKeys() []LicenseKey {
	good := func(name, why, typed, key string) LicenseKey {
		hash := sha256.Sum256([]byte(key))
		k := LicenseKey{Name: name, Why: why, Text: typed, Key: key, Hash: hex.EncodeToString(hash[:]), Issuer: issuer, Subject: "lic_1"}
		if strings.HasPrefix(key, "CH-") {
			k.Public = key[3:8]
		}
		sum := sha256.Sum256(append([]byte("copyhold/v1/license-key\x00"+issuer+"\x00lic_1\x00"), hash[:]...))
		k.Digest = base64.RawURLEncoding.EncodeToString(sum[:16])
		return k
	}
	bad := func(name, why, typed string) LicenseKey {
		return LicenseKey{Name: name, Why: why, Error: "LicenseKey", Text: typed}
	}
	other := good("another license", "digests of two licenses can't be compared", aKey, aKey)
	other.Subject, other.Digest = "lic_2", ""
	hash := sha256.Sum256([]byte(aKey))
	sum := sha256.Sum256(append([]byte("copyhold/v1/license-key\x00"+issuer+"\x00lic_2\x00"), hash[:]...))
	other.Digest = base64.RawURLEncoding.EncodeToString(sum[:16])
	return []LicenseKey{
		good("canonical", "as it was issued", aKey, aKey),
		good("another key", "every group differs", anotherKey, anotherKey),
		other,
		good("lower case", "case does not matter", strings.ToLower(aKey), aKey),
		good("without dashes", "dashes do not matter", strings.ReplaceAll(aKey, "-", ""), aKey),
		good("with spaces", "spaces, tabs and line ends do not matter", " "+strings.ReplaceAll(aKey, "-", " \t")+"\r\n", aKey),
		good("o for 0", "o is read as 0", "CH-O4OOO-O1OOO-ooooo-ooooo-ooooo-ooooo-O4KEJ", aKey),
		good("l and i for 1", "l and i are read as 1", strings.NewReplacer("1", "l").Replace(anotherKey), anotherKey),
		good("of another system", "a text that does not begin with CH- is taken as it is", "ACME 1234-abcd", "ACME 1234-abcd"),
		bad("one digit changed", "the checksum does not agree", strings.Replace(aKey, "04000", "04001", 1)),
		bad("two groups swapped", "the checksum does not agree", strings.Replace(aKey, "04000-01000", "01000-04000", 1)),
		bad("a group missing", "35 digits follow CH", strings.Replace(aKey, "-00000", "", 1)),
		bad("a digit too many", "35 digits follow CH", aKey+"0"),
		bad("half a key", "a file was read while it was written", aKey[:20]),
		bad("not a digit", "u is none of the 32 digits", strings.Replace(aKey, "01000", "0U000", 1)),
		bad("nothing but the beginning", "35 digits follow CH", "CH-"),
	}
}
