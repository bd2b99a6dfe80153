package store

import (
	"context"

	"copyhold.dev/internal/licensing"
)

// InsertEnvironment stores e and reports whether its name was free.
func (tx *Tx) InsertEnvironment(ctx context.Context, e licensing.Environment) (bool, error) {
	n, err := tx.exec(ctx, `
		INSERT INTO environment (env, kind, created_at) VALUES ($1, $2, $3) ON CONFLICT (env) DO NOTHING`,
		e.Name, e.Kind, micros(e.Created))
	return n == 1, err
}

// UpdateEnvironment replaces the kind of the environment named e.Name and reports whether it
// exists.
func (tx *Tx) UpdateEnvironment(ctx context.Context, e licensing.Environment) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE environment SET kind = $2 WHERE env = $1`, e.Name, e.Kind)
	return n == 1, err
}

// Environments returns all environments, sorted by name. There are only a few.
func (tx *Tx) Environments(ctx context.Context) ([]licensing.Environment, error) {
	rows, err := tx.query(ctx, `SELECT env, kind, created_at FROM environment ORDER BY env`)
	return collect(rows, err, func(r Row) (e licensing.Environment, err error) {
		var created int64
		err = r.Scan(&e.Name, &e.Kind, &created)
		e.Created = instant(created)
		return e, err
	})
}

// LockEnvironment makes other transactions that lock env wait for the end of this one.
func (tx *Tx) LockEnvironment(ctx context.Context, env licensing.Env) error {
	_, err := tx.row(ctx, `SELECT env FROM environment WHERE env = $1`+tx.ForUpdate(), []any{env}, &env)
	return err
}
