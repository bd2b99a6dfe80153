package license

import (
	"errors"
	"strings"
)

// A KeySet is the signed list of keys in force, from sign_from to trust_until.
type KeySet struct {
	Claims
	Number int64 `json:"number"`         // a higher number replaces a lower one
	Root   int64 `json:"root,omitempty"` // number of the root set that signed it
	Keys   []Key `json:"keys"`
}

// A RootSet is the list of offline keys. K of them together sign key sets and the next root set.
type RootSet struct {
	Claims
	Number int64 `json:"number"`
	K      int   `json:"k"`
	Keys   []Key `json:"keys"`
}

const maxSignatures = 16 // on a set

func (KeySet) kind() Type                { return TypeKeySet }
func (RootSet) kind() Type               { return TypeRootSet }
func (s KeySet) lastDate() int64         { return s.Expires }
func (s RootSet) lastDate() int64        { return s.Expires }
func (s KeySet) ring() (keyring, error)  { return ringOf(s.Keys) }
func (s RootSet) ring() (keyring, error) { return ringOf(s.Keys) }

func (s KeySet) check() error {
	if err := s.Claims.check(); err != nil {
		return err
	}
	if s.Number < 1 {
		return fault(ErrFormat, "number %d", s.Number)
	}
	for _, k := range s.Keys {
		if k.may(TypeKeySet) || k.may(TypeRootSet) {
			return fault(ErrKey, "a signing key may not sign sets")
		}
	}
	return nil
}

func (s RootSet) check() error {
	if err := s.Claims.check(); err != nil {
		return err
	}
	if s.Number < 1 {
		return fault(ErrFormat, "number %d", s.Number)
	}
	if s.K < 1 {
		return fault(ErrThreshold, "of %d", s.K)
	}
	for _, k := range s.Keys {
		if !k.may(TypeKeySet) || !k.may(TypeRootSet) || len(k.Use) != 2 {
			return fault(ErrKey, "a root key may sign only sets")
		}
	}
	return nil
}

func ringOf(keys []Key) (keyring, error) {
	if len(keys) == 0 {
		return nil, fault(ErrFormat, "no keys")
	}
	ring := keyring{}
	named := map[string]bool{}
	for _, k := range keys {
		if named[k.Kid] {
			return nil, fault(ErrFormat, "duplicate key")
		}
		named[k.Kid] = true
		if err := ring.add(k); err != nil {
			return nil, err
		}
	}
	return ring, nil
}

// signers is the result of verifying a list of signatures over one payload.
type signers struct {
	payload []byte
	by      map[string]Key // keys of the ring that signed, by name
}

// signed verifies those signatures of a set that keys of the ring made. Other signatures belong to
// keys of the previous or the next set, and don't count here.
func (r keyring) signed(t Type, list []string) (signers, error) {
	s := signers{by: map[string]Key{}}
	for _, compact := range list {
		payload, key, err := r.verify(t, compact)
		if errors.Is(err, ErrUnknownKey) {
			continue
		}
		if err != nil {
			return signers{}, err
		}
		s.payload, s.by[key.Kid] = payload, key
	}
	return s, nil
}

// enough refuses a set that too few keys have signed, or that lies outside the dates of a key.
func (s signers) enough(k int, c Claims) error {
	if len(s.by) < k {
		return fault(ErrThreshold, "%d of %d", len(s.by), k)
	}
	for _, key := range s.by {
		if err := key.timely(c, c.Expires); err != nil {
			return err
		}
		if key.Withdrawn != 0 {
			return ErrWithdrawn
		}
	}
	return nil
}

// numberOf reads the number that a set claims to have, to skip older sets. The keys that signed
// those may be gone. It returns 0 if the list is not a set.
func numberOf(list []string) int64 {
	text, err := sharedPayload(list)
	if err != nil {
		return 0
	}
	payload, err := decode64(text)
	if err != nil {
		return 0
	}
	var set struct {
		Number int64 `json:"number"`
	}
	_ = Unmarshal(payload, &set)
	return set.Number
}

// sharedPayload returns the payload part, which must be the same in all compact documents.
func sharedPayload(list []string) (string, error) {
	if len(list) == 0 {
		return "", fault(ErrThreshold, "no signature")
	}
	if len(list) > maxSignatures {
		return "", fault(ErrFormat, "%d signatures", len(list))
	}
	shared := ""
	for i, compact := range list {
		parts := strings.SplitN(compact, ".", 3)
		if len(parts) != 3 {
			return "", fault(ErrFormat, "not three parts")
		}
		if i > 0 && parts[1] != shared {
			return "", fault(ErrFormat, "signatures over different payloads")
		}
		shared = parts[1]
	}
	return shared, nil
}
