package authority

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"copyhold.dev/internal/audit"
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
	err := a.update(ctx, env, systemActor, func(c *change) error { return a.createKeys(ctx, c, env) })
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
	if m.Keys, err = tx.SigningKeys(ctx, env); err != nil {
		return m, err
	}
	if len(m.Keys) == 0 {
		return m, licensing.Errorf(licensing.NotFound, "environment %s has no signing keys", env)
	}
	if m.RootSet, _, err = tx.SignedSet(ctx, env, licensing.RootSet); err != nil {
		return m, err
	}
	m.KeySet, _, err = tx.SignedSet(ctx, env, licensing.KeySet)
	return m, err
}

// changeKeys stores what fn makes of an environment's keys, and uses it.
func (a *Authority) changeKeys(ctx context.Context, env licensing.Env, actor string, fn func(*change, signing.Material) (signing.Material, error)) error {
	err := a.update(ctx, env, actor, func(c *change) error {
		if err := c.LockSigningKeys(ctx, env); err != nil {
			return err
		}
		was, err := material(ctx, c.Tx, env)
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
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := a.tendKeys(ctx); ctx.Err() == nil {
			a.task("signing keys", err)
		}
	}
}

// tendKeys does what is due with every environment's keys.
func (a *Authority) tendKeys(ctx context.Context) error {
	err := a.loadKeys(ctx)
	for _, env := range a.ring.Envs() {
		m, _ := a.ring.Material(env)
		if !m.Due(a.now()) {
			continue
		}
		err = errors.Join(err, a.changeKeys(ctx, env, systemActor, func(c *change, m signing.Material) (signing.Material, error) {
			return m.Tend(a.ring.Sealing(), c.Now())
		}))
	}
	return err
}

// rotateKey retires the key that signs and has the next one sign from now on.
func (a *Authority) rotateKey(ctx context.Context, env licensing.Env, actor string) (active string, err error) {
	err = a.changeKeys(ctx, env, actor, func(c *change, m signing.Material) (signing.Material, error) {
		was := m.Active(c.Now())
		m, err := signing.Rotate(m, a.ring.Sealing(), c.Now())
		if err != nil {
			return m, err
		}
		active = m.Active(c.Now())
		return m, c.noteKey(env, licensing.SigningKeyRotated, was, rotateEvent{was, active})
	})
	return active, err
}

type rotateEvent struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// withdrawKey says that nothing is believed which a key signed from cutoff on.
func (a *Authority) withdrawKey(ctx context.Context, env licensing.Env, actor, kid string, cutoff time.Time) error {
	return a.changeKeys(ctx, env, actor, func(c *change, m signing.Material) (signing.Material, error) {
		m, err := signing.Withdraw(m, kid, cutoff, a.ring.Sealing(), c.Now())
		if err != nil {
			return m, err
		}
		return m, c.noteKey(env, licensing.SigningKeyWithdrawn, kid, withdrawEvent{cutoff})
	})
}

type withdrawEvent struct {
	Cutoff time.Time `json:"cutoff"`
}

// exportRoot hands out the private parts of the roots for safe-keeping.
func (a *Authority) exportRoot(ctx context.Context, env licensing.Env, actor string) (root signing.Secret, err error) {
	err = a.changeKeys(ctx, env, actor, func(c *change, m signing.Material) (signing.Material, error) {
		root, m, err = signing.ExportRoot(m, a.ring.Sealing(), c.Now())
		if err != nil {
			return m, err
		}
		return m, c.noteKey(env, licensing.RootSetExported, "", nil)
	})
	return root, err
}

// removeRoot destroys the private parts of the roots here.
func (a *Authority) removeRoot(ctx context.Context, env licensing.Env, actor string) error {
	return a.changeKeys(ctx, env, actor, func(c *change, m signing.Material) (signing.Material, error) {
		m, err := signing.RemoveRoot(m)
		if err != nil {
			return m, err
		}
		return m, c.noteKey(env, licensing.RootSetRemoved, "", nil)
	})
}

// importRoot puts the private parts of the roots back, for a ceremony.
func (a *Authority) importRoot(ctx context.Context, env licensing.Env, actor string, text signing.Secret) error {
	return a.changeKeys(ctx, env, actor, func(c *change, m signing.Material) (signing.Material, error) {
		m, err := signing.ImportRoot(m, text, a.ring.Sealing())
		if err != nil {
			return m, err
		}
		return m, c.noteKey(env, licensing.RootSetImported, "", nil)
	})
}

// logKey returns the verifier key for heads of an origin.
func (a *Authority) logKey(env licensing.Env, origin string) (string, error) {
	public, _, err := a.ring.LogKey(env)
	if err != nil {
		return "", err
	}
	return audit.VerifierKey(origin, public), nil
}
