package granting

import (
	"errors"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// After a loss, the record of leases is older than the documents of the holders. While a fence is
// in place, a holder that presents the signed document of its lease gets the lease back, whatever
// the record says. Three rules make this safe. New holders get nothing before every earlier
// document has ended. A document is accepted only once per generation. If its pool has no room, the
// lease is kept until its own end and not extended.

// believe verifies the lease document that a holder presents. It leaves o unchanged if the record
// has lost nothing: if there is no fence, if the document is of the current epoch, or if it has
// ended. The error is Invalid if verification fails.
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
		return licensing.Errorf(licensing.Invalid, "the lease's document could not be verified: %w", err).At("lease")
	case doc.Lease != string(id) || doc.Subject != string(o.License) || doc.Generation != generation:
		return licensing.Errorf(licensing.Invalid, "the document belongs to another lease, license or generation").At("lease")
	case doc.Seq.Epoch >= g.ledger.Epoch.Load() || !now.Before(time.Unix(doc.Expires, 0)):
		return nil
	}
	o.shown = doc
	return nil
}

// lost returns the pool of the lease that o presents and that the record does not know.
func (b *batch) lost(o *Op) store.PoolKey {
	if _, planned := o.Answer.terms.Pools[o.shown.Pool]; !planned {
		return store.PoolKey{}
	}
	return o.poolKey(o.shown.Pool)
}

// takeBack returns the lease of o as in its holder's document, if the record is behind the
// document. Otherwise it returns the recorded lease, or nil if there is none. It may deny or refuse
// o.
func (b *batch) takeBack(o *Op, l *licensing.Lease) (*licensing.Lease, error) {
	doc := o.shown
	if l == nil {
		l = b.leaseOf(o, licensing.LeaseID(doc.Lease)) // taken back earlier in this batch
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

// bringUp updates the record of a live lease from its document.
func (b *batch) bringUp(o *Op, l *licensing.Lease) error {
	due := l.Due
	l.Adopt(o.shown, b.granting.ledger.Skew)
	if due.IsZero() {
		l.Due = due // without end
	}
	b.touch(l)
	return b.notePresented(o, l)
}

// lostLease returns a lease that only its document records.
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

// replace ends a lease whose place the lease of a document takes.
func (b *batch) replace(p *Pool, l *licensing.Lease) error {
	if err := b.reclaim(p, l); err != nil {
		return err
	}
	return b.PutLeases(b.ctx, []*licensing.Lease{l}) // before the presented lease becomes live
}

// putBack counts the lease of a document again, even beyond the capacity if the pool is full.
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

// within limits the dates d of a lease that was put back into a full pool. When the pool has room,
// it returns d. Until then, the lease ends no later than its document.
func (b *batch) within(o *Op, p *Pool, l *licensing.Lease, d licensing.LeaseDates) licensing.LeaseDates {
	if p.Rule.Fits(p.Stock, 0, b.Now()) {
		l.Asker.Presented = false
		return d
	}
	o.Answer.Decision.Next, o.Answer.Decision.NextAt = "the lease ends unless the pool has room by then", l.Expires.Unix()
	return d.Until(l.Expires)
}

func (b *batch) notePresented(o *Op, l *licensing.Lease) error {
	return b.record(o, l, licensing.LeasePresented, entry.Presented{Begin: beganAs(l), Generation: o.shown.Generation, Epoch: o.shown.Seq.Epoch, Document: o.shown.ID, Beyond: l.Asker.Presented})
}
