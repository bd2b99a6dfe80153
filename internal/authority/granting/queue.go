package granting

import (
	"context"
	"slices"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// queuePage is how many tickets are read at once.
const queuePage = 64

// readTickets loads the tickets that ops name.
func (b *batch) readTickets(ops []*Op, keys []store.TicketKey) error {
	if len(keys) == 0 {
		return nil
	}
	found, err := b.Tickets(b.ctx, keys)
	if err != nil {
		return err
	}
	for _, o := range ops {
		if o.Kind != OpTicket && o.Kind != OpWithdraw || o.Answer.Err != nil {
			continue
		}
		for _, t := range found {
			if t.ID == o.Ticket && t.Env == o.Env && t.License == o.License {
				o.Answer.Queued = t
			}
		}
		if o.Answer.Queued == nil {
			o.refuse(licensing.Errorf(licensing.NotFound, "ticket %s does not exist", o.Ticket))
		}
	}
	return nil
}

// attendQueues answers requests about places, then moves each queue.
func (b *batch) attendQueues(ops []*Op) error {
	for _, o := range ops {
		if o.Answer.Err != nil || o.Answer.Queued == nil || o.Kind != OpTicket && o.Kind != OpWithdraw {
			continue
		}
		t := o.Answer.Queued
		p := b.pools[o.poolKey(t.Pool)]
		ending := t.Over(b.Now())
		if o.Kind == OpWithdraw {
			ending = licensing.TicketWithdrawn
		}
		switch {
		case !t.Live():
		case ending != "":
			if err := b.endTicket(p, t, ending); err != nil {
				return err
			}
		default:
			t.Alive = b.Now().Add(licensing.TicketLasts)
		}
		b.moved = append(b.moved, t)
	}
	for _, p := range b.order {
		if p.Waiting > 0 && !p.moved {
			if err := b.moveQueue(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// endTicket ends a place and frees the units that were kept for it.
func (b *batch) endTicket(p *Pool, t *licensing.Ticket, how licensing.TicketEnding) error {
	offered := !t.Offered.IsZero()
	t.Ended, t.EndedBy = b.Now(), how
	b.wake = append(b.wake, wakeup{t.Env, t.License, t.Request})
	if offered {
		p.moved = false
		if err := b.take(p, -t.Units, 0); err != nil {
			return err
		}
	} else {
		p.Waiting, p.changed = max(0, p.Waiting-1), true
	}
	return b.noteTicket(p, t, licensing.TicketEnded, "")
}

func (b *batch) noteTicket(p *Pool, t *licensing.Ticket, kind, call string) error {
	e, err := licensing.NewEvent(kind, t.Env, b.Now(), ledger.SystemActor, entry.Ticket{Holder: t.Holder, Units: t.Units, By: string(t.EndedBy), Caller: t.Asker.Caller.After(licensing.Caller{Instance: t.Instance})})
	if err != nil {
		return err
	}
	e.License, e.Pool, e.Subject, e.Request = t.License, t.Pool, string(t.ID), t.Request
	e.Call = call
	if p.Terms != nil {
		e.Product, e.Customer = p.Terms.Product, p.Terms.Customer
	}
	_, err = b.Record(e)
	return err
}

// moveQueue ends places that are over and offers free units strictly in order. A waiter that needs
// many units is never overtaken by one that needs few.
func (b *batch) moveQueue(p *Pool) error {
	p.moved = true
	blocked := false
	for after := int64(0); ; {
		page, err := b.queuePage(p, after)
		if err != nil {
			return err
		}
		for _, t := range page {
			after = t.Place
			if blocked, err = b.moveTicket(p, t, blocked); err != nil {
				return err
			}
		}
		if len(page) < queuePage || blocked {
			return nil
		}
	}
}

// queuePage reads live tickets in order, including unstored changes.
func (b *batch) queuePage(p *Pool, after int64) ([]*licensing.Ticket, error) {
	page, err := b.Queue(b.ctx, p.PoolKey, after, queuePage)
	if err != nil {
		return nil, err
	}
	return b.asKnown(page), nil
}

// asKnown replaces tickets by the batch's changed copies.
func (b *batch) asKnown(read []*licensing.Ticket) []*licensing.Ticket {
	for i, t := range read {
		for _, known := range b.moved {
			if known.Env == t.Env && known.ID == t.ID {
				read[i] = known
			}
		}
	}
	return read
}

// moveTicket ends t if it is over. Otherwise it offers t its units, unless an earlier ticket is
// blocked. It reports whether t blocks the tickets behind it.
func (b *batch) moveTicket(p *Pool, t *licensing.Ticket, blocked bool) (bool, error) {
	if !t.Live() {
		return blocked, nil
	}
	how, offer := p.Rule.Turn(p.Stock, *t, blocked || b.fenced(p), b.Now())
	switch {
	case how != "":
		b.moved = append(b.moved, t)
		return blocked, b.endTicket(p, t, how)
	case offer:
		return false, b.offer(p, t)
	case !t.Offered.IsZero():
		p.due(t.Offered)
		return blocked, nil
	}
	p.due(t.Alive)
	p.due(t.Deadline)
	return true, nil
}

// offer keeps free units for the next waiter.
func (b *batch) offer(p *Pool, t *licensing.Ticket) error {
	t.Offered = b.Now().Add(licensing.OfferLasts)
	b.moved = append(b.moved, t)
	p.due(t.Offered)
	p.Waiting = max(0, p.Waiting-1)
	b.wake = append(b.wake, wakeup{t.Env, t.License, t.Request})
	if err := b.take(p, t.Units, 0); err != nil {
		return err
	}
	return b.noteTicket(p, t, licensing.TicketOffered, "")
}

// enqueue gives a newcomer a place.
func (b *batch) enqueue(o *Op, p *Pool) error {
	p.Tickets++
	p.Waiting++
	p.changed = true
	q := o.Acquire
	t := &licensing.Ticket{
		Env: o.Env, ID: licensing.TicketID(b.newID(licensing.TicketPrefix)), License: o.License, Pool: p.Name, Place: p.Tickets,
		Holder: q.Holder.ID, Instance: o.instance, Units: q.Units, Borrow: q.For, Request: q.RequestID,
		Queued: b.Now(), Deadline: p.Rule.Patience(b.Now()), Alive: b.Now().Add(licensing.TicketLasts), Asker: q.asker(o.instance),
	}
	p.due(t.Alive)
	o.Answer.Queued = t
	b.queued = append(b.queued, t)
	b.requests = append(b.requests, store.Request{Env: o.Env, License: o.License, ID: q.RequestID, Body: o.body, Ticket: t.ID, At: b.Now()})
	return b.noteTicket(p, t, licensing.TicketQueued, o.Call)
}

// claim turns an offer into a lease. The units are already counted.
func (b *batch) claim(o *Op, p *Pool, t *licensing.Ticket) error {
	p.Held -= t.Units // the lease counts them next, so no new overdraft begins
	l, err := b.lend(o, p, t.Units, nil)
	if err != nil {
		return err
	}
	t.Lease, t.Ended, t.EndedBy = l.ID, b.Now(), licensing.TicketClaimed
	b.moved = append(b.moved, t)
	return b.noteTicket(p, t, licensing.TicketEnded, o.Call)
}

// keepPlace answers a request that waits in a queue.
func (b *batch) keepPlace(o *Op, t *licensing.Ticket) {
	t.Alive = b.Now().Add(licensing.TicketLasts)
	b.moved = append(b.moved, t)
	o.Answer.Queued = t
}

// joinWaiting ends the places of a holder's other instances after l has its units. They share those
// units when they ask again, and do not delay others in the meantime.
func (b *batch) joinWaiting(p *Pool, l *licensing.Lease) error {
	if l.Charge == 0 || p.Waiting == 0 || !p.Rule.Shares() {
		return nil
	}
	read, err := b.HolderTickets(b.ctx, p.PoolKey, l.Holder)
	if err != nil {
		return err
	}
	read = b.asKnown(read)
	for _, t := range b.queued { // not yet stored
		if queueOf(t) == p.PoolKey && t.Holder == l.Holder {
			read = append(read, t)
		}
	}
	for _, t := range read {
		if !t.Live() || !t.Offered.IsZero() || t.Units != l.Units {
			continue
		}
		if !slices.Contains(b.queued, t) && !slices.Contains(b.moved, t) {
			b.moved = append(b.moved, t)
		}
		if err := b.endTicket(p, t, licensing.TicketWithdrawn); err != nil {
			return err
		}
		p.due(b.Now()) // the next ticket may no longer be blocked
	}
	return nil
}

// knownTicket returns a place in the queue of p with the batch's changes, or nil if there is none.
func (b *batch) knownTicket(p *Pool, id licensing.TicketID) (*licensing.Ticket, error) {
	in := func(t *licensing.Ticket) bool { return t.ID == id && queueOf(t) == p.PoolKey }
	for _, list := range [][]*licensing.Ticket{b.moved, b.queued} {
		if i := slices.IndexFunc(list, in); i >= 0 {
			return list[i], nil
		}
	}
	found, err := b.Tickets(b.ctx, []store.TicketKey{{Env: p.Env, ID: id}})
	if err != nil || len(found) == 0 || !in(found[0]) {
		return nil, err
	}
	return found[0], nil
}

// queueOf returns the pool whose queue contains a ticket.
func queueOf(t *licensing.Ticket) store.PoolKey {
	return store.PoolKey{Env: t.Env, License: t.License, Name: t.Pool}
}

// keepEvery is how often the places of waiters on this server are kept.
const keepEvery = licensing.TicketLasts / 3

// askEvery is how often a waiter checks for an offer from another server.
const askEvery = 50 * time.Millisecond

// KeepQueues keeps the places of all waiters, because they could not send requests while no server
// ran.
func (g *Granting) KeepQueues(ctx context.Context) error {
	return g.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		return tx.KeepAllTickets(ctx, tx.Now().Add(licensing.TicketLasts))
	})
}
