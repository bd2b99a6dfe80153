package granting

import (
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// loadLeases reads the leases that ops name and that the first round has neither ended nor read,
// and the tickets.
func (b *batch) loadLeases(ops []*Op) error {
	b.leases = make(map[store.LeaseKey]*licensing.Lease)
	for _, l := range b.read {
		b.adopt(l)
	}
	var leases []store.LeaseKey
	var tickets []store.TicketKey
	for _, o := range ops {
		if o.Answer.Err != nil {
			continue
		}
		switch o.Kind {
		case OpRelease:
			if o.Answer.Lease == nil {
				leases = append(leases, store.LeaseKey{Env: o.Env, ID: o.Release.Lease})
			}
		case OpTicket, OpWithdraw:
			tickets = append(tickets, store.TicketKey{Env: o.Env, ID: o.Ticket})
		}
	}
	if err := b.readLeases(leases); err != nil {
		return err
	}
	if err := b.readTickets(ops, tickets); err != nil {
		return err
	}
	for _, o := range ops {
		if o.Answer.Err != nil || o.Answer.Lease != nil {
			continue
		}
		switch o.Kind {
		case OpRenew:
			o.Answer.Lease = b.leaseOf(o, o.Renew.Lease)
		case OpRelease:
			o.Answer.Lease = b.leaseOf(o, o.Release.Lease)
		}
	}
	return nil
}

// leaseOf returns a lease of o's license that the batch has loaded. It returns nil for a lease of
// another license, as if that lease did not exist.
func (b *batch) leaseOf(o *Op, id licensing.LeaseID) *licensing.Lease {
	l := b.leases[store.LeaseKey{Env: o.Env, ID: id}]
	if l == nil || l.License != o.License {
		return nil
	}
	return l
}

// readLeases loads leases that the batch has not loaded yet.
func (b *batch) readLeases(keys []store.LeaseKey) error {
	if len(keys) == 0 {
		return nil
	}
	found, err := b.Leases(b.ctx, keys)
	if err != nil {
		return err
	}
	for _, l := range found {
		b.adopt(l)
	}
	return nil
}

// adopt returns the batch's own copy of a lease that was just read. If the batch has changed the
// lease without storing it yet, its copy is newer.
func (b *batch) adopt(l *licensing.Lease) *licensing.Lease {
	k := store.LeaseKey{Env: l.Env, ID: l.ID}
	if known := b.leases[k]; known != nil {
		return known
	}
	b.leases[k] = l
	return l
}

// holderLeases returns a holder's leases, including unstored changes.
func (b *batch) holderLeases(p *Pool, holder string) ([]*licensing.Lease, error) {
	read, err := b.HolderLeases(b.ctx, p.PoolKey, holder)
	if err != nil {
		return nil, err
	}
	for i, l := range read {
		read[i] = b.adopt(l)
	}
	for _, l := range b.begun {
		if l.Holder == holder && PoolOf(l) == p.PoolKey {
			read = append(read, l)
		}
	}
	return read, nil
}

func (b *batch) renewAll(ops []*Op) error {
	for _, o := range ops {
		if o.Kind != OpRenew || o.Answer.Err != nil {
			continue
		}
		if err := b.renewOne(o); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) renewOne(o *Op) error {
	l, r := o.Answer.Lease, o.Renew
	if o.shown != nil {
		var err error
		if l, err = b.takeBack(o, l); err != nil || o.Answer.Decision.Outcome != "" {
			return err
		}
	}
	var p *Pool
	if l != nil {
		p = b.pools[o.poolKey(l.Pool)]
	}
	shown := licensing.Renewal{Lease: r.Lease, Generation: r.Generation, Nonce: r.Nonce, For: r.For, Shown: o.shown != nil}
	v := licensing.Renew(&o.Answer.terms.Terms, b.state(p, false), l, shown, b.Now())
	if v.Step == licensing.StepSettle {
		if err := b.clear(p); err != nil {
			return err
		}
		v = licensing.Renew(&o.Answer.terms.Terms, b.state(p, true), l, shown, b.Now())
	}
	return b.keep(o, p, l, v)
}

// keep carries out the decision about a renewal of l.
func (b *batch) keep(o *Op, p *Pool, l *licensing.Lease, v licensing.Verdict) error {
	o.Answer.Decision = v.Decision
	switch v.Step {
	case licensing.StepRefuse:
		o.refuse(v.Err)
		return nil
	case licensing.StepDeny:
		if v.Violation == licensing.ViolationClone { // so that the remaining copy is told
			l.Cloned = b.Now()
			b.touch(l)
		}
		b.denyBy(o, l.Pool, l.Holder, v)
		return nil
	case licensing.StepResume:
		l.Generation++
		l.Nonce = o.Renew.Nonce
	}
	l.Cloned = time.Time{} // told once
	return b.prolong(o, p, l, o.Renew.For)
}

// prolong gives l new dates. Its units are never reclaimed before the end of any document signed
// for it. The exception is a holder that has just given up a document from a time that the clock
// was set back from.
func (b *batch) prolong(o *Op, p *Pool, l *licensing.Lease, asked licensing.Span) error {
	d := o.Answer.terms.LeaseDates(p.Rule, asked, b.Now())
	ahead := l.Renewed.After(b.Now())
	l.Renewed = b.Now()
	l.Asker.Caller = o.by.Of(l.Instance).After(l.Asker.Caller)
	if l.Asker.Presented {
		d = b.within(o, p, l, d)
	}
	if l.Asker.Recall != nil {
		r := l.Asker.Recall.Told(p.Rule, b.Now())
		l.Asker.Recall, d = &r, d.Until(r.Until)
		o.Answer.Decision.Next, o.Answer.Decision.NextAt = "stop and release the lease, because it was recalled", r.Until.Unix()
	}
	if ahead || d.Expires.After(l.Expires) {
		l.Expires = d.Expires
	}
	borrowed := d.Borrowed && !l.Borrowed
	l.Borrowed = d.Borrowed
	switch {
	case d.Ends || l.Asker.Presented || l.Instance != "": // a pool without end cannot recognize the instance again
		l.Due = l.Expires.Add(b.granting.ledger.Skew)
		p.due(l.Due)
	default:
		l.Due = time.Time{}
	}
	o.holds(l, d)
	b.touch(l)
	if !borrowed {
		return nil
	}
	return b.record(o, l, licensing.LeaseBorrowed, entry.Prolong{Begin: beganAs(l), Renewed: true})
}

// holds answers o with the current state of the lease. Later requests in the batch may change the
// lease without changing this answer.
func (o *Op) holds(l *licensing.Lease, d licensing.LeaseDates) {
	as := *l
	o.Answer.Lease, o.Answer.dates = &as, d
}
