package catalog

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// Environments returns the environments that p may access, by name.
func (c *Catalog) Environments(ctx context.Context, p access.Principal) ([]licensing.Environment, error) {
	if err := request.Require(p, access.EnvironmentRead); err != nil {
		return nil, err
	}
	var reached []licensing.Environment
	err := c.ledger.DB.View(ctx, func(tx *store.Tx) error {
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

// Environment returns one environment that p may access.
func (c *Catalog) Environment(ctx context.Context, p access.Principal, name licensing.Env) (licensing.Environment, error) {
	all, err := c.Environments(ctx, p)
	for _, e := range all {
		if e.Name == name {
			return e, nil
		}
	}
	if err != nil {
		return licensing.Environment{}, err
	}
	return licensing.Environment{}, request.NotFound("environment", name)
}

func reaches(p access.Principal, env licensing.Env) bool {
	return p.Spans || p.Kind == access.KindSystem || p.Env == env
}

// CreateEnvironment creates a new environment with its own signing keys. Its name cannot be changed
// later.
func (c *Catalog) CreateEnvironment(ctx context.Context, p access.Principal, e licensing.Environment) (licensing.Environment, error) {
	if err := request.Require(p, access.EnvironmentWrite); err != nil {
		return e, err
	}
	if err := e.Check(); err != nil {
		return e, err
	}
	if e.Name == access.AllEnvironments {
		return e, licensing.Errorf(licensing.Invalid, "name %q is reserved: it stands for all environments", e.Name).At("name")
	}
	if !p.Spans && p.Kind != access.KindSystem {
		return e, licensing.Errorf(licensing.Forbidden, "the token is limited to one environment; only a token that spans all environments can create one")
	}
	created, err := Once(ctx, c.ledger, p, e, func(tx *ledger.Tx) (licensing.Environment, error) { return c.AddEnvironment(ctx, tx, e) })
	if err != nil {
		return created, err
	}
	return created, c.ledger.LoadKeys(ctx)
}

// AddEnvironment stores a new environment with its signing keys in tx. Load the keys after the
// commit. The error is Exists if the name is in use.
func (c *Catalog) AddEnvironment(ctx context.Context, tx *ledger.Tx, e licensing.Environment) (licensing.Environment, error) {
	e.Created = tx.Now()
	free, err := tx.InsertEnvironment(ctx, e)
	if err != nil {
		return e, err
	}
	if !free {
		return e, licensing.Errorf(licensing.Exists, "environment %s already exists", e.Name).At("name")
	}
	if err := c.newKeys(ctx, tx, e.Name); err != nil {
		return e, err
	}
	return e, tx.Note(licensing.EnvironmentCreated, licensing.Event{Env: e.Name, Subject: string(e.Name)}, entry.Environment(e))
}

// ChangeEnvironment replaces the kind of an environment that p may access.
func (c *Catalog) ChangeEnvironment(ctx context.Context, p access.Principal, e licensing.Environment) (licensing.Environment, error) {
	if err := request.Require(p, access.EnvironmentWrite); err != nil {
		return e, err
	}
	if err := e.Check(); err != nil {
		return e, err
	}
	return Once(ctx, c.ledger, p, e, func(tx *ledger.Tx) (licensing.Environment, error) {
		all, err := tx.Environments(ctx)
		if err != nil {
			return e, err
		}
		for _, stored := range all {
			if stored.Name != e.Name || !reaches(p, e.Name) {
				continue
			}
			stored.Kind = e.Kind
			if _, err := tx.UpdateEnvironment(ctx, stored); err != nil {
				return stored, err
			}
			return stored, tx.Note(licensing.EnvironmentChanged, licensing.Event{Env: e.Name, Subject: string(e.Name)}, entry.Environment(stored))
		}
		return e, request.NotFound("environment", e.Name)
	})
}
