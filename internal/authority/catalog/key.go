package catalog

import (
	"context"
	"crypto/rand"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

const (
	MaxKeys = 100 // per license at one time
)

func digestOf(k v1.NewCredential) access.Digest { return licensing.HashKey(k.Text) }

// RotateKey gives a license a new key and ends its other keys.
func (c *Catalog) RotateKey(ctx context.Context, p access.Principal, id licensing.LicenseID, req v1.KeyRequest) (v1.NewCredential, error) {
	if err := request.Require(p, access.LicenseKeyWrite); err != nil {
		return v1.NewCredential{}, err
	}
	if req.Keep && req.Overlap != 0 {
		return v1.NewCredential{}, licensing.Errorf(licensing.Invalid, "overlap cannot be combined with keep").At("overlap")
	}
	return Once(ctx, c.ledger, p, alteration{id, licensing.KeyRotated, req}, func(tx *ledger.Tx) (v1.NewCredential, error) {
		l, ok, err := tx.LockLicense(ctx, p.Env, id)
		if l, err = Seen(p, l, ok, err, id); err != nil {
			return v1.NewCredential{}, err
		}
		if !req.Keep {
			return replaceKey(ctx, tx, l, tx.Now().Add(req.Overlap.Duration()))
		}
		key, err := newKey(ctx, tx, l, time.Time{})
		if err != nil {
			return key, err
		}
		return key, noteLicenseKey(tx, licensing.KeyAdded, l, key.ID, entry.LicenseKey{Keep: true})
	})
}

// replaceKey makes a new key for l and ends its other keys at the given time.
func replaceKey(ctx context.Context, tx *ledger.Tx, l licensing.License, at time.Time) (v1.NewCredential, error) {
	key, err := newKey(ctx, tx, l, time.Time{})
	if err != nil {
		return key, err
	}
	if err := tx.EndKeys(ctx, l.Env, l.ID, key.ID, at); err != nil {
		return key, err
	}
	return key, noteLicenseKey(tx, licensing.KeyRotated, l, key.ID, entry.LicenseKey{Overlap: licensing.Span(at.Sub(tx.Now()) / time.Second)})
}

func noteLicenseKey(tx *ledger.Tx, kind string, l licensing.License, key licensing.KeyID, data any) error {
	about := AboutLicense(l)
	about.Subject = string(key)
	return tx.Note(kind, about, data)
}

// newKey stores a new random key for l.
func newKey(ctx context.Context, tx *ledger.Tx, l licensing.License, expires time.Time) (v1.NewCredential, error) {
	var id [4]byte
	var secret [16]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	keyID, text := licensing.NewKey(id, secret)
	key := v1.NewCredential{Credential: v1.Credential{ID: keyID, CreatedAt: tx.Now(), ExpiresAt: expires}, Text: text}
	return key, insertKey(ctx, tx, l, key.Credential, digestOf(key))
}

func insertKey(ctx context.Context, tx *ledger.Tx, l licensing.License, key v1.Credential, digest access.Digest) error {
	if l.Seq.Counter > 1 {
		had, err := tx.Keys(ctx, l.Env, l.ID)
		if err != nil {
			return err
		}
		if len(had) >= MaxKeys {
			return licensing.Errorf(licensing.Conflict, "license %s already has %d keys: delete some of them first", l.ID, len(had))
		}
	}
	free, err := tx.InsertKey(ctx, store.Key{
		Env: l.Env, License: l.ID, ID: key.ID, Digest: digest.String(), Hint: key.Hint, Imported: key.Imported,
		CreatedAt: key.CreatedAt, ExpiresAt: key.ExpiresAt,
	})
	if err == nil && !free {
		err = licensing.Errorf(licensing.Exists, "the key already belongs to a license").At("key")
	}
	if err == nil {
		tx.KeyStored(l.Env, l.ID, digest)
	}
	return err
}

// DeleteKey ends one key of a license immediately.
func (c *Catalog) DeleteKey(ctx context.Context, p access.Principal, id licensing.LicenseID, key licensing.KeyID) error {
	if err := request.Require(p, access.LicenseKeyWrite); err != nil {
		return err
	}
	return c.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		l, ok, err := tx.LockLicense(ctx, p.Env, id)
		if l, err = Seen(p, l, ok, err, id); err != nil {
			return err
		}
		existed, err := tx.Tx.DeleteKey(ctx, p.Env, id, key)
		if err != nil {
			return err
		}
		if !existed {
			return request.NotFound("key", key)
		}
		return noteLicenseKey(tx, licensing.KeyRevoked, l, key, nil)
	})
}

// Keys returns the keys of a license, oldest first, including ended ones.
func (c *Catalog) Keys(ctx context.Context, p access.Principal, id licensing.LicenseID) ([]v1.Credential, error) {
	if err := request.Require(p, access.LicenseRead); err != nil {
		return nil, err
	}
	var all []v1.Credential
	err := c.ledger.DB.View(ctx, func(tx *store.Tx) error {
		if _, err := SeenLicense(ctx, tx, p, id); err != nil {
			return err
		}
		keys, err := tx.Keys(ctx, p.Env, id)
		all = make([]v1.Credential, len(keys))
		for i, k := range keys {
			all[i] = v1.Credential{ID: k.ID, Imported: k.Imported, Hint: k.Hint, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt}
		}
		return err
	})
	return all, err
}
