package granting

import (
	"context"
	"slices"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A batch is the requests that share one transaction. It applies them in order to the loaded data,
// and stores the results in one round of statements. The order is releases, reclaims, the queue,
// newcomers. All its maps and pointers live only as long as the transaction.
type batch struct {
	*ledger.Tx
	granting *Granting
	ctx      context.Context

	asked  []store.LicenseRef // of the ops that name their license
	seqs   map[store.LicenseRef]license.Seq
	ended  []store.Released               // by the first round
	read   []*licensing.Lease             // by the first round, for renewal
	guess  map[store.LicenseRef]*Compiled // the terms that the lookup of newcomers used
	locked []store.Pool                   // by the first round
	also   *[]store.PoolKey               // pools that the first round must also lock, from earlier attempts
	terms  map[store.LicenseRef]*Compiled
	known  map[int]store.Known // by the ask index of an op
	pools  map[store.PoolKey]*Pool
	order  []*Pool
	leases map[store.LeaseKey]*licensing.Lease // loaded or created by the batch

	begun    []*licensing.Lease // to insert
	touched  []*licensing.Lease // to update
	requests []store.Request
	queued   []*licensing.Ticket // to insert
	moved    []*licensing.Ticket // to update
	denials  []*denied
	wake     []wakeup // waiters to wake after the commit
}

// A Pool is the counters of one pool, with the current rule of its license.
type Pool struct {
	store.Pool
	Rule    licensing.Pool
	planned bool // the license still has the pool
	Terms   *Compiled
	changed bool
	cleared bool // all due work is done
	moved   bool // the queue has moved as far as it can
	freeAt  time.Time
	holders []license.Holding
	looked  bool // freeAt and holders are set
}

// maxClashes is how often a batch is tried if batches of other servers commit first.
const maxClashes = 3

// Apply decides and stores ops in one transaction. If the transaction is committed but not yet on
// disk, Apply returns a function that waits for the disk.
func (g *Granting) Apply(ops []*Op) (func() error, error) {
	ctx := context.Background() // one canceled request must not stop the others
	began, count := g.ledger.Now(), len(ops)
	var wake []wakeup
	var settle func() error
	var err error
	asked := make([]store.LicenseRef, 0, 4)
	for _, o := range ops {
		if o.License != "" && !slices.Contains(asked, o.key()) {
			asked = append(asked, o.key())
		}
	}
	var also []store.PoolKey
	for range maxClashes {
		settle, err = g.ledger.UpdateEarly(ctx, func(tx *ledger.Tx) error {
			b := &batch{Tx: tx, granting: g, ctx: ctx, asked: asked, also: &also}
			err := b.run(ops)
			wake = b.wake
			if err == nil {
				for _, o := range ops {
					o.foretell()
				}
			}
			return err
		})
		// Another server has stored the same event or request first. The next attempt will find it.
		if err == nil || !g.ledger.DB.IsUnique(err) {
			break
		}
	}
	ended := func(err error) error {
		g.ledger.Metrics.Commit(g.ledger.Now().Sub(began), count, err)
		if err == nil {
			g.waiters.wake(wake)
		}
		return err
	}
	if err != nil || settle == nil {
		return nil, ended(err)
	}
	return func() error { return ended(settle()) }, nil
}

func (b *batch) run(ops []*Op) error {
	for _, o := range ops {
		o.Answer = answer{now: b.Now()}
	}
	steps := []func([]*Op) error{b.ask, b.identify, b.loadTerms, b.endReleased, b.loadLeases, b.loadPools, b.releaseAll, b.renewAll, b.recordUsage, b.attendQueues, b.sweepAll, b.admitAll}
	for _, step := range steps {
		if err := step(ops); err != nil {
			return err
		}
	}
	return b.flush()
}

// ask runs the first queries of all requests in one round, and ends the leases that holders
// release.
func (b *batch) ask(ops []*Op) error {
	b.seqs = make(map[store.LicenseRef]license.Seq, len(b.asked))
	if err := b.AskLicenseSeqs(b.ctx, b.asked, b.seqs); err != nil {
		return err
	}
	var releases []store.Release
	var renewed []store.LeaseKey
	for _, o := range ops {
		switch {
		case o.Kind == OpRelease && !o.Release.Force:
			releases = append(releases, o.asRelease())
		case o.Kind == OpRenew:
			renewed = append(renewed, store.LeaseKey{Env: o.Env, ID: o.Renew.Lease})
		}
	}
	if err := b.AskRelease(b.ctx, releases, b.Now(), b.Now().Add(licensing.Remembered), &b.ended); err != nil {
		return err
	}
	if err := b.AskLeases(b.ctx, renewed, &b.read); err != nil {
		return err
	}
	if err := b.askNewcomers(ops); err != nil {
		return err
	}
	return b.Flush(b.ctx)
}

// askNewcomers locks the pools of newcomers and looks up their earlier records, using the last
// known terms of their licenses.
func (b *batch) askNewcomers(ops []*Op) error {
	b.guess = make(map[store.LicenseRef]*Compiled, len(b.asked))
	for _, k := range b.asked {
		if b.guess[k] = b.granting.cache.last(k, b.Now()); b.guess[k] == nil {
			b.guess = nil
			return nil
		}
	}
	keys := slices.Clone(*b.also)
	var asks []store.Ask
	for _, o := range ops {
		if o.Kind != OpAcquire {
			continue
		}
		o.Answer.terms = b.guess[o.key()]
		if o.Answer.terms == nil || !b.mayAsk(o) {
			continue
		}
		o.ask = len(asks)
		asks = append(asks, o.identity())
		if k := o.poolKey(o.Acquire.Pool); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, store.PoolKey.Compare)
	keys = slices.Compact(keys) // two attempts can add the same pool
	b.known = make(map[int]store.Known)
	return b.AskPools(b.ctx, keys, &b.locked, asks, b.known)
}

// identify finds the license of ops that name only a lease or a ticket.
func (b *batch) identify(ops []*Op) error {
	for _, o := range ops {
		if o.License != "" {
			continue
		}
		l, err := b.Lease(b.ctx, store.LeaseKey{Env: o.Env, ID: o.Release.Lease})
		if licensing.CodeOf(err) == licensing.NotFound {
			o.refuse(err)
			continue
		}
		if err != nil {
			return err
		}
		o.License = l.License
	}
	return nil
}

func (b *batch) loadTerms(ops []*Op) (err error) {
	if b.terms, err = b.granting.termsOf(b.ctx, b.Tx.Tx, b.asked, b.seqs); err != nil {
		return err
	}
	for _, o := range ops { // ops whose license identify has found
		if o.Answer.Err == nil && !slices.Contains(b.asked, o.key()) {
			found, err := b.granting.Terms(b.ctx, b.Tx.Tx, []store.LicenseRef{o.key()})
			if err != nil {
				return err
			}
			b.terms[o.key()] = found[o.key()]
		}
	}
	if err := b.firstUses(ops); err != nil {
		return err
	}
	for _, o := range ops {
		o.Answer.terms = b.terms[o.key()]
		if o.Answer.terms == nil && o.Answer.Err == nil && o.Kind != OpSweep {
			o.refuse(licensing.Errorf(licensing.NotFound, "license %s does not exist", o.License))
		}
	}
	return nil
}

// firstUses starts the terms of licenses that begin with their first use. Using units of a pool or
// of a meter is such a use.
func (b *batch) firstUses(ops []*Op) (err error) {
	env, actor := b.Env, b.Actor
	defer func() { b.Env, b.Actor, b.Call = env, actor, "" }()
	for _, o := range ops {
		t := b.terms[o.key()]
		if t == nil || o.Answer.Err != nil || o.Kind != OpAcquire && o.Kind != OpUsage && o.shown == nil || !t.AwaitsFirstUse() {
			continue
		}
		b.Env, b.Actor, b.Call = o.Env, o.Actor, o.Call
		if err := documents.Begin(b.ctx, b.Tx, o.License); err != nil {
			return err
		}
		// Bypass the cache, because this version is not committed yet.
		if b.terms[o.key()], err = b.granting.compile(b.ctx, b.Tx.Tx, o.key(), license.Seq{}); err != nil {
			return err
		}
	}
	return nil
}

// loadPools locks the pools that ops concern and that the first round did not lock. If the first
// lookup of newcomers used outdated terms, loadPools repeats it.
func (b *batch) loadPools(ops []*Op) error {
	right := b.guess != nil
	for k, t := range b.guess {
		right = right && b.terms[k] == t
	}
	b.pools = make(map[store.PoolKey]*Pool, 4)
	for _, row := range b.locked {
		b.adoptPool(row)
	}
	var keys []store.PoolKey
	var asks []store.Ask
	for _, o := range ops {
		if o.Answer.Err != nil {
			continue
		}
		if k := b.concerns(o); k.Name != "" && b.pools[k] == nil && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
		if o.Kind != OpAcquire || right {
			continue
		}
		if b.mayAsk(o) {
			o.ask = len(asks)
			asks = append(asks, o.identity())
		}
	}
	if len(keys) == 0 && right {
		return nil
	}
	slices.SortFunc(keys, store.PoolKey.Compare)
	// Two servers that lock in different orders would block each other. If a pool sorts before one
	// that is already locked, loadPools does not wait for its lock. If another server holds that
	// lock, the next attempt locks the pool in the first round.
	wait := !slices.ContainsFunc(b.locked, func(p store.Pool) bool { return len(keys) > 0 && keys[0].Compare(p.PoolKey) < 0 })
	if !wait {
		*b.also = append(*b.also, keys...)
	}
	rows, known, err := b.LockPools(b.ctx, keys, asks, wait)
	if err != nil {
		return err
	}
	if !right {
		b.known = known
	}
	for _, row := range rows {
		b.adoptPool(row)
	}
	return nil
}

// adoptPool applies its license's terms to a pool that was just locked.
func (b *batch) adoptPool(row store.Pool) {
	p := &Pool{Pool: row, Terms: b.terms[store.LicenseRef{Env: row.Env, ID: row.License}]}
	if p.Terms != nil {
		p.Rule, p.planned = p.Terms.Pools[row.Name]
		p.Of = store.Owner{Product: p.Terms.Product, Status: p.Terms.Status, End: p.Terms.End}
	}
	p.Judge(b.Now())
	b.pools[row.PoolKey] = p
	b.order = append(b.order, p)
}

// PoolOf returns the pool of a lease.
func PoolOf(l *licensing.Lease) store.PoolKey {
	return store.PoolKey{Env: l.Env, License: l.License, Name: l.Pool}
}

// Judge applies a capacity that has changed since the row was written.
func (p *Pool) Judge(now time.Time) {
	if s := p.Rule.Judged(p.Stock, now); p.Capacity != p.Rule.Capacity || s != p.Stock {
		p.Stock, p.Capacity, p.changed = s, p.Rule.Capacity, true
	}
}

// concerns returns the pool whose counters an op may change, or a key without a name if there is
// none.
func (b *batch) concerns(o *Op) store.PoolKey {
	switch o.Kind {
	case OpAcquire:
		if _, planned := o.Answer.terms.Pools[o.Acquire.Pool]; planned {
			return o.poolKey(o.Acquire.Pool)
		}
	case OpRelease, OpRenew:
		if o.Answer.Lease != nil {
			return o.poolKey(o.Answer.Lease.Pool)
		}
		if o.shown != nil {
			return b.lost(o)
		}
	case OpTicket, OpWithdraw:
		if o.Answer.Queued != nil {
			return o.poolKey(o.Answer.Queued.Pool)
		}
	case OpSweep:
		return o.Pool
	}
	return store.PoolKey{}
}

// take adds units and leases to the counters of a pool, and records the begin or end of an
// overdraft.
func (b *batch) take(p *Pool, units, leases int64) error {
	was := p.OverSince
	p.Stock = p.Rule.With(p.Stock, units, b.Now())
	p.Leases = max(0, p.Leases+leases)
	p.changed = true
	switch {
	case was.IsZero() && !p.OverSince.IsZero():
		return b.note(p, licensing.OverdraftBegun, entry.Stock{Held: p.Held, Capacity: p.Capacity})
	case !was.IsZero() && p.OverSince.IsZero():
		return b.note(p, licensing.OverdraftEnded, entry.Stock{Held: p.Held, Capacity: p.Capacity})
	}
	return nil
}

// free returns units to a pool. They may be offered to waiters.
func (b *batch) free(p *Pool, units, leases int64) error {
	p.moved = false
	return b.take(p, -units, -leases)
}

// due records that work is due in the pool at a time.
func (p *Pool) due(at time.Time) {
	if !at.IsZero() && (p.Due.IsZero() || at.Before(p.Due)) {
		p.Due, p.changed = at, true
	}
}

// note records an event about a pool.
func (b *batch) note(p *Pool, kind string, data any) error {
	e, err := licensing.NewEvent(kind, p.Env, b.Now(), ledger.SystemActor, data)
	if err != nil {
		return err
	}
	e.License, e.Pool = p.License, p.Name
	if p.Terms != nil {
		e.Product, e.Customer = p.Terms.Product, p.Terms.Customer
	}
	_, err = b.Record(e)
	return err
}

// touch schedules l for one update at the end.
func (b *batch) touch(l *licensing.Lease) {
	if !slices.Contains(b.touched, l) && !slices.Contains(b.begun, l) {
		b.touched = append(b.touched, l)
	}
}

// flush stores the results of all steps.
func (b *batch) flush() error {
	if err := b.storeDenials(); err != nil {
		return err
	}
	changed := make([]*store.Pool, 0, len(b.order))
	for _, p := range b.order {
		if p.changed {
			changed = append(changed, &p.Pool)
		}
	}
	for _, put := range []func() error{
		func() error { return b.PutLeases(b.ctx, b.touched) },
		func() error { return b.InsertLeases(b.ctx, b.begun) },
		func() error { return b.PutRequests(b.ctx, b.requests) },
		func() error { return b.InsertTickets(b.ctx, b.queued) },
		func() error { return b.PutTickets(b.ctx, b.moved) },
		func() error { return b.PutPools(b.ctx, changed) },
	} {
		if err := put(); err != nil {
			return err
		}
	}
	return nil
}

func classOf(o *Op) licensing.Class { return o.Kind.Class() }
