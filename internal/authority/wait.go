package authority

import (
	"context"
	"sync"
	"time"

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
func (a *Authority) waitersCommitted(changes []committed) {
	for _, c := range changes {
		if c.notice&LicenseChanged != 0 {
			a.waiters.wakeLicense(c.env, c.license)
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
func (a *Authority) Waiting() int { return a.waiters.waiting() }

// endWaits wakes everybody: what they wait for will not come.
func (a *Authority) endWaits() { a.waiters.wakeAll() }

// await holds an acquire until its place became an offer, and claims it; or
// until wait or ctx ends, when the place is kept for licensing.TicketLasts.
func (a *Authority) await(ctx context.Context, o *op, one *waiter, woken <-chan struct{}) error {
	limit := time.NewTimer(o.acquire.Wait.Duration())
	defer limit.Stop()
	for {
		a.waiters.hold(one, store.TicketKey{Env: o.env, ID: o.answer.queued.ID})
		select {
		case <-woken:
			woken = a.waiters.next(one)
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		again := &op{kind: opAcquire, env: o.env, license: o.license, actor: o.actor, call: o.call, by: o.by, sees: o.sees, acquire: o.acquire}
		if err := a.commits.Do(ctx, again.kind.class(), again.part(), again); err != nil {
			return err
		}
		o.answer, o.call = again.answer, again.call
		if o.answer.err != nil || o.answer.queued == nil {
			return nil
		}
	}
}

// runWaiters keeps the places of those who wait here, and where other servers
// share the database looks for offers that they made.
func (a *Authority) runWaiters(ctx context.Context) {
	keep := time.NewTicker(keepEvery)
	defer keep.Stop()
	every := keepEvery
	if a.db.Shared() {
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
			err = a.keepWaiters(ctx)
		case <-ask.C:
			err = a.askWaiters(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		a.task("waiters", err)
	}
}

func (a *Authority) keepWaiters(ctx context.Context) error {
	keys := a.waiters.tickets()
	if len(keys) == 0 {
		return nil
	}
	return a.db.Update(ctx, func(tx *store.Tx) error {
		return tx.KeepTickets(ctx, keys, tx.Now().Add(licensing.TicketLasts))
	})
}

func (a *Authority) askWaiters(ctx context.Context) error {
	keys := a.waiters.tickets()
	if len(keys) == 0 {
		return nil
	}
	changed := make(map[store.TicketKey]bool)
	err := a.db.View(ctx, func(tx *store.Tx) error {
		found, err := tx.Tickets(ctx, keys)
		for _, t := range found {
			if !t.Live() || !t.Offered.IsZero() {
				changed[store.TicketKey{Env: t.Env, ID: t.ID}] = true
			}
		}
		return err
	})
	a.waiters.wakeTickets(changed)
	return err
}
