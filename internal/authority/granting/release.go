package granting

import (
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// asRelease returns the identifying fields of a holder's release. All of them must match the lease.
func (o *Op) asRelease() store.Release {
	return store.Release{Env: o.Env, License: o.License, Lease: o.Release.Lease, Generation: o.Release.Generation}
}

// endReleased answers the ops whose leases the first round has ended. Other releases, whose lease
// was not live in that generation, are examined one by one later.
func (b *batch) endReleased(ops []*Op) error {
	if len(b.ended) == 0 {
		return nil
	}
	ended := make(map[store.Release]*store.Released, len(b.ended))
	for i := range b.ended {
		ended[b.ended[i].Release] = &b.ended[i]
	}
	for _, o := range ops {
		if o.Kind != OpRelease || o.Release.Force {
			continue
		}
		k := o.asRelease()
		r := ended[k]
		if r == nil {
			continue
		}
		delete(ended, k) // a second release in this batch finds the lease ended
		o.Answer.FreeAt = b.Now()
		o.Answer.Lease = &licensing.Lease{
			Env: r.Env, ID: r.Lease, License: r.License, Pool: r.Pool, Holder: r.Holder, Instance: r.Instance,
			Charge: r.Charge, Generation: r.Generation, Ended: b.Now(), EndedBy: licensing.EndReleased,
			Due: b.Now().Add(licensing.Remembered),
		}
	}
	return nil
}

// releaseAll returns the units of ended leases and handles the releases that endReleased left.
func (b *batch) releaseAll(ops []*Op) error {
	for _, o := range ops {
		if o.Kind != OpRelease || o.Answer.Err != nil {
			continue
		}
		l := o.Answer.Lease
		switch {
		case !o.Answer.FreeAt.IsZero():
			if err := b.giveBack(o, l); err != nil {
				return err
			}
		case o.Release.Force:
			if err := b.force(o, l); err != nil {
				return err
			}
		default:
			if err := b.releaseLeft(o, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveBack frees the units of a lease that its holder ended.
func (b *batch) giveBack(o *Op, l *licensing.Lease) error {
	p := b.pools[o.poolKey(l.Pool)]
	if err := b.uncharge(p, l, 1); err != nil {
		return err
	}
	p.due(l.Due)
	if p.Rule.Match.Need > 0 {
		whole := *l
		if whole.Asker.IsZero() { // it was ended without being read
			var err error
			if whole, err = b.Lease(b.ctx, store.LeaseKey{Env: l.Env, ID: l.ID}); err != nil {
				return err
			}
		}
		if err := b.DropComponents(b.ctx, &whole); err != nil {
			return err
		}
	}
	return b.record(o, l, licensing.LeaseEnded, entry.End{Holder: l.Holder, By: string(l.EndedBy), Caller: o.by.After(licensing.Caller{Instance: l.Instance})})
}

// uncharge frees the units charged to l, or transfers them to another instance of the same holder.
// leases is 1 if l has just ended.
func (b *batch) uncharge(p *Pool, l *licensing.Lease, leases int64) error {
	charge := l.Charge
	if charge == 0 {
		return b.take(p, 0, -leases)
	}
	if p.Rule.Shares() {
		heir, err := b.heir(p, l)
		if err != nil {
			return err
		}
		if heir != nil {
			heir.Charge, l.Charge = charge, 0
			b.touch(heir)
			return b.take(p, 0, -leases)
		}
	}
	return b.free(p, charge, leases)
}

// heir returns the lease of the same holder that takes over the charge of l.
func (b *batch) heir(p *Pool, l *licensing.Lease) (*licensing.Lease, error) {
	others, err := b.holderLeases(p, l.Holder)
	if err != nil {
		return nil, err
	}
	forced, err := b.ForcedLeases(b.ctx, p.PoolKey, l.Holder)
	if err != nil {
		return nil, err
	}
	for _, other := range forced {
		others = append(others, b.adopt(other))
	}
	return l.Heir(others, b.Now(), b.granting.ledger.Skew), nil
}

// releaseLeft answers a release whose generation has no live lease.
func (b *batch) releaseLeft(o *Op, l *licensing.Lease) error {
	if o.shown != nil { // the document must not restore the lease later
		var err error
		if l, err = b.takeBack(o, l); err != nil {
			return err
		}
	}
	if l == nil || l.License != o.License {
		o.refuse(licensing.Errorf(licensing.NotFound, "lease %s does not exist", o.Release.Lease))
		return nil
	}
	kind := l.RenewalKind(licensing.Renewal{Generation: o.Release.Generation, Nonce: o.Release.Nonce})
	if o.shown != nil && l.EndedBy == licensing.EndForced && o.shown.Generation > l.Generation {
		kind = licensing.RenewsNext // renewed in a history that was lost
	}
	switch kind {
	case licensing.RenewsCopy:
		o.refuse(licensing.Errorf(licensing.Conflict, "lease %s is at generation %d, not %d: another copy has renewed it, or an answer was lost; renew it first", l.ID, l.Generation, o.Release.Generation))
		return nil
	case licensing.RenewsAgain, licensing.RenewsNext:
	}
	b.touch(l) // repeated answers write, so that they are replicated
	switch {
	case l.Live(): // the holder never got the answer with this generation
		l.Ended, l.EndedBy, l.Due = b.Now(), licensing.EndReleased, b.Now().Add(licensing.Remembered)
		if end := l.Expires.Add(b.granting.ledger.Skew); o.shown != nil && end.After(l.Due) {
			l.Due = end // remembered as long as its document can be presented
		}
		o.Answer.FreeAt = l.Ended
		return b.giveBack(o, l)
	case l.MayUse(b.Now(), b.granting.ledger.Skew):
		// Its holder stops as well, so nobody uses the unit any longer.
		p := b.pools[o.poolKey(l.Pool)]
		if err := b.uncharge(p, l, 0); err != nil {
			return err
		}
		l.EndedBy = licensing.EndReleased
		l.Charge, l.Due = 0, b.Now().Add(licensing.Remembered)
		p.due(l.Due)
		o.Answer.FreeAt = b.Now()
	default:
		o.Answer.FreeAt = l.Ended
	}
	return nil
}

// force ends a lease against the will of its holder. The document remains valid, so the unit stays
// reserved until nobody can use it.
func (b *batch) force(o *Op, l *licensing.Lease) error {
	if l == nil {
		o.refuse(licensing.Errorf(licensing.NotFound, "lease %s does not exist", o.Release.Lease))
		return nil
	}
	if !l.Live() {
		o.Answer.FreeAt = l.Ended
		if l.EndedBy == licensing.EndForced && l.Charge > 0 { // otherwise, Due is when the lease is forgotten
			o.Answer.FreeAt = l.Due
		}
		return nil
	}
	p := b.pools[o.poolKey(l.Pool)]
	l.Ended, l.EndedBy = b.Now(), licensing.EndForced
	l.Due = l.Expires.Add(b.granting.ledger.Skew)
	o.Answer.FreeAt = l.Due
	b.touch(l)
	p.due(l.Due)
	if err := b.take(p, 0, -1); err != nil {
		return err
	}
	if err := b.DropComponents(b.ctx, l); err != nil {
		return err
	}
	return b.record(o, l, licensing.LeaseForced, entry.End{Holder: l.Holder, By: string(l.EndedBy), FreeAt: UnixOf(l.Due), Caller: l.Caller()})
}

// record adds an event about a lease and keeps its entry for the answer.
func (b *batch) record(o *Op, l *licensing.Lease, kind string, data any) (err error) {
	e, err := licensing.NewEvent(kind, l.Env, b.Now(), o.Actor, data)
	if err != nil {
		return err
	}
	e.License, e.Pool, e.Subject, e.Request = l.License, l.Pool, string(l.ID), o.Acquire.RequestID
	e.Call = o.Call
	if t := b.terms[store.LicenseRef{Env: l.Env, ID: l.License}]; t != nil {
		e.Product, e.Customer = t.Product, t.Customer
	}
	o.Answer.Entry, err = b.Record(e)
	o.Answer.Entered = err == nil
	return err
}

// UnixOf returns t in Unix seconds, or 0 for the zero time.
func UnixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
