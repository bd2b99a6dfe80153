package authority

import (
	"context"
	"crypto/rand"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

const (
	maxKeys = 100 // of one license at once
)

// A LicenseKey is what may be known of a license key: everything but its text.
type LicenseKey struct {
	ID        licensing.KeyID `json:"id"`
	Imported  bool            `json:"imported,omitempty"`
	Hint      string          `json:"hint,omitempty" doc:"The end of an imported key."`
	CreatedAt time.Time       `json:"created_at"`
	ExpiresAt time.Time       `json:"expires_at,omitzero" doc:"Absent: as long as its license."`
}

// A NewKey is a license key with its text, which nobody can see again.
type NewKey struct {
	LicenseKey
	Text string `json:"key"`
}

func (k NewKey) digest() access.Digest { return licensing.HashKey(k.Text) }

// A KeyRequest asks for a new key of a license. The others end after Overlap,
// at once when it is zero, unless Keep.
type KeyRequest struct {
	Overlap licensing.Span `json:"overlap,omitempty" doc:"How long the other keys go on, such as 7d."`
	Keep    bool           `json:"keep,omitempty" doc:"Keep the other keys as they are."`
}

type licenseKeyEvent struct {
	Overlap licensing.Span `json:"overlap,omitempty"`
	Keep    bool           `json:"keep,omitempty"`
}

// RotateKey gives a license a new key and lets its others end.
func (a *Authority) RotateKey(ctx context.Context, p access.Principal, id licensing.LicenseID, req KeyRequest) (NewKey, error) {
	if err := require(p, access.LicenseKeyWrite); err != nil {
		return NewKey{}, err
	}
	if req.Keep && req.Overlap != 0 {
		return NewKey{}, licensing.Errorf(licensing.Invalid, "keys that are kept have no overlap").At("overlap")
	}
	return once(ctx, a, p, alteration{id, licensing.KeyRotated, req}, func(c *change) (NewKey, error) {
		l, ok, err := c.LockLicense(ctx, p.Env, id)
		if l, err = seen(p, l, ok, err, id); err != nil {
			return NewKey{}, err
		}
		if !req.Keep {
			return c.replaceKey(ctx, l, c.Now().Add(req.Overlap.Duration()))
		}
		key, err := c.newKey(ctx, l, time.Time{})
		if err != nil {
			return key, err
		}
		return key, c.noteLicenseKey(licensing.KeyAdded, l, key.ID, licenseKeyEvent{Keep: true})
	})
}

// replaceKey makes a new key for l and lets its other keys end at at.
func (c *change) replaceKey(ctx context.Context, l licensing.License, at time.Time) (NewKey, error) {
	key, err := c.newKey(ctx, l, time.Time{})
	if err != nil {
		return key, err
	}
	if err := c.EndKeys(ctx, l.Env, l.ID, key.ID, at); err != nil {
		return key, err
	}
	return key, c.noteLicenseKey(licensing.KeyRotated, l, key.ID, licenseKeyEvent{Overlap: licensing.Span(at.Sub(c.Now()) / time.Second)})
}

func (c *change) noteLicenseKey(kind string, l licensing.License, key licensing.KeyID, data any) error {
	about := aboutLicense(l)
	about.Subject = string(key)
	return c.note(kind, about, data)
}

// newKey stores a new random key for l.
func (c *change) newKey(ctx context.Context, l licensing.License, expires time.Time) (NewKey, error) {
	var id [4]byte
	var secret [16]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	keyID, text := licensing.NewKey(id, secret)
	key := NewKey{LicenseKey: LicenseKey{ID: keyID, CreatedAt: c.Now(), ExpiresAt: expires}, Text: text}
	return key, c.insertKey(ctx, l, key.LicenseKey, key.digest())
}

func (c *change) insertKey(ctx context.Context, l licensing.License, key LicenseKey, digest access.Digest) error {
	if l.Seq.Counter > 1 {
		had, err := c.Keys(ctx, l.Env, l.ID)
		if err != nil {
			return err
		}
		if len(had) >= maxKeys {
			return licensing.Errorf(licensing.Conflict, "license %s has %d keys: delete some first", l.ID, len(had))
		}
	}
	free, err := c.InsertKey(ctx, store.Key{
		Env: l.Env, License: l.ID, ID: key.ID, Digest: digest.String(), Hint: key.Hint, Imported: key.Imported,
		CreatedAt: key.CreatedAt, ExpiresAt: key.ExpiresAt,
	})
	if err == nil && !free {
		err = licensing.Errorf(licensing.Exists, "the key belongs to a license already").At("key")
	}
	if err == nil {
		c.keyStored(l.Env, l.ID, digest)
	}
	return err
}

// DeleteKey ends one key of a license at once.
func (a *Authority) DeleteKey(ctx context.Context, p access.Principal, id licensing.LicenseID, key licensing.KeyID) error {
	if err := require(p, access.LicenseKeyWrite); err != nil {
		return err
	}
	return a.update(ctx, p.Env, p.Actor, func(c *change) error {
		l, ok, err := c.LockLicense(ctx, p.Env, id)
		if l, err = seen(p, l, ok, err, id); err != nil {
			return err
		}
		existed, err := c.Tx.DeleteKey(ctx, p.Env, id, key)
		if err != nil {
			return err
		}
		if !existed {
			return notFound("key", key)
		}
		return c.noteLicenseKey(licensing.KeyRevoked, l, key, nil)
	})
}

// Keys returns the keys of a license, the oldest first, ended ones too.
func (a *Authority) Keys(ctx context.Context, p access.Principal, id licensing.LicenseID) ([]LicenseKey, error) {
	if err := require(p, access.LicenseRead); err != nil {
		return nil, err
	}
	var all []LicenseKey
	err := a.db.View(ctx, func(tx *store.Tx) error {
		if _, err := seenLicense(ctx, tx, p, id); err != nil {
			return err
		}
		keys, err := tx.Keys(ctx, p.Env, id)
		all = make([]LicenseKey, len(keys))
		for i, k := range keys {
			all[i] = LicenseKey{ID: k.ID, Imported: k.Imported, Hint: k.Hint, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt}
		}
		return err
	})
	return all, err
}
