package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A PoolSum is the total of all pools with one name in one product.
type PoolSum struct {
	Env      licensing.Env
	Product  licensing.ProductName
	Pool     string
	Held     int64
	Capacity int64
}

// PoolSums adds up the pools of all licenses and returns up to limit sums, most used first.
// Suspended and revoked licenses have no capacity.
func (tx *Tx) PoolSums(ctx context.Context, limit int) ([]PoolSum, error) {
	if sums, known := tx.sumsTallied(limit); known {
		return sums, nil
	}
	rows, err := tx.query(ctx, `
		SELECT p.env, l.product, p.name, CAST(SUM(p.held) AS BIGINT) AS held, CAST(SUM(CASE WHEN l.status = $2 THEN p.capacity ELSE 0 END) AS BIGINT)
		FROM pool p JOIN license l ON l.env = p.env AND l.id = p.license
		GROUP BY p.env, l.product, p.name ORDER BY held DESC, p.env, l.product, p.name LIMIT $1`, limit, licensing.Active)
	return collect(rows, err, func(r Row) (s PoolSum, err error) {
		err = r.Scan(&s.Env, &s.Product, &s.Pool, &s.Held, &s.Capacity)
		return s, err
	})
}

// OldestPending returns when the oldest waiting row of an environment's log was written, or the
// zero time if no row is waiting.
func (tx *Tx) OldestPending(ctx context.Context, env licensing.Env) (time.Time, error) {
	var at int64
	_, err := tx.row(ctx, `
		SELECT r.at FROM log_pending p JOIN log_row r ON r.env = p.env AND r.id = p.id
		WHERE p.env = $1 ORDER BY p.id LIMIT 1`, []any{env}, &at)
	return instant(at), err
}
