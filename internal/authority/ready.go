package authority

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// readyTimeout is how long the database may take to answer at all.
const readyTimeout = 2 * time.Second

// Ready returns why the authority cannot decide now, nil if it can. What only
// some licenses or environments lack is no reason: the runway tells it.
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
	for _, env := range a.ring.Envs() {
		if a.ring.Active(env, now) != "" {
			return nil
		}
	}
	return licensing.Errorf(licensing.Unavailable, "no environment has a signing key for now: rotate, or bring the root")
}
