package authority

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
)

// keysEvery is how soon a server learns what another did with the keys, and how
// long after its turn a key's private part stays.
const keysEvery = 10 * time.Second

// createKeys makes the keys of an environment that has none, within the
// transaction that creates it. Call loadKeys after the commit.
func (a *Authority) createKeys(ctx context.Context, c *change, env licensing.Env) error {
	keys, err := c.SigningKeys(ctx, env)
	if err != nil || len(keys) > 0 {
		return err
	}
	d, _, err := c.Deployment(ctx)
	if err != nil {
		return err
	}
	issuer := fmt.Sprintf("urn:copyhold:%s:%s", d.ID, env)
	m, err := signing.Create(env, issuer, d.Epoch, a.ring.Sealing(), c.Now())
	if err != nil {
		return err
	}
	if err := c.noteKey(env, licensing.RootSetCreated, "", setEvent{m.RootSet.Number, m.RootSet.ExpiresAt}); err != nil {
		return err
	}
	return c.putKeys(ctx, signing.Material{Env: env}, m)
}

// PrepareKeys gives an environment keys unless it has some.
func (a *Authority) PrepareKeys(ctx context.Context, env licensing.Env) error {
	err := a.update(ctx, "", systemActor, func(c *change) error { return a.createKeys(ctx, c, env) })
	if err != nil {
		return err
	}
	return a.loadKeys(ctx)
}

// loadKeys fills the ring with what is stored, opening only what changed.
func (a *Authority) loadKeys(ctx context.Context) error {
	a.loading.Lock()
	defer a.loading.Unlock()
	var stored []signing.Material
	err := a.view(ctx, func(tx *store.Tx) error {
		stored = nil
		envs, err := tx.KeyEnvs(ctx)
		if err != nil {
			return err
		}
		for _, env := range envs {
			m, err := material(ctx, tx, env)
			if err != nil {
				return err
			}
			stored = append(stored, m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range stored {
		if loaded, ok := a.ring.Material(m.Env); ok && reflect.DeepEqual(loaded, m) {
			continue
		}
		if err := a.ring.Load(m); err != nil {
			return fmt.Errorf("loading the keys of %s: %w", m.Env, err)
		}
	}
	return nil
}

// material reads an environment's keys.
func material(ctx context.Context, tx *store.Tx, env licensing.Env) (m signing.Material, err error) {
	m.Env = env
	d, _, err := tx.Deployment(ctx)
	if err != nil {
		return m, err
	}
	m.Issuer, m.Epoch = fmt.Sprintf("urn:copyhold:%s:%s", d.ID, env), d.Epoch
	keys, err := tx.SigningKeys(ctx, env)
	if err != nil {
		return m, err
	}
	for _, k := range keys {
		if k.Use == licensing.ProposedKey {
			m.Proposed = append(m.Proposed, k)
		} else {
			m.Keys = append(m.Keys, k)
		}
	}
	roots, err := tx.SignedSets(ctx, env, licensing.RootSet)
	if err != nil {
		return m, err
	}
	if len(m.Keys) == 0 || len(roots) == 0 {
		return m, licensing.Errorf(licensing.NotFound, "environment %s has no signing keys", env)
	}
	for _, s := range roots[:len(roots)-1] {
		m.Earlier = append(m.Earlier, s.Documents)
	}
	m.RootSet = roots[len(roots)-1]
	m.KeySet, _, err = tx.SignedSet(ctx, env, licensing.KeySet)
	return m, err
}

// changeKeys stores what fn makes of an environment's keys, and uses it.
func (a *Authority) changeKeys(ctx context.Context, p access.Principal, fn func(*change, signing.Material) (signing.Material, error)) error {
	err := a.update(ctx, p.Env, p.Actor, func(c *change) error {
		if err := c.LockSigningKeys(ctx, p.Env); err != nil {
			return err
		}
		was, err := material(ctx, c.Tx, p.Env)
		if err != nil {
			return err
		}
		m, err := fn(c, was)
		if err != nil {
			return err
		}
		return c.putKeys(ctx, was, m)
	})
	if err != nil {
		return err
	}
	return a.loadKeys(ctx)
}

// putKeys stores what differs between two materials and records new keys and sets.
func (c *change) putKeys(ctx context.Context, was, m signing.Material) error {
	if !reflect.DeepEqual(was.Proposed, m.Proposed) {
		if err := c.DropProposedKeys(ctx, m.Env); err != nil {
			return err
		}
		for _, k := range m.Proposed {
			if err := c.PutSigningKey(ctx, k); err != nil {
				return err
			}
		}
	}
	for i, k := range m.Keys {
		if i < len(was.Keys) && reflect.DeepEqual(was.Keys[i], k) {
			continue
		}
		if err := c.PutSigningKey(ctx, k); err != nil {
			return err
		}
		if i >= len(was.Keys) {
			if err := c.noteKey(m.Env, licensing.SigningKeyCreated, k.ID, keyEvent{k.Use, k.SignUntil, k.TrustUntil}); err != nil {
				return err
			}
		}
	}
	if m.RootSet.Number > was.RootSet.Number {
		if err := c.PutSignedSet(ctx, m.RootSet); err != nil {
			return err
		}
	}
	if m.KeySet.Number == was.KeySet.Number {
		return nil
	}
	if err := c.PutSignedSet(ctx, m.KeySet); err != nil {
		return err
	}
	return c.noteKey(m.Env, licensing.KeySetSigned, "", setEvent{m.KeySet.Number, m.KeySet.ExpiresAt})
}

type keyEvent struct {
	Use        licensing.KeyUse `json:"use"`
	SignUntil  time.Time        `json:"sign_until"`
	TrustUntil time.Time        `json:"trust_until"`
}

type setEvent struct {
	Number  int64     `json:"number"`
	Expires time.Time `json:"expires"`
}

func (c *change) noteKey(env licensing.Env, kind, kid string, data any) error {
	e, err := licensing.NewEvent(kind, env, c.Now(), c.actor, data)
	if err != nil {
		return err
	}
	e.Subject = kid
	_, err = c.Record(e)
	return err
}

// runSigningKeys retires keys whose turn is over, prepares more while a root is
// here, and learns what other servers did, until ctx ends.
func (a *Authority) runSigningKeys(ctx context.Context) {
	a.every(ctx, keysEvery, "signing keys", a.tendKeys)
}

// tendKeys does what is due with every environment's keys.
func (a *Authority) tendKeys(ctx context.Context) error {
	err := a.loadKeys(ctx)
	for _, env := range a.ring.Envs() {
		m, _ := a.ring.Material(env)
		if !m.Due(a.now()) {
			continue
		}
		err = errors.Join(err, a.changeKeys(ctx, access.System(env, "signing-keys"), func(c *change, m signing.Material) (signing.Material, error) {
			return m.Tend(a.ring.Sealing(), c.Now())
		}))
	}
	return err
}

// A SigningKey is a signing key as people and programs read it.
type SigningKey struct {
	Kid        string           `json:"kid"`
	Use        licensing.KeyUse `json:"use"`
	State      string           `json:"state"` // signs, prepared, retired, ended, withdrawn
	Here       bool             `json:"here"`  // the private part is on the server
	SignFrom   time.Time        `json:"sign_from"`
	SignUntil  time.Time        `json:"sign_until"`
	TrustUntil time.Time        `json:"trust_until"`
	Withdrawn  time.Time        `json:"withdrawn,omitzero"`
	Exported   time.Time        `json:"exported,omitzero"` // a root's private part was handed out
}

// SigningKeys returns the environment's keys: those that sign documents in the
// order of their turns, the log's, the roots.
func (a *Authority) SigningKeys(ctx context.Context, p access.Principal) ([]SigningKey, error) {
	if err := require(p, access.SigningKeyRead); err != nil {
		return nil, err
	}
	var list []SigningKey
	err := a.view(ctx, func(tx *store.Tx) error {
		m, err := material(ctx, tx, p.Env)
		if err != nil {
			return err
		}
		list = signingKeys(m, tx.Now())
		return nil
	})
	return list, err
}

func signingKeys(m signing.Material, now time.Time) []SigningKey {
	list := make([]SigningKey, 0, len(m.Keys))
	for _, k := range m.Keys {
		list = append(list, SigningKey{
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

// RotateSigningKey retires the key that signs documents and has the next one
// sign from now on, which it returns. What was signed stays good.
func (a *Authority) RotateSigningKey(ctx context.Context, p access.Principal) (SigningKey, error) {
	if err := require(p, access.SigningKeyWrite); err != nil {
		return SigningKey{}, err
	}
	var active SigningKey
	err := a.changeKeys(ctx, p, func(c *change, m signing.Material) (signing.Material, error) {
		was := m.Active(c.Now())
		m, err := signing.Rotate(m, a.ring.Sealing(), c.Now())
		if err != nil {
			return m, err
		}
		active = keyOf(m, m.Active(c.Now()), c.Now())
		return m, c.noteKey(p.Env, licensing.SigningKeyRotated, was, rotateEvent{was, active.Kid})
	})
	return active, err
}

type rotateEvent struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func keyOf(m signing.Material, kid string, now time.Time) SigningKey {
	for _, k := range signingKeys(m, now) {
		if k.Kid == kid {
			return k
		}
	}
	return SigningKey{}
}

// WithdrawSigningKey publishes a key set that says to believe nothing which a
// key signed from cutoff on; zero is now. It needs the root.
func (a *Authority) WithdrawSigningKey(ctx context.Context, p access.Principal, kid string, cutoff time.Time, reason string) (SigningKey, error) {
	if err := require(p, access.SigningKeyWrite); err != nil {
		return SigningKey{}, err
	}
	if err := licensing.CheckDate("cutoff", cutoff); err != nil {
		return SigningKey{}, err
	}
	var withdrawn SigningKey
	err := a.changeKeys(ctx, p, func(c *change, m signing.Material) (signing.Material, error) {
		from := cutoff
		if from.IsZero() {
			from = c.Now()
		}
		m, err := signing.Withdraw(m, kid, from, a.ring.Sealing(), c.Now())
		if err != nil {
			return m, err
		}
		withdrawn = keyOf(m, kid, c.Now())
		return m, c.noteKey(p.Env, licensing.SigningKeyWithdrawn, kid, withdrawEvent{from, reason})
	})
	return withdrawn, err
}

type withdrawEvent struct {
	Cutoff time.Time `json:"cutoff"`
	Reason string    `json:"reason,omitempty"`
}

// ExportRoot hands out the private parts of the roots for safe-keeping.
func (a *Authority) ExportRoot(ctx context.Context, p access.Principal) (signing.Secret, error) {
	if err := require(p, access.RootWrite); err != nil {
		return signing.Secret{}, err
	}
	var root signing.Secret
	err := a.changeKeys(ctx, p, func(c *change, m signing.Material) (_ signing.Material, err error) {
		if root, m, err = signing.ExportRoot(m, a.ring.Sealing(), c.Now()); err != nil {
			return m, err
		}
		return m, c.noteKey(p.Env, licensing.RootSetExported, "", nil)
	})
	return root, err
}

// RemoveRoot destroys the private parts of the roots here. Everything goes on
// until the last prepared key's turn ends. Conflict before they were exported.
func (a *Authority) RemoveRoot(ctx context.Context, p access.Principal) error {
	if err := require(p, access.RootWrite); err != nil {
		return err
	}
	return a.changeKeys(ctx, p, func(c *change, m signing.Material) (signing.Material, error) {
		m, err := signing.RemoveRoot(m)
		if err != nil {
			return m, err
		}
		return m, c.noteKey(p.Env, licensing.RootSetRemoved, "", nil)
	})
}

// ImportRoot puts exported private parts of the roots back, for a ceremony: a
// withdrawal, or preparing more keys, which follows by itself when they are short.
func (a *Authority) ImportRoot(ctx context.Context, p access.Principal, text signing.Secret) error {
	if err := require(p, access.RootWrite); err != nil {
		return err
	}
	return a.changeKeys(ctx, p, func(c *change, m signing.Material) (signing.Material, error) {
		m, err := signing.ImportRoot(m, text, a.ring.Sealing())
		if err != nil {
			return m, err
		}
		return m, c.noteKey(p.Env, licensing.RootSetImported, "", nil)
	})
}

// FeatureKey returns the public key that data of a feature is sealed to. The
// feature gets a key pair when it is asked for the first time.
func (a *Authority) FeatureKey(ctx context.Context, p access.Principal, product licensing.ProductName, feature string) ([]byte, error) {
	if err := require(p, access.ProductWrite); err != nil {
		return nil, err
	}
	var key licensing.FeatureKey
	var ok bool
	err := a.view(ctx, func(tx *store.Tx) error {
		_, err := seenProduct(ctx, tx, p, product)
		if err != nil {
			return err
		}
		key, ok, err = tx.FeatureKey(ctx, p.Env, product, feature)
		return err
	})
	if err != nil || ok {
		return key.Public, err
	}
	made, err := signing.NewFeatureKey(p.Env, product, feature, a.ring.Sealing())
	if err != nil {
		return nil, err
	}
	err = a.update(ctx, p.Env, p.Actor, func(c *change) (err error) {
		if err := c.LockEnvironment(ctx, p.Env); err != nil {
			return err
		}
		sealed, err := c.FeatureKeys(ctx, p.Env, product)
		if err != nil {
			return err
		}
		known := slices.ContainsFunc(sealed, func(f licensing.FeatureKey) bool { return f.Feature == feature })
		if !known && len(sealed) >= licensing.MaxSealed {
			return licensing.Errorf(licensing.Conflict, "product %s has %d sealed features, which is the most: a document carries a key for each", product, len(sealed)).At("feature")
		}
		key, err = c.CreateFeatureKey(ctx, made)
		return err
	})
	return key.Public, err
}
