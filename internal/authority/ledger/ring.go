package ledger

import (
	"context"
	"fmt"
	"reflect"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
)

// LoadKeys fills the ring with the stored keys. It opens only keys that have changed.
func (l *Ledger) LoadKeys(ctx context.Context) error {
	l.loading.Lock()
	defer l.loading.Unlock()
	var stored []signing.Material
	err := l.View(ctx, func(tx *store.Tx) error {
		stored = nil
		envs, err := tx.KeyEnvs(ctx)
		if err != nil {
			return err
		}
		for _, env := range envs {
			m, err := Material(ctx, tx, env)
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
		if loaded, ok := l.Ring.Material(m.Env); ok && reflect.DeepEqual(loaded, m) {
			continue
		}
		if err := l.Ring.Load(m); err != nil {
			return fmt.Errorf("loading the keys of %s: %w", m.Env, err)
		}
	}
	return nil
}

// Material reads an environment's keys.
func Material(ctx context.Context, tx *store.Tx, env licensing.Env) (m signing.Material, err error) {
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
