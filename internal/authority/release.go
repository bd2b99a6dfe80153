package authority

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// asRelease is what a holder's release names: all of it has to match the lease.
func (o *op) asRelease() store.Release {
	return store.Release{Env: o.env, License: o.license, Lease: o.release.Lease, Generation: o.release.Generation}
}

// endReleased tells the ops whose leases the first round ended. What it did not
// find live in that generation is left to be looked at one by one.
func (b *batch) endReleased(ops []*op) error {
	if len(b.ended) == 0 {
		return nil
	}
	ended := make(map[store.Release]*store.Released, len(b.ended))
	for i := range b.ended {
		ended[b.ended[i].Release] = &b.ended[i]
	}
	for _, o := range ops {
		if o.kind != opRelease || o.release.Force {
			continue
		}
		k := o.asRelease()
		r := ended[k]
		if r == nil {
			continue
		}
		delete(ended, k) // a second release of it in this batch finds it ended
		o.answer.freeAt = b.Now()
		o.answer.lease = &licensing.Lease{
			Env: r.Env, ID: r.Lease, License: r.License, Pool: r.Pool, Holder: r.Holder, Instance: r.Instance,
			Charge: r.Charge, Generation: r.Generation, Ended: b.Now(), EndedBy: licensing.EndReleased,
			Due: b.Now().Add(licensing.Remembered),
		}
	}
	return nil
}

// releaseAll gives the units of ended leases back, and ends those that endReleased left.
func (b *batch) releaseAll(ops []*op) error {
	for _, o := range ops {
		if o.kind != opRelease || o.answer.err != nil {
			continue
		}
		l := o.answer.lease
		switch {
		case !o.answer.freeAt.IsZero():
			if err := b.giveBack(o, l); err != nil {
				return err
			}
		case o.release.Force:
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

// giveBack counts a lease that its holder ended as free.
func (b *batch) giveBack(o *op, l *licensing.Lease) error {
	p := b.pools[o.poolKey(l.Pool)]
	if err := b.uncharge(p, l, 1); err != nil {
		return err
	}
	p.due(l.Due)
	if p.rule.Match.Need > 0 {
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
	return b.record(o, l, licensing.LeaseEnded, endEvent{Holder: l.Holder, By: string(l.EndedBy), Caller: o.by.After(licensing.Caller{Instance: l.Instance})})
}

type endEvent struct {
	Holder string `json:"holder"`
	By     string `json:"by"`
	FreeAt int64  `json:"free_at,omitempty"` // unix seconds
	licensing.Caller
}

// uncharge gives back what l is charged with, or has another instance of the
// same holder carry it on; leases is 1 when l is live no more.
func (b *batch) uncharge(p *pool, l *licensing.Lease, leases int64) error {
	charge := l.Charge
	if charge == 0 {
		return b.take(p, 0, -leases)
	}
	if p.rule.Shares() {
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

// heir returns the lease of the same holder that carries on what l is charged with.
func (b *batch) heir(p *pool, l *licensing.Lease) (*licensing.Lease, error) {
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
	return l.Heir(others, b.Now(), b.a.skew), nil
}

// releaseLeft answers a release whose generation has no live lease.
func (b *batch) releaseLeft(o *op, l *licensing.Lease) error {
	if o.shown != nil { // it ends as what it was, so that its document gives nothing back
		var err error
		if l, err = b.takeBack(o, l); err != nil {
			return err
		}
	}
	if l == nil || l.License != o.license {
		o.refuse(licensing.Errorf(licensing.NotFound, "no lease %s", o.release.Lease))
		return nil
	}
	standing := l.Standing(licensing.Renewal{Generation: o.release.Generation, Nonce: o.release.Nonce})
	if o.shown != nil && l.EndedBy == licensing.EndForced && o.shown.Generation > l.Generation {
		standing = licensing.RenewsNext // renewed in a course of things that was lost
	}
	switch standing {
	case licensing.RenewsCopy:
		o.refuse(licensing.Errorf(licensing.Conflict, "lease %s is in generation %d, not %d: another copy has renewed it, or an answer was lost; renew it first", l.ID, l.Generation, o.release.Generation))
		return nil
	case licensing.RenewsAgain, licensing.RenewsNext:
	}
	b.touch(l) // a repeated answer is written, too, so that it is replicated
	switch {
	case l.Live(): // the answer that told its holder of this generation was lost
		l.Ended, l.EndedBy, l.Due = b.Now(), licensing.EndReleased, b.Now().Add(licensing.Remembered)
		if end := l.Expires.Add(b.a.skew); o.shown != nil && end.After(l.Due) {
			l.Due = end // known for as long as its document could be shown
		}
		o.answer.freeAt = l.Ended
		return b.giveBack(o, l)
	case l.MayUse(b.Now(), b.a.skew):
		// Its holder stops as well: nobody uses the unit any longer.
		p := b.pools[o.poolKey(l.Pool)]
		if err := b.uncharge(p, l, 0); err != nil {
			return err
		}
		l.EndedBy = licensing.EndReleased
		l.Charge, l.Due = 0, b.Now().Add(licensing.Remembered)
		p.due(l.Due)
		o.answer.freeAt = b.Now()
	default:
		o.answer.freeAt = l.Ended
	}
	return nil
}

// force ends a lease against its holder. The document lives on, so the unit is
// kept until nobody can use it.
func (b *batch) force(o *op, l *licensing.Lease) error {
	if l == nil {
		o.refuse(licensing.Errorf(licensing.NotFound, "no lease %s", o.release.Lease))
		return nil
	}
	if !l.Live() {
		o.answer.freeAt = l.Ended
		if l.EndedBy == licensing.EndForced && l.Charge > 0 { // else Due is when it is forgotten
			o.answer.freeAt = l.Due
		}
		return nil
	}
	p := b.pools[o.poolKey(l.Pool)]
	l.Ended, l.EndedBy = b.Now(), licensing.EndForced
	l.Due = l.Expires.Add(b.a.skew)
	o.answer.freeAt = l.Due
	b.touch(l)
	p.due(l.Due)
	if err := b.take(p, 0, -1); err != nil {
		return err
	}
	if err := b.DropComponents(b.ctx, l); err != nil {
		return err
	}
	return b.record(o, l, licensing.LeaseForced, endEvent{Holder: l.Holder, By: string(l.EndedBy), FreeAt: unixOf(l.Due), Caller: l.Caller()})
}

// record adds an event about a lease and keeps its entry for the answer.
func (b *batch) record(o *op, l *licensing.Lease, kind string, data any) (err error) {
	e, err := licensing.NewEvent(kind, l.Env, b.Now(), o.actor, data)
	if err != nil {
		return err
	}
	e.License, e.Pool, e.Subject, e.Request = l.License, l.Pool, string(l.ID), o.acquire.RequestID
	e.Call = o.call
	if t := b.terms[store.LicenseKey{Env: l.Env, ID: l.License}]; t != nil {
		e.Product, e.Customer = t.Product, t.Customer
	}
	o.answer.entry, err = b.Record(e)
	o.answer.entered = err == nil
	return err
}

func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
