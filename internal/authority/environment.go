package authority

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// Environments returns the environments p can reach, by name.
func (a *Authority) Environments(ctx context.Context, p access.Principal) ([]licensing.Environment, error) {
	if err := require(p, access.EnvironmentRead); err != nil {
		return nil, err
	}
	var reached []licensing.Environment
	err := a.db.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Environments(ctx)
		reached = nil
		for _, e := range all {
			if reaches(p, e.Name) {
				reached = append(reached, e)
			}
		}
		return err
	})
	return reached, err
}

// Environment returns one environment that p can reach.
func (a *Authority) Environment(ctx context.Context, p access.Principal, name licensing.Env) (licensing.Environment, error) {
	all, err := a.Environments(ctx, p)
	for _, e := range all {
		if e.Name == name {
			return e, nil
		}
	}
	if err != nil {
		return licensing.Environment{}, err
	}
	return licensing.Environment{}, notFound("environment", name)
}

func reaches(p access.Principal, env licensing.Env) bool {
	return p.Spans || p.Kind == access.KindSystem || p.Env == env
}
