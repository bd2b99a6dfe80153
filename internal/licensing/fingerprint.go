package licensing

import (
	"encoding/hex"

	"copyhold.dev/sdk/license"
)

// CheckComponents refuses what cannot be a machine's fingerprint for a pool
// that matches n of m: fewer components than have to agree, more than 32, or a
// value that is not a hash. A pool without a match takes any.
func (m Match) CheckComponents(components map[string]string) error {
	if len(components) > 32 {
		return Errorf(Invalid, "a machine has at most 32 components, not %d", len(components)).At("components")
	}
	for name, hash := range components {
		if err := CheckName("component", name); err != nil {
			return err
		}
		if b, err := hex.DecodeString(hash); err != nil || len(b) != 32 {
			return Errorf(Invalid, "component %s is not a SHA-256 hash in hexadecimal", name).At("components")
		}
	}
	if len(components) < m.Need {
		return Errorf(Invalid, "%d components have to agree to recognise this machine, but only %d can be read: bind it to another holder, or run where they can be read", m.Need, len(components)).At("components")
	}
	return nil
}

// Recognise finds the machine that components belong to among known ones, the
// one that agrees most; ties go to the first id. It also says whether they
// look like a copied disk of one of them.
func (m Match) Recognise(known map[string]map[string]string, components map[string]string) (id string, copied bool) {
	most := 0
	for _, candidate := range names(known, nil) {
		c := license.Compare(known[candidate], components, m.Need)
		copied = copied || c.Copied
		if c.Same && len(c.Agree) > most {
			id, most = candidate, len(c.Agree)
		}
	}
	return id, copied && id == ""
}
