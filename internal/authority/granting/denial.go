package granting

import (
	"cmp"
	"context"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// ShownHolders is how many holders a denial names, those first whose units
// are free first.
const ShownHolders = 10

// denied is one "no" of a batch, with all that were the same.
type denied struct {
	store.Denial
	op        *Op // the first that was denied
	violation *violation
}

// A violation is what a denial gives away about its holder; it is an entry of
// its own, as often as its denial is.
type violation struct {
	kind  string
	lease *licensing.Lease
	data  any
}

// denyFor counts the op's decision, once for each holder, reason and minute, under the
// name that the program gave its request, "" for none.
func (b *batch) denyFor(o *Op, request, pool, holder string, v *violation) {
	o.name(b.Now())
	d, minute := o.Answer.Decision, b.Now().Truncate(time.Minute)
	if !b.granting.documents.Denials.TellApart(o.key(), minute, pool+" "+holder+" "+d.Code) {
		pool, holder, v = cmp.Or(measured(o.Answer.terms.Pools, pool), measured(o.Answer.terms.Meters, pool)), "", nil
	}
	d = o.Answer.terms.Attributed(pool, d)
	k := o.poolKey(pool)
	for _, known := range b.denials {
		if known.PoolKey == k && known.Holder == holder && known.Code == d.Code {
			known.Times++
			known.Repeat(request, o.Call)
			o.Answer.Retried = true
			return
		}
	}
	b.denials = append(b.denials, &denied{op: o, violation: v, Denial: store.Denial{
		PoolKey: k, Holder: holder, Code: d.Code, Minute: minute,
		Request: request, Call: o.Call, At: b.Now(), Times: 1, Decision: d, Caller: o.by,
	}})
}

// name gives a request that came without one an id: what is denied can be asked for.
func (o *Op) name(now time.Time) {
	if o.Call == "" {
		o.Call = ledger.NewID(request.CallPrefix, now)
	}
}

// storeDenials stores what was denied. The first of a session is an entry in the log;
// the others are counted in one more, once their minute is over. What they give away
// about their holder is an entry for each minute.
func (b *batch) storeDenials() error {
	if len(b.denials) == 0 {
		return nil
	}
	rows := make([]store.Denial, len(b.denials))
	for i, d := range b.denials {
		rows[i] = d.Denial
	}
	first, err := b.PutSessions(b.ctx, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].Logged = first[i]
	}
	fresh, err := b.PutDenials(b.ctx, rows)
	if err != nil {
		return err
	}
	for i, d := range b.denials {
		if d.op.Answer.Retried = !first[i]; first[i] {
			if err := b.enterDenial(d); err != nil {
				return err
			}
		}
		if v := d.violation; v != nil && fresh[i] {
			if err := b.record(d.op, v.lease, v.kind, v.data); err != nil {
				return err
			}
		}
	}
	return nil
}

// enterDenial enters a denial in the log; it becomes the entry of its op.
func (b *batch) enterDenial(d *denied) error {
	e, err := licensing.NewEvent(licensing.DenialFirst, d.Env, b.Now(), d.op.Actor, entry.Denial{Holder: d.Holder, Code: d.Code, Rule: d.Decision.Rule, Held: d.Decision.Held, Capacity: d.Decision.Capacity, Exceptions: d.Decision.Exceptions, Caller: d.Caller})
	if err != nil {
		return err
	}
	e.License, e.Pool, e.Request, e.Call = d.License, d.Name, d.Request, d.Call
	if d.op.Kind == OpRenew {
		e.Subject = string(d.op.Renew.Lease)
	}
	if t := d.op.Answer.terms; t != nil {
		e.Product, e.Customer = t.Product, t.Customer
	}
	hash, err := b.Record(e)
	if err == nil && !d.op.Answer.Entered {
		d.op.Answer.Entry, d.op.Answer.Entered = hash, true
	}
	return err
}

// freeing adds to a decision when a unit will be free at the latest, and who
// holds: for those who may know, and for programs where the plan says so.
func (b *batch) freeing(p *Pool, d *license.Decision, sees bool) error {
	if !p.looked {
		next, err := Holding(b.ctx, b.Tx.Tx, p.PoolKey, p.Rule)
		if err != nil {
			return err
		}
		p.looked = true
		p.holders, p.freeAt = licensing.Holdings(next)
	}
	if sees || p.Rule.ShowHolders {
		d.Holders = p.holders
	}
	d.FreeAt = UnixOf(p.freeAt)
	return nil
}

// Holding returns the leases that are named where a pool is full: those that are
// reclaimed first, and where leases have no end also those without.
func Holding(ctx context.Context, tx *store.Tx, k store.PoolKey, rule licensing.Pool) ([]*licensing.Lease, error) {
	held, err := tx.NextFree(ctx, k, ShownHolders)
	if err != nil || !rule.Endless() || len(held) == ShownHolders {
		return held, err
	}
	endless, err := tx.EndlessLeases(ctx, k, ShownHolders-len(held))
	return append(held, endless...), err
}
