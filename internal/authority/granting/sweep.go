package granting

import (
	"context"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

const (
	// duePage is how many due leases of a pool are read at once.
	duePage = 128
	// duePages limits how many leases one batch reclaims, so that the batch stays short.
	duePages = 8
	// sweepEvery is how often pools with due work are swept.
	sweepEvery = time.Second
	// sweepPools is how many pools are swept at once.
	sweepPools = 256
)

// sweepAll does the due work in the pools that the sweeps name.
func (b *batch) sweepAll(ops []*Op) error {
	for _, o := range ops {
		if o.Kind != OpSweep || o.Answer.Err != nil {
			continue
		}
		if err := b.clear(b.pools[o.Pool]); err != nil {
			return err
		}
	}
	return nil
}

// clear does the due work in a pool, once per batch. It reclaims the units of leases that nobody
// can use any more, forgets leases that ended long ago, and moves the queue. While the clock is in
// doubt, it does nothing.
func (b *batch) clear(p *Pool) error {
	if p.cleared || b.granting.ledger.Clock.Doubt() {
		return nil
	}
	p.cleared = true
	if p.Due.IsZero() || p.Due.After(b.Now()) {
		return nil
	}
	p.Due, p.changed = time.Time{}, true
	for range duePages {
		page, err := b.DueLeases(b.ctx, p.PoolKey, b.Now(), duePage)
		if err != nil {
			return err
		}
		if err := b.end(p, page); err != nil {
			return err
		}
		if len(page) < duePage {
			break
		}
	}
	next, err := b.NextDue(b.ctx, p.PoolKey)
	if err != nil {
		return err
	}
	p.due(next)
	for _, l := range append(b.touched, b.begun...) {
		if PoolOf(l) == p.PoolKey {
			p.due(l.Due)
		}
	}
	return b.moveQueue(p)
}

// end reclaims and forgets leases that are due. It stores them immediately, so that the next page
// contains other leases.
func (b *batch) end(p *Pool, page []*licensing.Lease) error {
	var forget, put []*licensing.Lease
	for _, read := range page {
		l := b.adopt(read)
		switch {
		case l.Due.IsZero() || l.Due.After(b.Now()):
			put = append(put, l) // renewed in this batch, but not yet stored
			continue
		case l.Live():
			if err := b.reclaim(p, l); err != nil {
				return err
			}
		case l.EndedBy == licensing.EndForced && l.Charge > 0: // and no longer usable
			if err := b.uncharge(p, l, 0); err != nil {
				return err
			}
			l.Charge, l.Due = 0, b.Now().Add(licensing.Remembered)
		default:
			forget = append(forget, l)
			continue
		}
		put = append(put, l)
	}
	if err := b.PutLeases(b.ctx, put); err != nil {
		return err
	}
	return b.ForgetLeases(b.ctx, forget)
}

// reclaim ends a live lease that expired long enough ago.
func (b *batch) reclaim(p *Pool, l *licensing.Lease) error {
	l.Ended, l.EndedBy = b.Now(), licensing.EndReclaimed
	if err := b.uncharge(p, l, 1); err != nil {
		return err
	}
	l.Charge, l.Due = 0, b.Now().Add(licensing.Remembered)
	p.due(l.Due)
	if len(l.Asker.Components) > 0 {
		if err := b.DropComponents(b.ctx, l); err != nil {
			return err
		}
	}
	e, err := licensing.NewEvent(licensing.LeaseReclaimed, l.Env, b.Now(), ledger.SystemActor, entry.End{Holder: l.Holder, By: string(l.EndedBy), Caller: l.Caller()})
	if err != nil {
		return err
	}
	e.License, e.Pool, e.Subject = l.License, l.Pool, string(l.ID)
	if p.Terms != nil {
		e.Product, e.Customer = p.Terms.Product, p.Terms.Customer
	}
	_, err = b.Record(e)
	return err
}

// runSweep reclaims units in the background, even if there are no requests.
func (g *Granting) runSweep(ctx context.Context) {
	g.ledger.WhenDue(ctx, sweepEvery, "sweep", func(ctx context.Context) (due time.Time, err error) {
		if err := g.Sweep(ctx); err != nil {
			return due, err
		}
		if g.ledger.Clock.Doubt() {
			return g.ledger.DB.Latest(), nil
		}
		err = g.ledger.View(ctx, func(tx *store.Tx) (err error) {
			due, err = tx.FirstDue(ctx)
			return err
		})
		return due, err
	})
}

// Sweep does the due work in all pools: it reclaims units, forgets leases and moves queues. The
// background task calls it every second.
func (g *Granting) Sweep(ctx context.Context) error {
	if g.ledger.Clock.Doubt() {
		return nil
	}
	for {
		var keys []store.PoolKey
		err := g.ledger.DB.View(ctx, func(tx *store.Tx) (err error) {
			keys, err = tx.DuePools(ctx, tx.Now(), sweepPools)
			return err
		})
		if err != nil {
			return err
		}
		ops := make([]*Op, len(keys))
		for i, k := range keys {
			ops[i] = &Op{Kind: OpSweep, Env: k.Env, License: k.License, Actor: ledger.SystemActor, Pool: k}
		}
		for _, o := range ops {
			// One pool at a time, so that requests of programs can run in between.
			if err := g.commits.Do(ctx, licensing.ClassRelease, o.part(), o); err != nil {
				return err
			}
		}
		if len(keys) < sweepPools {
			return nil
		}
	}
}
