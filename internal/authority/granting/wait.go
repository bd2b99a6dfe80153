package granting

import (
	"context"
	"sync"
	"time"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// A wakeup identifies a request whose place in a queue has changed.
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

// A waiter belongs to one request id. A wakeup closes its channel, which reaches every caller that
// sent the request, and replaces it. A caller that gets the next channel before it checks misses no
// wakeup.
type waiter struct {
	woken  chan struct{}
	ticket store.TicketKey
	count  int // callers with the same request id that wait together
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

// next returns the channel of the next wakeup.
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

// wakeLicense wakes all requests that wait for a license, because the license has changed.
func (w *waiters) wakeLicense(env licensing.Env, id licensing.LicenseID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, one := range w.all {
		if k.env == env && k.license == id {
			one.signal()
		}
	}
}

// waitersCommitted wakes the requests that wait for licenses that have changed.
func (g *Granting) waitersCommitted(changes []ledger.Committed) {
	for _, c := range changes {
		if c.Notice&ledger.LicenseChanged != 0 {
			g.waiters.wakeLicense(c.Env, c.License)
		}
	}
}

// wakeAll wakes all requests, because their wait is over without units.
func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		one.signal()
	}
}

// signal wakes all callers of one waiter. The caller must hold the lock.
func (w *waiter) signal() {
	close(w.woken)
	w.woken = make(chan struct{})
}

// hold records the ticket of a waiter.
func (w *waiters) hold(one *waiter, k store.TicketKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one.ticket = k
}

// waiting returns how many requests with a place in a queue wait on this server.
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

// tickets returns the tickets of the requests that wait on this server.
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

// wakeTickets wakes the requests whose tickets have changed.
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

// EndWaits wakes all waiting requests without granting them units.
func (g *Granting) EndWaits() { g.waiters.wakeAll() }

// await holds an acquire until its place has become an offer, and then claims the offer. If wait or
// ctx ends first, the place is kept for licensing.TicketLasts.
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

// runWaiters keeps the places of the requests that wait on this server. If other servers share the
// database, it also checks for offers that they have made.
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

// KeepWaiters keeps the places of the requests that wait on this server. It runs several times
// within licensing.TicketLasts.
func (g *Granting) KeepWaiters(ctx context.Context) error {
	keys := g.waiters.tickets()
	if len(keys) == 0 {
		return nil
	}
	return g.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		return tx.KeepTickets(ctx, keys, tx.Now().Add(licensing.TicketLasts))
	})
}

// AskWaiters wakes the requests on this server to which another server has offered units. It runs
// every 50 ms if servers share a database.
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
