package signing

import (
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// rootFile is a file with the private parts of root keys that is kept outside the server.
type rootFile struct {
	Kind   string    `json:"copyhold"` // "root"
	Issuer string    `json:"iss"`
	Keys   []rootKey `json:"keys"`
}

// rootKey is a private JSON Web Key (RFC 8037).
type rootKey struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	Kid string `json:"kid"`
	D   []byte `json:"d"` // seed
}

const rootKind = "root"

// ExportRoot returns the private parts of the roots that are present, for
// safekeeping: JSON with one private key each. It notes in the material that
// they were exported. It fails with NotFound if none is present.
func ExportRoot(m Material, sealing *SealingKey, now time.Time) (Secret, Material, error) {
	file := rootFile{Kind: rootKind, Issuer: m.Issuer}
	m.Keys = slices.Clone(m.Keys)
	for i, k := range m.Keys {
		if k.Use != licensing.RootKey || !k.Present() {
			continue
		}
		private, err := open(k, sealing)
		if err != nil {
			return Secret{}, m, err
		}
		m.Keys[i].ExportedAt = now
		file.Keys = append(file.Keys, rootKey{"OKP", "Ed25519", k.ID, private.Seed()})
	}
	if len(file.Keys) == 0 {
		return Secret{}, m, licensing.Errorf(licensing.NotFound, "the private part of the root key is not on this server")
	}
	text, err := file.text()
	return text, m, err
}

func (f rootFile) text() (Secret, error) {
	text, err := json.MarshalIndent(f, "", "  ")
	return Secret{append(text, '\n')}, err
}

// readRootFile reads private parts of roots of an issuer. It fails with Invalid if there are none.
func readRootFile(text Secret, issuer string) (rootFile, error) {
	var file rootFile
	if err := json.Unmarshal(text.text, &file); err != nil || file.Kind != rootKind || len(file.Keys) == 0 {
		return file, licensing.Errorf(licensing.Invalid, "the file does not contain an exported root key")
	}
	if file.Issuer != issuer {
		return file, licensing.Errorf(licensing.Invalid, "the root key belongs to %s, not to %s", file.Issuer, issuer)
	}
	for _, r := range file.Keys {
		if len(r.D) != ed25519.SeedSize {
			return file, licensing.Errorf(licensing.Invalid, "root %s has no private part", r.Kid)
		}
	}
	return file, nil
}

// ImportRoot puts private parts that ExportRoot returned back in place. It fails with
// Invalid if the text belongs to another environment or contains no root of this one.
func ImportRoot(m Material, text Secret, sealing *SealingKey) (Material, error) {
	file, err := readRootFile(text, m.Issuer)
	if err != nil {
		return Material{}, err
	}
	m.Keys = slices.Clone(m.Keys)
	found := false
	for _, r := range file.Keys {
		id := license.Thumbprint(ed25519.NewKeyFromSeed(r.D).Public().(ed25519.PublicKey))
		i := slices.IndexFunc(m.Keys, func(k licensing.SigningKey) bool {
			return k.Use == licensing.RootKey && k.ID == id && k.RetiredAt.IsZero()
		})
		if i < 0 {
			continue
		}
		sealed, err := sealing.Seal(r.D)
		if err != nil {
			return Material{}, err
		}
		m.Keys[i].Sealed, found = sealed, true
	}
	if !found {
		return Material{}, licensing.Errorf(licensing.Invalid, "none of these keys is in the root set of %s", m.Issuer)
	}
	return m, nil
}

// RemoveRoot destroys the private parts of the roots on this server. It fails with Conflict
// unless each was exported before.
func RemoveRoot(m Material) (Material, error) {
	m.Keys = slices.Clone(m.Keys)
	for i, k := range m.Keys {
		if k.Use != licensing.RootKey || !k.Present() {
			continue
		}
		if k.ExportedAt.IsZero() {
			return Material{}, licensing.Errorf(licensing.Conflict, "root key %s has not been exported; without its private part, no key set can ever be signed again", k.ID)
		}
		m.Keys[i].Sealed = ""
	}
	return m, nil
}
