package ledger

import (
	"context"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// RequireEnvironment refuses, with code invalid, an environment that does not exist:
// one without keys, whose log nobody could sign. One that another server created is
// learned of.
func (l *Ledger) RequireEnvironment(ctx context.Context, env licensing.Env) error {
	if l.Ring.Has(env) {
		return nil
	}
	exists := false
	err := l.View(ctx, func(tx *store.Tx) (err error) {
		exists, err = tx.HasKeys(ctx, env)
		return err
	})
	switch {
	case err != nil:
		return err
	case exists:
		return l.LoadKeys(ctx)
	case licensing.CheckName("environment", string(env)) != nil:
		return licensing.Errorf(licensing.Invalid, "the environment does not exist: that can't be the name of one").At("Copyhold-Environment")
	}
	return licensing.Errorf(licensing.Invalid, "environment %s does not exist: correct the name, or create it", env).At("Copyhold-Environment")
}
