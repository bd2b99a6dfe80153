package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// PutRecall records when a lease was recalled.
func (tx *Tx) PutRecall(ctx context.Context, l *licensing.Lease, at time.Time) error {
	_, err := tx.exec(ctx, `
		INSERT INTO recall (env, license, lease, recalled_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (env, license, lease) DO UPDATE SET recalled_at = excluded.recalled_at`, l.Env, l.License, l.ID, micros(at))
	return err
}

// Recalled returns the ids of a license's live leases that have been recalled, in order.
func (tx *Tx) Recalled(ctx context.Context, k LicenseRef) ([]licensing.LeaseID, error) {
	rows, err := tx.query(ctx, `
		SELECT r.lease FROM recall r JOIN lease l ON l.env = r.env AND l.id = r.lease
		WHERE r.env = $1 AND r.license = $2 AND l.license = r.license AND l.ended_at = 0 ORDER BY r.lease`, k.Env, k.ID)
	return collect(rows, err, func(r Row) (id licensing.LeaseID, err error) { return id, r.Scan(&id) })
}

var recallMarks = newMultirow(`SELECT r.env, r.license, MAX(r.recalled_at) FROM (VALUES `, 2, "tt", `) v
	CROSS JOIN recall r WHERE r.env = v.column1 AND r.license = v.column2 GROUP BY r.env, r.license`)

// RecallMarks returns when a lease of each license was last recalled, in microseconds. Licenses
// without a recall are not in the map.
func (tx *Tx) RecallMarks(ctx context.Context, keys []LicenseRef) (map[LicenseRef]int64, error) {
	marks := make(map[LicenseRef]int64)
	args := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, string(k.Env), string(k.ID))
	}
	err := tx.queryMany(ctx, &recallMarks, args, func(r Row) error {
		var k LicenseRef
		var at int64
		err := r.Scan(&k.Env, &k.ID, &at)
		marks[k] = at
		return err
	})
	return marks, err
}

// ForgetRecalls deletes up to limit recalls of leases that have ended, and returns how many it
// deleted.
func (tx *Tx) ForgetRecalls(ctx context.Context, limit int) (int64, error) {
	return tx.exec(ctx, `
		DELETE FROM recall WHERE (env, license, lease) IN (
			SELECT r.env, r.license, r.lease FROM recall r
			WHERE NOT EXISTS (SELECT 1 FROM lease l WHERE l.env = r.env AND l.id = r.lease AND l.ended_at = 0) LIMIT $1)`, limit)
}
