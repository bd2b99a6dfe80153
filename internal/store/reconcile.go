package store

import (
	"context"

	"copyhold.dev/internal/licensing"
)

// CountReconciled returns how many live leases and licenses an environment has.
func (tx *Tx) CountReconciled(ctx context.Context, env licensing.Env) (n int64, err error) {
	_, err = tx.row(ctx, `
		SELECT (SELECT COUNT(*) FROM lease WHERE env = $1 AND ended_at = 0) + (SELECT COUNT(*) FROM license WHERE env = $1)`, []any{env}, &n)
	return n, err
}

// LiveLeases returns up to limit live leases whose id comes after after, by id,
// with what does not change while they live.
func (tx *Tx) LiveLeases(ctx context.Context, env licensing.Env, after licensing.LeaseID, limit int) ([]licensing.Lease, error) {
	rows, err := tx.query(ctx, `
		SELECT id, license, pool, holder, units FROM lease
		WHERE env = $1 AND id > $2 AND ended_at = 0 ORDER BY id LIMIT $3`, env, after, limit)
	return collect(rows, err, func(r Row) (licensing.Lease, error) {
		l := licensing.Lease{Env: env}
		err := r.Scan(&l.ID, &l.License, &l.Pool, &l.Holder, &l.Units)
		return l, err
	})
}

// PendingBodies returns the rows of an environment's log that wait for a place.
func (tx *Tx) PendingBodies(ctx context.Context, env licensing.Env) ([][]byte, error) {
	rows, err := tx.query(ctx, `
		SELECT r.body FROM log_pending p JOIN log_row r ON r.env = p.env AND r.id = p.id
		WHERE p.env = $1 ORDER BY p.id`, env)
	return collect(rows, err, func(r Row) ([]byte, error) {
		var body string
		err := r.Scan(&body)
		return []byte(body), err
	})
}
