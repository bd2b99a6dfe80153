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

// ShownHolders is how many holders a denial names. Holders whose units are free first come first.
const ShownHolders = 10

// denied is a denial in a batch, together with all identical ones.
type denied struct {
	store.Denial
	op        *Op // the first denied op
	violation *violation
}

// A violation is a suspicious fact about the holder that a denial reveals. It gets its own log
// entry, as often as the denial is recorded.
type violation struct {
	kind  string
	lease *licensing.Lease
	data  any
}

// denyFor counts the op's denial once per holder, reason and minute. request is the id that the
// program gave its request, or "" for none.
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

// name gives an id to a request that has none, so that its denial can be looked up.
func (o *Op) name(now time.Time) {
	if o.Call == "" {
		o.Call = ledger.NewID(request.CallPrefix, now)
	}
}

// storeDenials stores the denials of the batch. The first denial of a session is a log entry. A
// second entry, after the end of the minute, counts the others. Violations get one entry per
// minute.
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

// enterDenial records a denial in the log. The entry becomes that of its op.
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

// freeing adds to a decision the latest time at which a unit will be free, and the holders. It adds
// the holders for callers that may see them, and for programs if the plan permits it.
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

// Holding returns the leases to name when a pool is full: those that will be reclaimed first and,
// in a pool whose leases have no end, also those without an end.
func Holding(ctx context.Context, tx *store.Tx, k store.PoolKey, rule licensing.Pool) ([]*licensing.Lease, error) {
	held, err := tx.NextFree(ctx, k, ShownHolders)
	if err != nil || !rule.Endless() || len(held) == ShownHolders {
		return held, err
	}
	endless, err := tx.EndlessLeases(ctx, k, ShownHolders-len(held))
	return append(held, endless...), err
}
