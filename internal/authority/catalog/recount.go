package catalog

import (
	"context"
	"time"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// What leases are counted with, and when they end, was decided by the rule that
// their pool had. Where a change of the license gives the pool a rule that
// counts or ends otherwise, what is held is counted anew by it: later
// requests know nothing of the rule before.

// recount makes what is held of a license what it is by the terms after a
// change: instances that share no more are counted each, and in a pool that was
// without end, and is no more, leases end with their documents. Lists and metrics
// show the new capacities at once. It adds to held
// what is counted now. The caller has locked the pools.
func recount(ctx context.Context, tx *ledger.Tx, before, after licensing.Terms, held map[string]int64) error {
	if err := countShared(ctx, tx.Tx, before, after, tx.Skew, held); err != nil {
		return err
	}
	for name, units := range held {
		k := store.PoolKey{Env: after.Env, License: after.License, Name: name}
		if to := after.Pools[name].Capacity; to != before.Pools[name].Capacity {
			if err := tx.PutCapacity(ctx, k, to); err != nil {
				return err
			}
		}
		if sharingEnds(before, after, name) {
			if err := tx.CountShared(ctx, k, units, tx.Now().Add(-tx.Skew)); err != nil {
				return err
			}
		}
		if before.Pools[name].Endless() && !after.Pools[name].Endless() {
			if err := tx.EndEndless(ctx, k, tx.Skew, tx.Now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// sharingEnds reports whether instances of a holder share units of a pool
// before a change and not after it.
func sharingEnds(before, after licensing.Terms, pool string) bool {
	return before.Pools[pool].Shares() && !after.Pools[pool].Shares()
}

// countShared adds to held the units of instances that share those of another,
// in the pools that a change of the terms makes count each.
func countShared(ctx context.Context, tx *store.Tx, before, after licensing.Terms, skew time.Duration, held map[string]int64) error {
	for name := range held {
		if !sharingEnds(before, after, name) {
			continue
		}
		k := store.PoolKey{Env: after.Env, License: after.License, Name: name}
		units, err := tx.SharedUnits(ctx, k, tx.Now().Add(-skew))
		if err != nil {
			return err
		}
		held[name] += units
	}
	return nil
}
