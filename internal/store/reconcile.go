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

// LiveLeases returns up to limit live leases with ids after the given one, sorted by id. It reads
// only the fields that do not change while a lease is live.
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
		SELECT r.body, r.packed FROM log_pending p JOIN log_row r ON r.env = p.env AND r.id = p.id
		WHERE p.env = $1 ORDER BY p.id`, env)
	return collect(rows, err, func(r Row) ([]byte, error) {
		var body string
		var packed []byte
		err := r.Scan(&body, &packed)
		return entriesIn(body, packed), err
	})
}

// PoolCounts calls fn for each pool of an environment with its counters and the sums of its leases
// and tickets, sorted by license and name. A pool without a row has zero counters. fn must not use
// tx.
func (tx *Tx) PoolCounts(ctx context.Context, env licensing.Env, fn func(licensing.PoolCount) error) error {
	rows, err := tx.query(ctx, `
		SELECT license, pool, CAST(SUM(held) AS BIGINT), CAST(SUM(leases) AS BIGINT), CAST(SUM(waiting) AS BIGINT), CAST(SUM(tickets) AS BIGINT),
			CAST(SUM(due) AS BIGINT), CAST(SUM(charged) AS BIGINT), CAST(SUM(live) AS BIGINT), CAST(SUM(queued) AS BIGINT), MAX(place),
			COALESCE(MIN(CASE WHEN next > 0 THEN next END), 0), MAX(ended)
		FROM (
			SELECT license, name AS pool, held, leases, waiting, tickets, due,
				0 AS charged, 0 AS live, 0 AS queued, 0 AS place, 0 AS next, 0 AS ended
			FROM pool WHERE env = $1
			UNION ALL
			SELECT l.license, l.pool, 0, 0, 0, 0, 0, CASE WHEN `+counted+` THEN l.charge ELSE 0 END, CASE WHEN l.ended_at = 0 THEN 1 ELSE 0 END, 0, 0,
				l.due, CASE WHEN l.ended_at > 0 THEN l.expires_at ELSE 0 END
			FROM lease l WHERE l.env = $1
			UNION ALL
			SELECT license, pool, 0, 0, 0, 0, 0, CASE WHEN offered > 0 THEN units ELSE 0 END, 0, CASE WHEN offered > 0 THEN 0 ELSE 1 END, place,
				offered, 0
			FROM ticket WHERE env = $1 AND ended_at = 0
		) counts GROUP BY license, pool ORDER BY license, pool`, env)
	if err != nil {
		return err
	}
	return each(rows, func(r Row) error {
		var c licensing.PoolCount
		var documents int64
		err := r.Scan(&c.License, &c.Pool, &c.Stored.Held, &c.Stored.Leases, &c.Stored.Waiting, &c.Stored.Tickets, &c.Stored.Due,
			&c.Rows.Held, &c.Rows.Leases, &c.Rows.Waiting, &c.Rows.Tickets, &c.Rows.Due, &documents)
		if err != nil {
			return err
		}
		c.Documents = instant(documents)
		return fn(c)
	})
}

// MeterCounts calls fn for each total of an environment with the sum of its events, sorted by
// license, meter and period. Events with another scale are converted to the scale of the total. fn
// must not use tx.
func (tx *Tx) MeterCounts(ctx context.Context, env licensing.Env, fn func(licensing.MeterCount) error) error {
	rows, err := tx.query(ctx, `
		SELECT license, meter, period, kept, scale, CAST(SUM(used) AS BIGINT), CAST(SUM(events) AS BIGINT), CAST(SUM(quantity) AS BIGINT), CAST(SUM(one) AS BIGINT)
		FROM (
			SELECT license, meter, period, 1 AS kept, scale, used, events, 0 AS quantity, 0 AS one FROM usage_total WHERE env = $1
			UNION ALL
			SELECT license, meter, period, 0, scale, 0, 0, quantity, 1 FROM usage_event WHERE env = $1
		) counts GROUP BY license, meter, period, kept, scale ORDER BY license, meter, period, kept DESC, scale DESC`, env)
	if err != nil {
		return err
	}
	var last *licensing.MeterCount
	err = each(rows, func(r Row) error {
		m := licensing.MeterCount{Used: licensing.Counter{Name: licensing.CounterUsed}, Events: licensing.Counter{Name: licensing.CounterEvents}}
		var start, kept int64
		if err := r.Scan(&m.License, &m.Meter, &start, &kept, &m.Scale, &m.Used.Stored, &m.Events.Stored, &m.Used.Rows, &m.Events.Rows); err != nil {
			return err
		}
		m.Start, m.Kept = instant(start), kept > 0
		if last != nil && last.License == m.License && last.Meter == m.Meter && last.Start.Equal(m.Start) {
			last.Used.Rows += licensing.AtScale(m.Used.Rows, m.Scale, last.Scale)
			last.Events.Rows += m.Events.Rows
			return nil
		}
		before := last
		last = &m
		if before == nil {
			return nil
		}
		return fn(*before)
	})
	if err != nil || last == nil {
		return err
	}
	return fn(*last)
}
