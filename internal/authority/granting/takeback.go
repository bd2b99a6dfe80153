package granting

import (
	"errors"
	"time"

	"copyhold.dev/internal/audit/entry"
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
func (g *Granting) believe(o *Op, compact string, id licensing.LeaseID, generation int64) error {
	if compact == "" {
		return nil
	}
	v, err := g.ledger.Ring.Verifier(o.Env)
	if err != nil {
		return err
	}
	now := g.ledger.DB.Latest()
	doc, err := v.Lease(compact, now.Unix())
	if err == nil && doc.Subject == string(o.License) {
		g.lookForCopy(o, doc)
	}
	switch {
	case g.ledger.FencedSince(o.Env).IsZero():
		return nil
	case errors.Is(err, license.ErrExpired):
		return nil
	case err != nil:
		return licensing.Errorf(licensing.Invalid, "the document of the lease is not believed: %w", err).At("lease")
	case doc.Lease != string(id) || doc.Subject != string(o.License) || doc.Generation != generation:
		return licensing.Errorf(licensing.Invalid, "the document is of another lease, license or generation").At("lease")
	case doc.Seq.Epoch >= g.ledger.Epoch.Load() || !now.Before(time.Unix(doc.Expires, 0)):
		return nil
	}
	o.shown = doc
	return nil
}

// lost names the pool of the lease that o shows and the record does not know.
func (b *batch) lost(o *Op) store.PoolKey {
	if _, planned := o.Answer.terms.Pools[o.shown.Pool]; !planned {
		return store.PoolKey{}
	}
	return o.poolKey(o.shown.Pool)
}

// takeBack returns the lease of o as its holder's document shows it, if the
// record is behind it; else as it is known, nil if it is not. It may deny o,
// or refuse it.
func (b *batch) takeBack(o *Op, l *licensing.Lease) (*licensing.Lease, error) {
	doc := o.shown
	if l == nil {
		l = b.leaseOf(o, licensing.LeaseID(doc.Lease)) // taken back in this batch
	}
	p, known := b.pools[o.poolKey(doc.Pool)], licensing.Known{Lease: l}
	for {
		var err error
		v := licensing.TakeBack(&o.Answer.terms.Terms, b.state(p, false), known, doc, b.Now())
		switch v.Step {
		case licensing.StepLook:
			known.Looked = true
			known.Others, err = b.holderLeases(p, doc.Holder)
		case licensing.StepReplace:
			err = b.replace(p, v.Lease)
		case licensing.StepDeny:
			o.Answer.Decision = v.Decision
			b.denyBy(o, p.Name, v.Lease.Holder, v)
			return l, nil
		case licensing.StepAdopt:
			return l, b.bringUp(o, l)
		case licensing.StepPutBack:
			return b.putBack(o, p, v)
		default:
			return l, nil
		}
		if err != nil {
			return l, err
		}
	}
}

// bringUp has the record of a live lease follow its document.
func (b *batch) bringUp(o *Op, l *licensing.Lease) error {
	due := l.Due
	l.Adopt(o.shown, b.granting.ledger.Skew)
	if due.IsZero() {
		l.Due = due // without end
	}
	b.touch(l)
	return b.notePresented(o, l)
}

// lostLease is a lease that only its document knows.
func (b *batch) lostLease(o *Op, p *Pool) *licensing.Lease {
	doc := o.shown
	l := &licensing.Lease{
		Env: o.Env, ID: licensing.LeaseID(doc.Lease), License: o.License, Pool: p.Name,
		Holder: doc.Holder, Instance: doc.Instance, Units: doc.Units, Granted: time.Unix(doc.IssuedAt, 0).UTC(),
		Asker: licensing.Asker{Kind: p.Rule.Holder, Caller: o.by.Of(doc.Instance)},
	}
	if c := doc.Binding; c != nil {
		l.Asker.Kind, l.Asker.Components, l.Asker.Device = c.Kind, c.Components, c.Device
	}
	return l
}

// replace ends a lease whose place that of a document has.
func (b *batch) replace(p *Pool, l *licensing.Lease) error {
	if err := b.reclaim(p, l); err != nil {
		return err
	}
	return b.PutLeases(b.ctx, []*licensing.Lease{l}) // before the one that is shown is live
}

// putBack counts the lease of a document again, beyond the capacity where there
// is no room.
func (b *batch) putBack(o *Op, p *Pool, v licensing.Verdict) (*licensing.Lease, error) {
	l := v.Lease
	if l == nil {
		l = b.lostLease(o, p)
		b.begun = append(b.begun, l)
		b.leases[store.LeaseKey{Env: l.Env, ID: l.ID}] = l
	} else {
		b.touch(l)
	}
	l.Adopt(o.shown, b.granting.ledger.Skew)
	l.Charge, l.Asker.Presented = v.Charge, v.Beyond
	if err := b.take(p, l.Charge, 1); err != nil {
		return l, err
	}
	p.due(l.Due)
	if !l.Asker.Presented && p.Rule.Endless() {
		l.Due = time.Time{}
	}
	if p.Rule.Match.Need > 0 {
		if err := b.PutComponents(b.ctx, l); err != nil {
			return l, err
		}
	}
	return l, b.notePresented(o, l)
}

// within returns the dates d of a lease that was put back where there was no
// room: as they are once there is, before that no later than what was promised.
func (b *batch) within(o *Op, p *Pool, l *licensing.Lease, d licensing.LeaseDates) licensing.LeaseDates {
	if p.Rule.Fits(p.Stock, 0, b.Now()) {
		l.Asker.Presented = false
		return d
	}
	o.Answer.Decision.Next, o.Answer.Decision.NextAt = "the lease ends, unless the pool has room again", l.Expires.Unix()
	return d.Until(l.Expires)
}

func (b *batch) notePresented(o *Op, l *licensing.Lease) error {
	return b.record(o, l, licensing.LeasePresented, entry.Presented{Begin: beganAs(l), Generation: o.shown.Generation, Epoch: o.shown.Seq.Epoch, Document: o.shown.ID, Beyond: l.Asker.Presented})
}
