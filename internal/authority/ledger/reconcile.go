package ledger

import (
	"context"
	"hash/maphash"
	"iter"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// reconcilePage is how many rows are read at once.
const reconcilePage = 1000

// ReconcileLog compares the stored leases and licenses with the log, both as of the same moment. It
// also compares the counters of pools and meters with the rows that they sum up. It keeps up to a
// million leases and licenses in memory at a time, and reads everything else page by page.
func (l *Ledger) ReconcileLog(ctx context.Context, p access.Principal) (result audit.Reconciliation, err error) {
	if err := RequireWholeLog(p); err != nil {
		return result, err
	}
	err = l.View(ctx, func(tx *store.Tx) error {
		result, err = Reconcile(ctx, tx, p.Env, nil)
		return err
	})
	return result, err
}

// eventsKnown is how long usage events are kept after the start of their period, at least. Usage is
// recorded at most the clock tolerance before it happens.
const eventsKnown = licensing.UsageKnown - time.Hour

// DocumentsEnd returns the latest end of any document of a lease that ended at the given time, and
// whether that end is known.
type DocumentsEnd func(id licensing.LicenseID, pool string, ended time.Time) (time.Time, bool, error)

// Reconcile does the work of ReconcileLog for env in tx. ends, which may be nil, returns when
// documents end.
func Reconcile(ctx context.Context, tx *store.Tx, env licensing.Env, ends DocumentsEnd) (audit.Reconciliation, error) {
	count, err := tx.CountReconciled(ctx, env)
	if err != nil {
		return audit.Reconciliation{}, err
	}
	seed := maphash.MakeSeed()
	return audit.Reconcile(audit.Rows{
		Log: everyRow(ctx, tx, env), Count: count,
		Leases: paged(func(after licensing.Lease) ([]licensing.Lease, error) {
			return tx.LiveLeases(ctx, env, after.ID, reconcilePage)
		}),
		Licenses: paged(func(after licensing.License) ([]licensing.License, error) {
			return tx.Licenses(ctx, env, store.LicenseFilter{}, string(after.ID), reconcilePage)
		}),
		Entry: func(index int64) (audit.Entry, error) {
			e, _, err := EntryAt(ctx, tx, env, index)
			return e, err
		},
		Ended: func(id licensing.LeaseID) (string, error) {
			leases, err := tx.Leases(ctx, []store.LeaseKey{{Env: env, ID: id}})
			if err != nil || len(leases) == 0 {
				return "", err
			}
			return string(leases[0].EndedBy) + " at " + StampOf(leases[0].Ended), nil
		},
		Hash:   func(s string) uint64 { return maphash.String(seed, s) },
		Pools:  func(fn func(licensing.PoolCount) error) error { return tx.PoolCounts(ctx, env, fn) },
		Meters: func(fn func(licensing.MeterCount) error) error { return tx.MeterCounts(ctx, env, fn) },
		Now:    tx.Now(), EventsKnown: eventsKnown, DocumentsEnd: ends,
	})
}

// paged yields the items of one page after another until a page is empty.
func paged[T any](page func(after T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var after T
		for {
			list, err := page(after)
			if err != nil {
				yield(after, err)
				return
			}
			for _, one := range list {
				if !yield(one, nil) {
					return
				}
			}
			if len(list) < reconcilePage {
				return
			}
			after = list[len(list)-1]
		}
	}
}

// everyRow yields the placed rows of the log, then the waiting rows.
func everyRow(ctx context.Context, tx *store.Tx, env licensing.Env) iter.Seq2[audit.PlacedRow, error] {
	return func(yield func(audit.PlacedRow, error) bool) {
		for row, err := range PlacedRows(ctx, tx, env) {
			if !yield(row, err) {
				return
			}
		}
		waiting, err := tx.PendingBodies(ctx, env)
		if err != nil {
			yield(audit.PlacedRow{}, err)
			return
		}
		for _, body := range waiting {
			if !yield(audit.PlacedRow{First: -1, Body: body}, nil) {
				return
			}
		}
	}
}
