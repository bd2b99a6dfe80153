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

// requireEnvironment refuses, with code invalid, an environment that does not exist:
// one without keys, whose log nobody could sign. One that another server created is
// learned of.
func (a *Authority) requireEnvironment(ctx context.Context, env licensing.Env) error {
	if a.ring.Has(env) {
		return nil
	}
	exists := false
	err := a.view(ctx, func(tx *store.Tx) (err error) {
		exists, err = tx.HasKeys(ctx, env)
		return err
	})
	switch {
	case err != nil:
		return err
	case exists:
		return a.loadKeys(ctx)
	case licensing.CheckName("environment", string(env)) != nil:
		return licensing.Errorf(licensing.Invalid, "the environment does not exist: that can't be the name of one").At("Copyhold-Environment")
	}
	return licensing.Errorf(licensing.Invalid, "environment %s does not exist: correct the name, or create it", env).At("Copyhold-Environment")
}

func reaches(p access.Principal, env licensing.Env) bool {
	return p.Spans || p.Kind == access.KindSystem || p.Env == env
}

// CreateEnvironment makes a new environment with its own signing keys. Its name
// is for good.
func (a *Authority) CreateEnvironment(ctx context.Context, p access.Principal, e licensing.Environment) (licensing.Environment, error) {
	if err := require(p, access.EnvironmentWrite); err != nil {
		return e, err
	}
	if err := e.Check(); err != nil {
		return e, err
	}
	if e.Name == access.AllEnvironments {
		return e, licensing.Errorf(licensing.Invalid, "%q stands for every environment and can't be the name of one", e.Name).At("name")
	}
	if !p.Spans && p.Kind != access.KindSystem {
		return e, licensing.Errorf(licensing.Forbidden, "only a token that spans environments creates one")
	}
	created, err := once(ctx, a, p, e, func(c *change) (licensing.Environment, error) { return a.createEnvironment(ctx, c, e) })
	if err != nil {
		return created, err
	}
	return created, a.loadKeys(ctx)
}

func (a *Authority) createEnvironment(ctx context.Context, c *change, e licensing.Environment) (licensing.Environment, error) {
	e.Created = c.Now()
	free, err := c.InsertEnvironment(ctx, e)
	if err != nil {
		return e, err
	}
	if !free {
		return e, licensing.Errorf(licensing.Exists, "there is an environment %s already", e.Name).At("name")
	}
	if err := a.newKeys(ctx, c, e.Name); err != nil {
		return e, err
	}
	return e, c.note(licensing.EnvironmentCreated, licensing.Event{Env: e.Name, Subject: string(e.Name)}, e)
}

// ChangeEnvironment replaces the kind of an environment that p reaches.
func (a *Authority) ChangeEnvironment(ctx context.Context, p access.Principal, e licensing.Environment) (licensing.Environment, error) {
	if err := require(p, access.EnvironmentWrite); err != nil {
		return e, err
	}
	if err := e.Check(); err != nil {
		return e, err
	}
	return once(ctx, a, p, e, func(c *change) (licensing.Environment, error) {
		all, err := c.Environments(ctx)
		if err != nil {
			return e, err
		}
		for _, stored := range all {
			if stored.Name != e.Name || !reaches(p, e.Name) {
				continue
			}
			stored.Kind = e.Kind
			if _, err := c.UpdateEnvironment(ctx, stored); err != nil {
				return stored, err
			}
			return stored, c.note(licensing.EnvironmentChanged, licensing.Event{Env: e.Name, Subject: string(e.Name)}, stored)
		}
		return e, notFound("environment", e.Name)
	})
}
