package ledger

import (
	"context"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// RequireEnvironment refuses an environment that does not exist, with code invalid. Such an
// environment has no keys to sign its log. RequireEnvironment also discovers environments that
// another server created.
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
		return licensing.Errorf(licensing.Invalid, "the environment does not exist: the text is not a valid environment name").At("Copyhold-Environment")
	}
	return licensing.Errorf(licensing.Invalid, "environment %s does not exist: correct the name, or create it", env).At("Copyhold-Environment")
}
