package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A PoolSum is what is held of all pools of one name in one product.
type PoolSum struct {
	Env      licensing.Env
	Product  licensing.ProductName
	Pool     string
	Held     int64
	Capacity int64
}

// PoolSums adds the pools of all licenses up, at most limit sums, those held most first.
// A license that is suspended or revoked has no capacity.
func (tx *Tx) PoolSums(ctx context.Context, limit int) ([]PoolSum, error) {
	rows, err := tx.query(ctx, `
		SELECT p.env, l.product, p.name, CAST(SUM(p.held) AS BIGINT) AS held, CAST(SUM(CASE WHEN l.status = $2 THEN p.capacity ELSE 0 END) AS BIGINT)
		FROM pool p JOIN license l ON l.env = p.env AND l.id = p.license
		GROUP BY p.env, l.product, p.name ORDER BY held DESC, p.env, l.product, p.name LIMIT $1`, limit, licensing.Active)
	return collect(rows, err, func(r Row) (s PoolSum, err error) {
		err = r.Scan(&s.Env, &s.Product, &s.Pool, &s.Held, &s.Capacity)
		return s, err
	})
}

// OldestPending returns when the row was written that waits longest for its
// place in an environment's tree, the zero time when none waits.
func (tx *Tx) OldestPending(ctx context.Context, env licensing.Env) (time.Time, error) {
	var at int64
	_, err := tx.row(ctx, `
		SELECT r.at FROM log_pending p JOIN log_row r ON r.env = p.env AND r.id = p.id
		WHERE p.env = $1 ORDER BY p.id LIMIT 1`, []any{env}, &at)
	return instant(at), err
}
