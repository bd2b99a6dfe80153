package authority

import (
	"cmp"
	"context"
	"sync"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// shownHolders is how many holders a denial names, those first whose units
// are free first.
const shownHolders = 10

// denied is one "no" of a batch, with all that were the same.
type denied struct {
	store.Denial
	op        *op // the first that was denied
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
func (b *batch) denyFor(o *op, request, pool, holder string, v *violation) {
	o.name(b.Now())
	d, minute := o.answer.decision, b.Now().Truncate(time.Minute)
	if !b.a.denials.tellApart(o.key(), minute, pool+" "+holder+" "+d.Code) {
		pool, holder, v = cmp.Or(measured(o.answer.terms.Pools, pool), measured(o.answer.terms.Meters, pool)), "", nil
	}
	d = o.answer.terms.Attributed(pool, d)
	k := o.poolKey(pool)
	for _, known := range b.denials {
		if known.PoolKey == k && known.Holder == holder && known.Code == d.Code {
			known.Times++
			known.Repeat(request, o.call)
			o.answer.retried = true
			return
		}
	}
	b.denials = append(b.denials, &denied{op: o, violation: v, Denial: store.Denial{
		PoolKey: k, Holder: holder, Code: d.Code, Minute: minute,
		Request: request, Call: o.call, At: b.Now(), Times: 1, Decision: d, Caller: o.by,
	}})
}

// maxDenied is how many denials of one license are told apart in a minute. More
// are counted without a holder: a caller can make up names for free, and an entry
// of the log stays.
const maxDenied = 200

// denials are those told apart in this minute. Safe for concurrent use.
type denials struct {
	mu     sync.Mutex
	minute time.Time
	told   map[store.LicenseKey]map[string]bool
}

// tellApart reports whether a denial gets a row of its own.
func (d *denials) tellApart(k store.LicenseKey, minute time.Time, name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !minute.Equal(d.minute) {
		d.minute, d.told = minute, make(map[store.LicenseKey]map[string]bool)
	}
	told := d.told[k]
	switch {
	case told[name]:
		return true
	case len(told) >= maxDenied:
		return false
	case told == nil:
		told = make(map[string]bool)
		d.told[k] = told
	}
	told[name] = true
	return true
}

// name gives a request that came without one an id: what is denied can be asked for.
func (o *op) name(now time.Time) {
	if o.call == "" {
		o.call = newID(callPrefix, now)
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
		if d.op.answer.retried = !first[i]; first[i] {
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
	e, err := licensing.NewEvent(licensing.DenialFirst, d.Env, b.Now(), d.op.actor, denialEvent{d.Holder, d.Code, d.Decision.Rule, d.Decision.Held, d.Decision.Capacity, d.Decision.Exceptions, d.Caller})
	if err != nil {
		return err
	}
	e.License, e.Pool, e.Request, e.Call = d.License, d.Name, d.Request, d.Call
	if d.op.kind == opRenew {
		e.Subject = string(d.op.renew.Lease)
	}
	if t := d.op.answer.terms; t != nil {
		e.Product, e.Customer = t.Product, t.Customer
	}
	hash, err := b.Record(e)
	if err == nil && !d.op.answer.entered {
		d.op.answer.entry, d.op.answer.entered = hash, true
	}
	return err
}

type denialEvent struct {
	Holder   string `json:"holder"`
	Code     string `json:"code"`
	Rule     string `json:"rule"`
	Held     int64  `json:"held"`
	Capacity int64  `json:"capacity"`
	// Exceptions are those that the decision goes by.
	Exceptions []string `json:"exceptions,omitempty"`
	licensing.Caller
}

// freeing adds to a decision when a unit will be free at the latest, and who
// holds: for those who may know, and for programs where the plan says so.
func (b *batch) freeing(p *pool, d *license.Decision, sees bool) error {
	if !p.looked {
		next, err := holding(b.ctx, b.Tx, p.PoolKey, p.rule)
		if err != nil {
			return err
		}
		p.looked = true
		p.holders, p.freeAt = licensing.Holdings(next)
	}
	if sees || p.rule.ShowHolders {
		d.Holders = p.holders
	}
	d.FreeAt = unixOf(p.freeAt)
	return nil
}

// holding returns the leases that are named where a pool is full: those that are
// reclaimed first, and where leases have no end also those without.
func holding(ctx context.Context, tx *store.Tx, k store.PoolKey, rule licensing.Pool) ([]*licensing.Lease, error) {
	held, err := tx.NextFree(ctx, k, shownHolders)
	if err != nil || !rule.Endless() || len(held) == shownHolders {
		return held, err
	}
	endless, err := tx.EndlessLeases(ctx, k, shownHolders-len(held))
	return append(held, endless...), err
}
