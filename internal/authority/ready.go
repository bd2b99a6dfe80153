package authority

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// readyTimeout is how long the database may take to answer at all.
const readyTimeout = 2 * time.Second

// Ready returns why the authority cannot decide now, nil if it can.
func (a *Authority) Ready(ctx context.Context) error {
	if err := a.db.FatalErr(); err != nil {
		return licensing.Errorf(licensing.Unavailable, "the storage failed; the server is ending")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	now := a.now()
	if err := a.view(ctx, func(tx *store.Tx) error { now = tx.Now(); return nil }); err != nil {
		return licensing.Errorf(licensing.Unavailable, "the database does not answer")
	}
	envs := a.ring.Envs()
	if len(envs) == 0 {
		return licensing.Errorf(licensing.Unavailable, "no environment has signing keys yet")
	}
	for _, env := range envs {
		if a.ring.Active(env, now) == "" {
			return licensing.Errorf(licensing.Unavailable, "environment %s has no signing key for now: rotate, or bring the root", env)
		}
	}
	return nil
}
