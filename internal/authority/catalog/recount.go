package catalog

import (
	"context"
	"time"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// The rule of a pool decides how leases are counted and when they end. If a change of the license
// gives the pool a rule that counts or ends leases differently, the existing leases are recounted
// by the new rule. Later requests then need to know nothing about the old rule.

// recount adjusts the leases of a license to the terms after a change. Instances that no longer
// share units are counted separately. In a pool whose leases no longer last without end, each lease
// ends with its document. Lists and metrics show the new capacities immediately. recount updates
// held with the new counts. The caller must have locked the pools.
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

// sharingEnds reports whether instances of a holder share units of a pool before a change but not
// after it.
func sharingEnds(before, after licensing.Terms, pool string) bool {
	return before.Pools[pool].Shares() && !after.Pools[pool].Shares()
}

// countShared adds to held the units of instances that shared those of another instance, in the
// pools that count each instance separately after the change.
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
