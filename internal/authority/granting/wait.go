package granting

import (
	"context"
	"sync"
	"time"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// A wakeup names the request whose place in a queue has changed.
type wakeup struct {
	env     licensing.Env
	license licensing.LicenseID
	request string
}

// waiters are the requests that this server holds until units are free.
type waiters struct {
	mu  sync.Mutex
	all map[wakeup]*waiter
}

// A waiter is what is held for one request id. Its channel is closed by a
// wakeup, which all who sent the request hear, and replaced: who takes the next
// one before looking loses none.
type waiter struct {
	woken  chan struct{}
	ticket store.TicketKey
	count  int // requests with the same id wait together
}

// join returns the waiter of a request and the channel of its next wakeup.
func (w *waiters) join(k wakeup) (*waiter, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[wakeup]*waiter)
	}
	one := w.all[k]
	if one == nil {
		one = &waiter{woken: make(chan struct{})}
		w.all[k] = one
	}
	one.count++
	return one, one.woken
}

// next returns the channel of the wakeup after this one.
func (w *waiters) next(one *waiter) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return one.woken
}

func (w *waiters) leave(k wakeup, one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one.count--; one.count == 0 {
		delete(w.all, k)
	}
}

func (w *waiters) wake(keys []wakeup) {
	if len(keys) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range keys {
		if one := w.all[k]; one != nil {
			one.signal()
		}
	}
}

// wakeLicense wakes all who wait for a license that has changed.
func (w *waiters) wakeLicense(env licensing.Env, id licensing.LicenseID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, one := range w.all {
		if k.env == env && k.license == id {
			one.signal()
		}
	}
}

// waitersCommitted wakes those who wait for licenses that have changed.
func (g *Granting) waitersCommitted(changes []ledger.Committed) {
	for _, c := range changes {
		if c.Notice&ledger.LicenseChanged != 0 {
			g.waiters.wakeLicense(c.Env, c.License)
		}
	}
}

// wakeAll wakes everybody: what they wait for will not come.
func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		one.signal()
	}
}

// signal wakes all of one; the caller holds the lock.
func (w *waiter) signal() {
	close(w.woken)
	w.woken = make(chan struct{})
}

// hold notes which ticket a waiter has.
func (w *waiters) hold(one *waiter, k store.TicketKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one.ticket = k
}

// waiting returns how many requests wait here with a place in a queue.
func (w *waiters) waiting() (requests int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		if one.ticket.ID != "" {
			requests += one.count
		}
	}
	return requests
}

// tickets returns the tickets of those who wait here.
func (w *waiters) tickets() []store.TicketKey {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := make([]store.TicketKey, 0, len(w.all))
	for _, one := range w.all {
		if one.ticket.ID != "" {
			keys = append(keys, one.ticket)
		}
	}
	return keys
}

// wakeTickets wakes those whose tickets no longer just wait.
func (w *waiters) wakeTickets(changed map[store.TicketKey]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		if changed[one.ticket] {
			one.signal()
		}
	}
}

// Waiting returns how many requests this server holds until units are free.
func (g *Granting) Waiting() int { return g.waiters.waiting() }

// EndWaits wakes everybody: what they wait for will not come.
func (g *Granting) EndWaits() { g.waiters.wakeAll() }

// await holds an acquire until its place became an offer, and claims it; or
// until wait or ctx ends, when the place is kept for licensing.TicketLasts.
func (g *Granting) await(ctx context.Context, o *Op, one *waiter, woken <-chan struct{}) error {
	limit := time.NewTimer(o.Acquire.Wait.Duration())
	defer limit.Stop()
	for {
		g.waiters.hold(one, store.TicketKey{Env: o.Env, ID: o.Answer.Queued.ID})
		select {
		case <-woken:
			woken = g.waiters.next(one)
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		again := &Op{Kind: OpAcquire, Env: o.Env, License: o.License, Actor: o.Actor, Call: o.Call, by: o.by, sees: o.sees, Acquire: o.Acquire}
		if err := g.commits.Do(ctx, again.Kind.Class(), again.part(), again); err != nil {
			return err
		}
		o.Answer, o.Call = again.Answer, again.Call
		if o.Answer.Err != nil || o.Answer.Queued == nil {
			return nil
		}
	}
}

// runWaiters keeps the places of those who wait here, and where other servers
// share the database looks for offers that they made.
func (g *Granting) runWaiters(ctx context.Context) {
	keep := time.NewTicker(keepEvery)
	defer keep.Stop()
	every := keepEvery
	if g.ledger.DB.Shared() {
		every = askEvery
	}
	ask := time.NewTicker(every)
	defer ask.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-keep.C:
			err = g.KeepWaiters(ctx)
		case <-ask.C:
			err = g.AskWaiters(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		g.ledger.Task("waiters", err)
	}
}

// KeepWaiters keeps the places of those who wait here. It is done a few times in
// licensing.TicketLasts.
func (g *Granting) KeepWaiters(ctx context.Context) error {
	keys := g.waiters.tickets()
	if len(keys) == 0 {
		return nil
	}
	return g.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		return tx.KeepTickets(ctx, keys, tx.Now().Add(licensing.TicketLasts))
	})
}

// AskWaiters wakes those who wait here and were offered units by another server. It is done
// every 50 ms where servers share a database.
func (g *Granting) AskWaiters(ctx context.Context) error {
	keys := g.waiters.tickets()
	if len(keys) == 0 {
		return nil
	}
	changed := make(map[store.TicketKey]bool)
	err := g.ledger.DB.View(ctx, func(tx *store.Tx) error {
		found, err := tx.Tickets(ctx, keys)
		for _, t := range found {
			if !t.Live() || !t.Offered.IsZero() {
				changed[store.TicketKey{Env: t.Env, ID: t.ID}] = true
			}
		}
		return err
	})
	g.waiters.wakeTickets(changed)
	return err
}
