package authority

import (
	"errors"
	"slices"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// After a loss the record of leases is older than what holders were told. While
// the fence stands, a holder that shows the signed document of its lease has
// it back: the promise stands, whatever the record says. What makes that safe:
// nobody new is given anything before every document of before has ended, a
// document is taken back in one generation once, and what finds no room in its
// pool is kept to its own end and not extended.

// believe verifies the document that a holder shows of a lease. It leaves o as
// it is where the record has lost nothing: without a fence, and for documents
// of the present epoch or those that have ended. Invalid if it is not believed.
func (a *Authority) believe(o *op, compact string, id licensing.LeaseID, generation int64) error {
	if compact == "" {
		return nil
	}
	v, err := a.ring.Verifier(o.env)
	if err != nil {
		return err
	}
	now := a.db.Latest()
	doc, err := v.Lease(compact, now.Unix())
	if err == nil && doc.Subject == string(o.license) {
		a.lookForCopy(o, doc)
	}
	switch {
	case a.fencedSince(o.env).IsZero():
		return nil
	case errors.Is(err, license.ErrExpired):
		return nil
	case err != nil:
		return licensing.Errorf(licensing.Invalid, "the document of the lease is not believed: %w", err).At("lease")
	case doc.Lease != string(id) || doc.Subject != string(o.license) || doc.Generation != generation:
		return licensing.Errorf(licensing.Invalid, "the document is of another lease, license or generation").At("lease")
	case doc.Seq.Epoch >= a.epoch.Load() || !now.Before(time.Unix(doc.Expires, 0)):
		return nil
	}
	o.shown = doc
	return nil
}

// lost names the pool of the lease that o shows and the record does not know.
func (b *batch) lost(o *op) store.PoolKey {
	if _, planned := o.answer.terms.Pools[o.shown.Pool]; !planned {
		return store.PoolKey{}
	}
	return o.poolKey(o.shown.Pool)
}

// takeBack returns the lease of o as its holder's document shows it, if the
// record is behind it; else as it is known, nil if it is not. It may deny o,
// or refuse it.
func (b *batch) takeBack(o *op, l *licensing.Lease) (*licensing.Lease, error) {
	doc := o.shown
	if l == nil {
		l = b.leaseOf(o, licensing.LeaseID(doc.Lease)) // taken back in this batch
	}
	p := b.pools[o.poolKey(doc.Pool)]
	switch {
	case p == nil || !p.planned || !b.mayBeLost(p), l != nil && !l.Behind(doc), o.answer.terms.InForce(b.Now()).Outcome != license.Allowed:
		return l, nil
	case l != nil && l.Live():
		due := l.Due
		l.Adopt(doc, b.a.skew)
		if due.IsZero() {
			l.Due = due // without end
		}
		b.touch(l)
		return l, b.notePresented(o, l)
	}
	if denied, err := b.supersede(o, p); denied || err != nil {
		return l, err
	}
	if l == nil {
		l = b.lostLease(o, p)
		b.begun = append(b.begun, l)
		b.leases[store.LeaseKey{Env: l.Env, ID: l.ID}] = l
	} else {
		b.touch(l)
	}
	l.Adopt(doc, b.a.skew)
	return l, b.putBack(o, p, l)
}

// lostLease is a lease that only its document knows.
func (b *batch) lostLease(o *op, p *pool) *licensing.Lease {
	doc := o.shown
	l := &licensing.Lease{
		Env: o.env, ID: licensing.LeaseID(doc.Lease), License: o.license, Pool: p.Name,
		Holder: doc.Holder, Instance: doc.Instance, Units: doc.Units, Granted: time.Unix(doc.IssuedAt, 0).UTC(),
		Asker: licensing.Asker{Kind: p.rule.Holder, Caller: o.by.Of(doc.Instance)},
	}
	if c := doc.Binding; c != nil {
		l.Asker.Kind, l.Asker.Components, l.Asker.Device = c.Kind, c.Components, c.Device
	}
	return l
}

// supersede ends what the record holds for the same instance of the holder: it
// had ended before the lease that is shown began. What was given or renewed
// since the loss is in use, though, and who shows a document beside it is a copy.
func (b *batch) supersede(o *op, p *pool) (denied bool, err error) {
	others, err := b.holderLeases(p, o.shown.Holder)
	if err != nil {
		return false, err
	}
	for _, other := range others {
		if !other.Live() || other.Instance != o.shown.Instance || string(other.ID) == o.shown.Lease {
			continue
		}
		if b.proven(other) {
			o.answer.decision = other.HeldBy(o.shown)
			b.denyFor(o, o.acquire.RequestID, p.Name, other.Holder, &violation{licensing.ViolationClone, other,
				cloneEvent{other.Holder, other.Instance, o.by.Instance, o.shown.Generation, other.Generation, o.by.Of(o.by.Instance)}})
			return true, nil
		}
		if err := b.reclaim(p, other); err != nil {
			return false, err
		}
		if err := b.PutLeases(b.ctx, []*licensing.Lease{other}); err != nil { // before the one that is shown is live
			return false, err
		}
	}
	return false, nil
}

// proven reports whether a lease was given or kept since the loss.
func (b *batch) proven(l *licensing.Lease) bool { return b.a.fenceIn(l.Env).Proven(*l) }

// putBack counts a lease again, beyond the capacity where there is no room.
func (b *batch) putBack(o *op, p *pool, l *licensing.Lease) error {
	var err error
	if l.Charge, err = b.chargeOf(p, l); err != nil {
		return err
	}
	if err := b.take(p, l.Charge, 1); err != nil {
		return err
	}
	p.due(l.Due)
	if l.Asker.Presented, err = b.beyond(p, l); err != nil {
		return err
	}
	if !l.Asker.Presented && p.rule.Endless() {
		l.Due = time.Time{}
	}
	if p.rule.Match.Need > 0 {
		if err := b.PutComponents(b.ctx, l); err != nil {
			return err
		}
	}
	return b.notePresented(o, l)
}

// chargeOf returns the units that the pool counts for a lease put back: none
// when another instance of its holder carries them.
func (b *batch) chargeOf(p *pool, l *licensing.Lease) (int64, error) {
	if !p.rule.Shares() {
		return l.Units, nil
	}
	others, err := b.holderLeases(p, l.Holder)
	for _, other := range others {
		if other.ID != l.ID && other.Live() && other.Units == l.Units {
			return 0, err
		}
	}
	return l.Units, err
}

// beyond reports whether there is no room for a lease that is put back: the pool
// holds more than it may, and no other instance of the holder is there by right.
func (b *batch) beyond(p *pool, l *licensing.Lease) (bool, error) {
	if p.rule.Fits(p.Stock, 0, b.Now()) {
		return false, nil
	}
	if l.Charge > 0 {
		return true, nil
	}
	others, err := b.holderLeases(p, l.Holder)
	return !slices.ContainsFunc(others, func(other *licensing.Lease) bool {
		return other.ID != l.ID && other.Live() && other.Units == l.Units && !other.Asker.Presented
	}), err
}

// doubt refuses a renewal that has to show the lease's document, or is too late.
// After a loss another generation than the recorded one is no copy's for
// certain: it may be of a course of things that was lost.
func (b *batch) doubt(o *op, p *pool, l *licensing.Lease, shown licensing.Renewal) (refused bool, err error) {
	another := shown.Generation > l.Generation || o.shown == nil && !b.proven(l) && l.Standing(shown) == licensing.RenewsCopy
	if another && b.mayBeLost(p) {
		o.refuse(licensing.Errorf(licensing.NotFound, "lease %s is known in generation %d, not %d: show its document", l.ID, l.Generation, shown.Generation))
		return true, nil
	}
	late, err := b.overdue(p, l)
	if late {
		o.refuse(licensing.Errorf(licensing.Gone, "the end of lease %s has come, and its pool holds more than its capacity", l.ID))
	}
	return late, err
}

// overdue reports whether the end of a lease has come that has no room in its
// pool: one that was put back beyond the capacity, or whose units are due and
// reclaimed now.
func (b *batch) overdue(p *pool, l *licensing.Lease) (bool, error) {
	if !p.rule.Late(p.Stock, *l, b.Now()) {
		return false, nil
	}
	if err := b.clear(p); err != nil {
		return false, err
	}
	return !l.Live() || !p.rule.Fits(p.Stock, 0, b.Now()), nil
}

// within returns the dates d of a lease that was put back where there was no
// room: as they are once there is, before that no later than what was promised.
func (b *batch) within(o *op, p *pool, l *licensing.Lease, d licensing.LeaseDates) licensing.LeaseDates {
	if p.rule.Fits(p.Stock, 0, b.Now()) {
		l.Asker.Presented = false
		return d
	}
	o.answer.decision.Next, o.answer.decision.NextAt = "the lease ends, unless the pool has room again", l.Expires.Unix()
	return d.Until(l.Expires)
}

func (b *batch) notePresented(o *op, l *licensing.Lease) error {
	return b.record(o, l, licensing.LeasePresented, presentedEvent{beganAs(l), o.shown.Generation, o.shown.Seq.Epoch, o.shown.ID, l.Asker.Presented})
}

type presentedEvent struct {
	beginEvent
	Generation int64  `json:"generation"`
	Epoch      int64  `json:"epoch"`
	Document   string `json:"document"`         // its id
	Beyond     bool   `json:"beyond,omitempty"` // the pool had no room for it
}
