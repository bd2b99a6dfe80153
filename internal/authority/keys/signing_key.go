package keys

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// keysEvery is how often a server checks for key changes by other servers. It is also how long a
// key's private part remains after its turn.
const keysEvery = 10 * time.Second

// Create makes the keys of an environment that has none, in the transaction that creates the
// environment. Call LoadKeys after the commit.
func (k *Keychain) Create(ctx context.Context, tx *ledger.Tx, env licensing.Env) error {
	keys, err := tx.SigningKeys(ctx, env)
	if err != nil || len(keys) > 0 {
		return err
	}
	d, _, err := tx.Deployment(ctx)
	if err != nil {
		return err
	}
	issuer := fmt.Sprintf("urn:copyhold:%s:%s", d.ID, env)
	m, err := signing.Create(env, issuer, d.Epoch, k.ledger.Ring.Sealing(), tx.Now())
	if err != nil {
		return err
	}
	if err := noteKey(tx, env, licensing.RootSetCreated, "", entry.Set{Number: m.RootSet.Number, Expires: m.RootSet.ExpiresAt}); err != nil {
		return err
	}
	return putKeys(ctx, tx, signing.Material{Env: env}, m)
}

// PrepareKeys creates keys for an environment that has none.
func (k *Keychain) PrepareKeys(ctx context.Context, env licensing.Env) error {
	err := k.ledger.Update(ctx, "", ledger.SystemActor, func(tx *ledger.Tx) error { return k.Create(ctx, tx, env) })
	if err != nil {
		return err
	}
	return k.ledger.LoadKeys(ctx)
}

// changeKeys stores the changes that fn makes to an environment's keys, and loads them.
func (k *Keychain) changeKeys(ctx context.Context, p access.Principal, fn func(*ledger.Tx, signing.Material) (signing.Material, error)) error {
	err := k.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		if err := tx.LockSigningKeys(ctx, p.Env); err != nil {
			return err
		}
		was, err := ledger.Material(ctx, tx.Tx, p.Env)
		if err != nil {
			return err
		}
		m, err := fn(tx, was)
		if err != nil {
			return err
		}
		return putKeys(ctx, tx, was, m)
	})
	if err != nil {
		return err
	}
	return k.ledger.LoadKeys(ctx)
}

// putKeys stores the differences between two materials and records new keys and sets.
func putKeys(ctx context.Context, tx *ledger.Tx, was, m signing.Material) error {
	if !reflect.DeepEqual(was.Proposed, m.Proposed) {
		if err := tx.DropProposedKeys(ctx, m.Env); err != nil {
			return err
		}
		for _, k := range m.Proposed {
			if err := tx.PutSigningKey(ctx, k); err != nil {
				return err
			}
		}
	}
	for i, k := range m.Keys {
		if i < len(was.Keys) && reflect.DeepEqual(was.Keys[i], k) {
			continue
		}
		if err := tx.PutSigningKey(ctx, k); err != nil {
			return err
		}
		if i >= len(was.Keys) {
			if err := noteKey(tx, m.Env, licensing.SigningKeyCreated, k.ID, entry.Key{Use: k.Use, SignUntil: k.SignUntil, TrustUntil: k.TrustUntil}); err != nil {
				return err
			}
		}
	}
	if m.RootSet.Number > was.RootSet.Number {
		if err := tx.PutSignedSet(ctx, m.RootSet); err != nil {
			return err
		}
	}
	if m.KeySet.Number == was.KeySet.Number {
		return nil
	}
	if err := tx.PutSignedSet(ctx, m.KeySet); err != nil {
		return err
	}
	return noteKey(tx, m.Env, licensing.KeySetSigned, "", entry.Set{Number: m.KeySet.Number, Expires: m.KeySet.ExpiresAt})
}

func noteKey(tx *ledger.Tx, env licensing.Env, kind, kid string, data any) error {
	e, err := licensing.NewEvent(kind, env, tx.Now(), tx.Actor, data)
	if err != nil {
		return err
	}
	e.Subject = kid
	_, err = tx.Record(e)
	return err
}

// runSigningKeys tends the keys until ctx ends. It retires keys whose turn is over, prepares more
// keys while a root is on the server, and loads the changes of other servers.
func (k *Keychain) runSigningKeys(ctx context.Context) {
	k.ledger.Every(ctx, keysEvery, "signing keys", k.TendKeys)
}

// TendKeys does the work that is due on every environment's keys.
func (k *Keychain) TendKeys(ctx context.Context) error {
	err := k.ledger.LoadKeys(ctx)
	for _, env := range k.ledger.Ring.Envs() {
		m, _ := k.ledger.Ring.Material(env)
		if !m.Due(k.ledger.Now()) {
			continue
		}
		err = errors.Join(err, k.changeKeys(ctx, access.System(env, "signing-keys"), func(tx *ledger.Tx, m signing.Material) (signing.Material, error) {
			return m.Tend(k.ledger.Ring.Sealing(), tx.Now())
		}))
	}
	return err
}

// SigningKeys returns the environment's keys: first those that sign documents, in the order of
// their turns, then the log's key, then the roots.
func (k *Keychain) SigningKeys(ctx context.Context, p access.Principal) ([]v1.SigningKey, error) {
	if err := request.Require(p, access.SigningKeyRead); err != nil {
		return nil, err
	}
	var list []v1.SigningKey
	err := k.ledger.View(ctx, func(tx *store.Tx) error {
		m, err := ledger.Material(ctx, tx, p.Env)
		if err != nil {
			return err
		}
		list = signingKeys(m, tx.Now())
		return nil
	})
	return list, err
}

func signingKeys(m signing.Material, now time.Time) []v1.SigningKey {
	list := make([]v1.SigningKey, 0, len(m.Keys))
	for _, k := range m.Keys {
		list = append(list, v1.SigningKey{
			Kid: k.ID, Use: k.Use, State: keyState(k, m.Active(now), now), Here: k.Present(),
			SignFrom: k.SignFrom, SignUntil: k.SignUntil, TrustUntil: k.TrustUntil,
			Withdrawn: k.WithdrawnAt, Exported: k.ExportedAt,
		})
	}
	return list
}

func keyState(k licensing.SigningKey, active string, now time.Time) string {
	switch {
	case !k.WithdrawnAt.IsZero():
		return "withdrawn"
	case !now.Before(k.SignUntil):
		return "ended"
	case !k.RetiredAt.IsZero():
		return "retired"
	case k.Use == licensing.DocumentKey && k.ID != active:
		return "prepared"
	}
	return "signs"
}

// RotateSigningKey retires the key that signs documents. The next key, which it returns, signs from
// now on. Documents that the old key signed remain valid.
func (k *Keychain) RotateSigningKey(ctx context.Context, p access.Principal) (v1.SigningKey, error) {
	if err := request.Require(p, access.SigningKeyWrite); err != nil {
		return v1.SigningKey{}, err
	}
	var active v1.SigningKey
	err := k.changeKeys(ctx, p, func(tx *ledger.Tx, m signing.Material) (signing.Material, error) {
		was := m.Active(tx.Now())
		m, err := signing.Rotate(m, k.ledger.Ring.Sealing(), tx.Now())
		if err != nil {
			return m, err
		}
		active = keyOf(m, m.Active(tx.Now()), tx.Now())
		return m, noteKey(tx, p.Env, licensing.SigningKeyRotated, was, entry.Rotate{From: was, To: active.Kid})
	})
	return active, err
}

func keyOf(m signing.Material, kid string, now time.Time) v1.SigningKey {
	for _, k := range signingKeys(m, now) {
		if k.Kid == kid {
			return k
		}
	}
	return v1.SigningKey{}
}

// WithdrawSigningKey publishes a key set by which nothing that a key signed from cutoff on is
// valid. A zero cutoff means now. It needs the root.
func (k *Keychain) WithdrawSigningKey(ctx context.Context, p access.Principal, kid string, cutoff time.Time, reason string) (v1.SigningKey, error) {
	if err := request.Require(p, access.SigningKeyWrite); err != nil {
		return v1.SigningKey{}, err
	}
	if err := licensing.CheckDate("cutoff", cutoff); err != nil {
		return v1.SigningKey{}, err
	}
	var withdrawn v1.SigningKey
	err := k.changeKeys(ctx, p, func(tx *ledger.Tx, m signing.Material) (signing.Material, error) {
		from := cutoff
		if from.IsZero() {
			from = tx.Now()
		}
		m, err := signing.Withdraw(m, kid, from, k.ledger.Ring.Sealing(), tx.Now())
		if err != nil {
			return m, err
		}
		withdrawn = keyOf(m, kid, tx.Now())
		return m, noteKey(tx, p.Env, licensing.SigningKeyWithdrawn, kid, entry.Withdraw{Cutoff: from, Reason: reason})
	})
	return withdrawn, err
}

// ExportRoot returns the private parts of the roots for safekeeping.
func (k *Keychain) ExportRoot(ctx context.Context, p access.Principal) (signing.Secret, error) {
	if err := request.Require(p, access.RootWrite); err != nil {
		return signing.Secret{}, err
	}
	var root signing.Secret
	err := k.changeKeys(ctx, p, func(tx *ledger.Tx, m signing.Material) (_ signing.Material, err error) {
		if root, m, err = signing.ExportRoot(m, k.ledger.Ring.Sealing(), tx.Now()); err != nil {
			return m, err
		}
		return m, noteKey(tx, p.Env, licensing.RootSetExported, "", nil)
	})
	return root, err
}

// RemoveRoot destroys the private parts of the roots on this server. The server keeps signing until
// the turn of the last prepared key ends. The error is Conflict if the roots have not been
// exported.
func (k *Keychain) RemoveRoot(ctx context.Context, p access.Principal) error {
	if err := request.Require(p, access.RootWrite); err != nil {
		return err
	}
	return k.changeKeys(ctx, p, func(tx *ledger.Tx, m signing.Material) (signing.Material, error) {
		m, err := signing.RemoveRoot(m)
		if err != nil {
			return m, err
		}
		return m, noteKey(tx, p.Env, licensing.RootSetRemoved, "", nil)
	})
}

// ImportRoot restores exported private parts of the roots for a ceremony: a withdrawal, or
// preparing more keys. If few keys are left, the server prepares more automatically.
func (k *Keychain) ImportRoot(ctx context.Context, p access.Principal, text signing.Secret) error {
	if err := request.Require(p, access.RootWrite); err != nil {
		return err
	}
	return k.changeKeys(ctx, p, func(tx *ledger.Tx, m signing.Material) (signing.Material, error) {
		m, err := signing.ImportRoot(m, text, k.ledger.Ring.Sealing())
		if err != nil {
			return m, err
		}
		return m, noteKey(tx, p.Env, licensing.RootSetImported, "", nil)
	})
}

// FeatureKey returns the public key to which a feature's data is sealed. The first call for a
// feature creates its key pair.
func (k *Keychain) FeatureKey(ctx context.Context, p access.Principal, product licensing.ProductName, feature string) ([]byte, error) {
	if err := request.Require(p, access.ProductWrite); err != nil {
		return nil, err
	}
	var key licensing.FeatureKey
	var ok bool
	err := k.ledger.View(ctx, func(tx *store.Tx) error {
		_, err := catalog.SeenProduct(ctx, tx, p, product)
		if err != nil {
			return err
		}
		key, ok, err = tx.FeatureKey(ctx, p.Env, product, feature)
		return err
	})
	if err != nil || ok {
		return key.Public, err
	}
	made, err := signing.NewFeatureKey(p.Env, product, feature, k.ledger.Ring.Sealing())
	if err != nil {
		return nil, err
	}
	err = k.ledger.Update(ctx, p.Env, p.Actor, func(c *ledger.Tx) (err error) {
		if err := c.LockEnvironment(ctx, p.Env); err != nil {
			return err
		}
		sealed, err := c.FeatureKeys(ctx, p.Env, product)
		if err != nil {
			return err
		}
		known := slices.ContainsFunc(sealed, func(f licensing.FeatureKey) bool { return f.Feature == feature })
		if !known && len(sealed) >= licensing.MaxSealed {
			return licensing.Errorf(licensing.Conflict, "product %s already has %d sealed features, the maximum: a document contains a key for each of them", product, len(sealed)).At("feature")
		}
		key, err = c.CreateFeatureKey(ctx, made)
		return err
	})
	return key.Public, err
}
