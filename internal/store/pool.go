package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"copyhold.dev/internal/licensing"
)

// A PoolKey identifies a pool of one license.
type PoolKey struct {
	Env     licensing.Env
	License licensing.LicenseID
	Name    string
}

// Compare orders keys as transactions lock their pools.
func (k PoolKey) Compare(other PoolKey) int {
	return cmp.Or(cmp.Compare(k.Env, other.Env), cmp.Compare(k.License, other.License), cmp.Compare(k.Name, other.Name))
}

// A Pool is the counters of a pool. Due is the earliest time at which work can be due in the pool,
// or zero for never. Capacity is the last compiled capacity.
type Pool struct {
	PoolKey
	licensing.Stock
	Due      time.Time
	Capacity int64
	// Of is the license that grants the pool, as the transaction sees it. If it is zero, storing the
	// pool makes all pools be counted again.
	Of  Owner
	was counters // as read
}

// counters are the counters of a pool that add up for status and metrics.
type counters struct{ held, capacity int64 }

const poolColumns = `p.env, p.license, p.name, p.held, p.leases, p.waiting, p.tickets, p.over_since, p.due, p.capacity`

const thesePools = `) v
	CROSS JOIN pool p WHERE p.env = v.column1 AND p.license = v.column2 AND p.name = v.column3
	ORDER BY p.env, p.license, p.name`

var (
	lockPools = newLocking(`SELECT `+poolColumns+` FROM (VALUES `, 3, "ttt", thesePools, " FOR UPDATE OF p")
	tryPools  = newLocking(`SELECT `+poolColumns+` FROM (VALUES `, 3, "ttt", thesePools, " FOR UPDATE OF p NOWAIT")
	makePools = newMultirow(`INSERT INTO pool (env, license, name, held, leases, waiting, tickets, over_since, due, capacity) VALUES `,
		10, "", ` ON CONFLICT (env, license, name) DO NOTHING`)
	putPools = newMultirow(`INSERT INTO pool (env, license, name, held, leases, waiting, tickets, over_since, due, capacity) VALUES `,
		10, "", ` ON CONFLICT (env, license, name) DO UPDATE SET held = excluded.held, leases = excluded.leases,
		waiting = excluded.waiting, tickets = excluded.tickets, over_since = excluded.over_since, due = excluded.due, capacity = excluded.capacity`)
)

// LockPools returns the pools with these keys, in order, and prevents other transactions from
// changing them until the commit. It creates missing pools. Keys must be sorted and unique, so that
// transactions never wait for each other in a cycle. If wait is false and another transaction holds
// a lock, tx is tried again. LockPools also returns, after locking, what is known about asks, by
// their index. Completely new asks are not in the map.
func (tx *Tx) LockPools(ctx context.Context, keys []PoolKey, asks []Ask, wait bool) ([]Pool, map[int]Known, error) {
	m := &lockPools
	if !wait {
		m = &tryPools
	}
	for {
		pools := make([]Pool, 0, len(keys))
		known := make(map[int]Known)
		if err := tx.askPools(ctx, m, keys, &pools, asks, known); err != nil {
			return nil, nil, err
		}
		if err := tx.flush(ctx); err != nil || len(pools) == len(keys) {
			return pools, known, err
		}
		if err := tx.makeMissing(ctx, keys, pools); err != nil {
			return nil, nil, err
		}
	}
}

// AskPools is LockPools for existing pools, but the results are available after Flush.
func (tx *Tx) AskPools(ctx context.Context, keys []PoolKey, pools *[]Pool, asks []Ask, known map[int]Known) error {
	return tx.askPools(ctx, &lockPools, keys, pools, asks, known)
}

func (tx *Tx) askPools(ctx context.Context, m *multirow, keys []PoolKey, into *[]Pool, asks []Ask, known map[int]Known) error {
	args := make([]any, 0, 3*len(keys))
	for _, k := range keys {
		args = append(args, string(k.Env), string(k.License), k.Name)
	}
	err := tx.askMany(ctx, m, args, func(r Row) error {
		p, err := scanPool(r)
		*into = append(*into, p)
		return err
	})
	if err != nil {
		return err
	}
	return tx.lookUp(ctx, asks, known)
}

func (tx *Tx) makeMissing(ctx context.Context, keys []PoolKey, have []Pool) error {
	var args []any
	for _, k := range keys {
		if !slices.ContainsFunc(have, func(p Pool) bool { return p.PoolKey == k }) {
			args = append(args, string(k.Env), string(k.License), k.Name, 0, 0, 0, 0, 0, 0, 0)
		}
	}
	return tx.putMany(ctx, &makePools, args)
}

func scanPool(rows Row) (p Pool, err error) {
	var over, due int64
	err = rows.Scan(&p.Env, &p.License, &p.Name, &p.Held, &p.Leases, &p.Waiting, &p.Tickets, &over, &due, &p.Capacity)
	p.OverSince, p.Due, p.was = instant(over), instant(due), counters{p.Held, p.Capacity}
	return p, err
}

// PutPools stores counters.
func (tx *Tx) PutPools(ctx context.Context, pools []*Pool) error {
	args := make([]any, 0, 10*len(pools))
	for _, p := range pools {
		args = append(args, p.Env, p.License, p.Name, p.Held, p.Leases, p.Waiting, p.Tickets, micros(p.OverSince), micros(p.Due), p.Capacity)
	}
	tx.poolsPut(pools)
	return tx.putMany(ctx, &putPools, args)
}

// PutCapacity stores the capacity that a change of the license gives a pool. The pool's row must be
// locked.
func (tx *Tx) PutCapacity(ctx context.Context, k PoolKey, capacity int64) error {
	if err := tx.willChange(ctx, k.Env, k.License); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `UPDATE pool SET capacity = $4 WHERE env = $1 AND license = $2 AND name = $3`, k.Env, k.License, k.Name, capacity)
	return err
}

// Pool returns a pool's counters without locking them. The counters of an unused pool are zero.
func (tx *Tx) Pool(ctx context.Context, k PoolKey) (Pool, error) {
	rows, err := tx.query(ctx, `SELECT `+poolColumns+` FROM pool p WHERE p.env = $1 AND p.license = $2 AND p.name = $3`, k.Env, k.License, k.Name)
	if err != nil {
		return Pool{}, err
	}
	found := Pool{PoolKey: k}
	err = each(rows, func(rows Row) (err error) {
		found, err = scanPool(rows)
		return err
	})
	return found, err
}

// FirstDue returns the earliest time at which a pool may have work due, or zero if there is none.
func (tx *Tx) FirstDue(ctx context.Context) (time.Time, error) {
	var due int64
	_, err := tx.row(ctx, `SELECT due FROM pool WHERE due > 0 ORDER BY due LIMIT 1`, nil, &due)
	return instant(due), err
}

// DuePools returns up to limit pools that may have work due at now, longest overdue first.
func (tx *Tx) DuePools(ctx context.Context, now time.Time, limit int) ([]PoolKey, error) {
	rows, err := tx.query(ctx, `SELECT env, license, name FROM pool WHERE due > 0 AND due <= $1 ORDER BY due LIMIT $2`, micros(now), limit)
	if err != nil {
		return nil, err
	}
	var keys []PoolKey
	err = each(rows, func(rows Row) error {
		var k PoolKey
		err := rows.Scan(&k.Env, &k.License, &k.Name)
		keys = append(keys, k)
		return err
	})
	return keys, err
}
