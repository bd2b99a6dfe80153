package authority

import (
	"cmp"
	"crypto/rand"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// maxRequests bounds how many request ids of one lease are remembered.
const maxRequests = 64

// mayAsk reports whether anything at all can be granted for an acquire, of who
// holds already, too; if not, it leaves the decision.
func (b *batch) mayAsk(o *op) bool {
	if d := o.answer.terms.InForce(b.Now()); d.Outcome != license.Allowed {
		o.answer.decision = d
		return false
	}
	rule, planned := o.answer.terms.Pools[o.acquire.Pool]
	if !planned {
		o.answer.decision = noSuchPool(o.answer.terms, o.acquire.Pool)
		return false
	}
	if d := rule.CheckTime(o.acquire.For); d.Outcome != license.Allowed {
		o.answer.decision = d
		return false
	}
	if o.instance = o.acquire.Instance; rule.Endless() {
		o.instance = "" // the holder has it, whatever instance asks
	}
	return true
}

// identity is what an acquire is known by.
func (o *op) identity() store.Ask {
	return store.Ask{PoolKey: o.poolKey(o.acquire.Pool), Request: o.acquire.RequestID, Holder: o.acquire.Holder.ID, Instance: o.instance}
}

// admitAll decides about newcomers, in the order they came.
func (b *batch) admitAll(ops []*op) error {
	if err := b.readKnown(ops); err != nil {
		return err
	}
	for _, o := range ops {
		if o.kind != opAcquire || o.answer.err != nil {
			continue
		}
		if o.answer.decision.Outcome != "" {
			b.deny(o, o.acquire.Pool, o.acquire.Holder.ID)
			continue
		}
		ask := o.identity()
		if err := b.admit(o, ask, b.learned(ask, b.known[o.ask])); err != nil {
			return err
		}
	}
	return nil
}

// readKnown loads the leases that the look-up of newcomers found.
func (b *batch) readKnown(ops []*op) error {
	if len(b.known) == 0 {
		return nil
	}
	var keys []store.LeaseKey
	for _, o := range ops {
		if o.kind != opAcquire || o.answer.err != nil || o.answer.decision.Outcome != "" {
			continue
		}
		k := b.known[o.ask]
		for _, id := range []licensing.LeaseID{k.Request.Lease, k.Lease} {
			key := store.LeaseKey{Env: o.env, ID: id}
			if id != "" && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return b.readLeases(keys)
}

// learned adds what the batch itself has done for the same request or holder.
func (b *batch) learned(a store.Ask, k store.Known) store.Known {
	for _, r := range b.requests {
		if r.Env == a.Env && r.License == a.License && r.ID == a.Request {
			k.Request = r
		}
	}
	if len(b.begun) == 0 {
		return k
	}
	for _, l := range b.begun {
		if l.Holder == a.Holder && l.Instance == a.Instance && poolOf(l) == a.PoolKey {
			k.Lease = l.ID
		}
	}
	return k
}

// admit decides about one newcomer: first whether it is one.
func (b *batch) admit(o *op, ask store.Ask, k store.Known) error {
	p := b.pools[ask.PoolKey]
	l := b.leases[store.LeaseKey{Env: o.env, ID: k.Lease}]
	if k.Request.ID != "" {
		done, err := b.repeat(o, p, k.Request, l)
		if done || err != nil {
			return err
		}
	}
	if l == nil || !l.Live() {
		var err error
		if l, err = b.sameMachine(o, p); err != nil {
			return err
		}
	}
	if l == nil || !l.Live() {
		return b.grant(o, p)
	}
	late, err := b.overdue(p, l)
	switch {
	case err != nil:
		return err
	case late && !l.Live():
		return b.grant(o, p)
	case late, b.fenced(p) && !b.proven(l): // it may have been released, and its unit given to another
		o.refuse(b.refusedByFence(p))
		return nil
	}
	return b.resume(o, p, l)
}

// repeat answers a request that was answered before. Has is what its holder has
// by whatever request. It reports false when that led to nothing that still
// stands.
func (b *batch) repeat(o *op, p *pool, r store.Request, has *licensing.Lease) (bool, error) {
	if r.Body != o.acquire.body() {
		o.refuse(licensing.Errorf(licensing.IdempotencyMismatch, "request %s asked for something else before", r.ID))
		return true, nil
	}
	if r.Lease == "" {
		return b.again(o, p, r.Ticket, has)
	}
	l := b.leaseOf(o, r.Lease)
	if l == nil || l.Pool != p.Name {
		return false, nil
	}
	late, err := b.overdue(p, l)
	switch {
	case err != nil:
		return true, err
	case !l.Live():
		b.touch(l) // a repeated answer is written, so that it is replicated
		o.refuse(licensing.Errorf(licensing.Gone, "request %s led to lease %s, which ended (%s): use a new request id", r.ID, l.ID, l.EndedBy))
		return true, nil
	case late:
		o.refuse(b.refusedByFence(p))
		return true, nil
	case b.recalledDenies(o, l):
		return true, nil
	}
	o.answer.decision = license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "lease.request", Reason: "granted to the same request before", Held: p.Held, Capacity: p.Capacity}
	return true, b.prolong(o, p, l, o.acquire.For)
}

// sameMachine returns the live lease that the instance which asks has of its
// machine, found by the machine's components under whatever name.
func (b *batch) sameMachine(o *op, p *pool) (*licensing.Lease, error) {
	need, components := p.rule.Match.Need, o.acquire.Holder.Components
	if need == 0 || len(components) == 0 {
		return nil, nil
	}
	keys, err := b.MatchComponents(b.ctx, p.PoolKey, components, need)
	if err != nil {
		return nil, err
	}
	if err := b.readLeases(keys); err != nil {
		return nil, err
	}
	// A copied disk agrees in as many components and is another machine.
	same := func(l *licensing.Lease) bool {
		return l != nil && l.Live() && l.Instance == o.instance && p.rule.SameMachine(*l, components)
	}
	for _, k := range keys {
		if l := b.leases[k]; same(l) {
			return l, nil
		}
	}
	for _, l := range b.begun {
		if poolOf(l) == p.PoolKey && same(l) {
			return l, nil
		}
	}
	return nil, nil
}

// resume gives a holder that has a lease the same one again, in a new
// generation, so that an earlier copy is noticed.
func (b *batch) resume(o *op, p *pool, l *licensing.Lease) error {
	q := o.acquire
	switch {
	case p.rule.Match.Need > 0 && !p.rule.SameMachine(*l, q.Holder.Components):
		o.answer.decision = license.Decision{Outcome: license.Denied, Code: license.CodeBindingMismatch, Rule: "pool.match",
			Reason: "the machine that holds " + string(l.ID) + " agrees in fewer than " + licensing.Counted(p.rule.Match.Need, "component")}
		b.denyFor(o, q.RequestID, p.Name, q.Holder.ID, &violation{licensing.ViolationBinding, l, endEvent{Holder: q.Holder.ID, By: q.RequestID, Caller: o.by}})
		return nil
	case l.Units != q.Units:
		o.refuse(holdsOther(l, q.Units))
		return nil
	case b.recalledDenies(o, l):
		return nil
	}
	l.Generation++
	l.Nonce = q.Nonce
	if ids := strings.Fields(l.Requests); len(ids) < maxRequests {
		l.Requests += " " + q.RequestID
	} else {
		l.Requests = strings.Join(append(ids[1:], q.RequestID), " ")
	}
	l.Asker.Name = cmp.Or(q.Holder.Name, l.Asker.Name) // it may have been renamed, or says its name for the first time
	if !maps.Equal(l.Asker.Components, q.Holder.Components) {
		if err := b.rebind(l, q.Holder.Components); err != nil {
			return err
		}
	}
	b.remember(o, l.ID)
	o.answer.decision = hasUnits(p.Stock, p.Capacity)
	return b.prolong(o, p, l, q.For)
}

// rebind follows a machine whose parts were replaced.
func (b *batch) rebind(l *licensing.Lease, components map[string]string) error {
	if err := b.DropComponents(b.ctx, l); err != nil {
		return err
	}
	l.Asker.Components = components
	return b.PutComponents(b.ctx, l)
}

// grant decides about units for a holder that has none here.
func (b *batch) grant(o *op, p *pool) error {
	q := o.acquire
	if q.Units > p.rule.Limit() {
		o.answer.decision = p.rule.Admit(licensing.Stock{}, q.Units, b.Now())
		b.deny(o, p.Name, q.Holder.ID)
		return nil
	}
	if p.rule.Match.Need > len(q.Holder.Components) {
		o.answer.decision = license.Decision{Outcome: license.Denied, Code: license.CodeBindingMismatch, Rule: "pool.match",
			Reason: "the pool knows machines by " + licensing.Counted(p.rule.Match.Need, "component") + " and was shown " + strconv.Itoa(len(q.Holder.Components))}
		b.deny(o, p.Name, q.Holder.ID)
		return nil
	}
	if may, err := b.machineTrial(o, p); err != nil || !may {
		return err
	}
	if p.rule.Shares() {
		others, err := b.holderLeases(p, q.Holder.ID)
		if err != nil {
			return err
		}
		if with, err := b.sharing(p, others, q.Units); err != nil {
			return err
		} else if with != nil {
			o.answer.decision = sharesUnits(p.Stock, p.Capacity)
			_, err := b.lend(o, p, 0, with)
			return err
		}
	}
	if b.fenced(p) {
		o.refuse(b.refusedByFence(p))
		return nil
	}
	return b.decide(o, p)
}

// sharing returns the lease of a holder that another instance of it shares, one
// that is there by right if there is one; nil if none is in use for certain.
func (b *batch) sharing(p *pool, of []*licensing.Lease, units int64) (with *licensing.Lease, err error) {
	for _, l := range of {
		late, err := b.overdue(p, l)
		if err != nil {
			return nil, err
		}
		if late || !l.Live() || l.Units != units || b.fenced(p) && !b.proven(l) {
			continue
		}
		if with == nil || !l.Asker.Presented {
			with = l
		}
	}
	return with, nil
}

// decide asks the rule, after making room where something is due.
func (b *batch) decide(o *op, p *pool) error {
	q := o.acquire
	d := p.rule.Admit(p.Stock, q.Units, b.Now())
	if d.Code != license.CodeOK {
		if err := b.clear(p); err != nil {
			return err
		}
		if p.Waiting > 0 && !p.moved {
			if err := b.moveQueue(p); err != nil {
				return err
			}
		}
		d = p.rule.Admit(p.Stock, q.Units, b.Now())
	}
	switch {
	case d.Code == license.CodeQueued:
		if err := b.freeing(p, &d, o.sees); err != nil {
			return err
		}
		return b.enqueue(o, p, d)
	case d.Outcome != license.Allowed || d.Code == license.CodeFallback:
		if err := b.freeing(p, &d, o.sees); err != nil {
			return err
		}
		o.answer.decision = d
		b.deny(o, p.Name, q.Holder.ID)
		return nil
	}
	o.answer.decision = d
	l, err := b.lend(o, p, q.Units, nil)
	if err != nil || d.Code != license.CodeOverdraft {
		return err
	}
	return b.note(p, licensing.LeaseHeldOver, beganAs(l))
}

// lend makes a lease that the pool counts with charge. It ends no later than
// what the lease that it shares the units with was promised.
func (b *batch) lend(o *op, p *pool, charge int64, with *licensing.Lease) (*licensing.Lease, error) {
	q := o.acquire
	d := o.answer.terms.LeaseDates(p.rule, q.For, b.Now())
	l := &licensing.Lease{
		Env: o.env, ID: licensing.LeaseID(b.newID(licensing.LeasePrefix)), License: o.license, Pool: p.Name,
		Holder: q.Holder.ID, Instance: o.instance, Units: q.Units, Charge: charge, Generation: 1,
		Granted: b.Now(), Renewed: b.Now(), Expires: d.Expires, Borrowed: d.Borrowed, Nonce: q.Nonce,
		Due: d.Due(b.a.skew), Requests: q.RequestID, Asker: q.asker(o.instance),
	}
	if with != nil && with.Asker.Presented {
		l.Asker.Presented, l.Expires = true, with.Expires
		d = b.within(o, p, l, d)
		l.Expires, l.Due = d.Expires, d.Due(b.a.skew)
	}
	if err := b.take(p, charge, 1); err != nil {
		return nil, err
	}
	p.due(l.Due)
	if err := b.joinWaiting(p, l); err != nil {
		return nil, err
	}
	b.begun = append(b.begun, l)
	b.leases[store.LeaseKey{Env: l.Env, ID: l.ID}] = l
	b.remember(o, l.ID)
	o.holds(l, d)
	if p.rule.Match.Need > 0 {
		if err := b.PutComponents(b.ctx, l); err != nil {
			return nil, err
		}
	}
	if t := &o.answer.terms.Terms; t.OncePerMachine(p.rule) {
		if err := takeMachineTrial(b.ctx, b.Tx, t, p.rule, string(l.ID), q.Holder.Components); err != nil {
			return nil, err
		}
	}
	kind := licensing.LeaseBegun
	if d.Borrowed {
		kind = licensing.LeaseBorrowed
	}
	return l, b.record(o, l, kind, beganAs(l))
}

type beginEvent struct {
	Holder  string `json:"holder"`
	Units   int64  `json:"units"`
	Expires int64  `json:"expires,omitempty"` // unix seconds
	licensing.Caller
}

// beganAs says what l is at its beginning, and what it serves.
func beganAs(l *licensing.Lease) beginEvent {
	return beginEvent{Holder: l.Holder, Units: l.Units, Expires: unixOf(l.Expires), Caller: l.Caller()}
}

// remember keeps the request, so that asking again gives the same.
func (b *batch) remember(o *op, id licensing.LeaseID) {
	b.requests = append(b.requests, store.Request{Env: o.env, License: o.license, ID: o.acquire.RequestID, Body: o.acquire.body(), Lease: id, At: b.Now()})
}

// hasUnits allows what a holder has already.
func hasUnits(s licensing.Stock, capacity int64) license.Decision {
	return license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "lease.holder", Reason: "held already", Held: s.Held, Capacity: capacity}
}

// sharesUnits allows what another instance of the holder has.
func sharesUnits(s licensing.Stock, capacity int64) license.Decision {
	return license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "pool.share", Reason: "shares the units of another instance", Held: s.Held, Capacity: capacity}
}

// holdsOther refuses a holder that asks for another number of units than it has.
func holdsOther(l *licensing.Lease, units int64) error {
	return licensing.Errorf(licensing.Conflict, "holder %s has lease %s of %s already: release it to take %d", l.Holder, l.ID, licensing.Counted(l.Units, "unit"), units)
}

func (b *batch) newID(prefix string) string {
	var random [10]byte
	rand.Read(random[:])
	return licensing.NewID(prefix, b.Now(), random)
}

// body hashes what a request asks for, apart from its id and nonce, to tell a
// repeated request from another that took its id by mistake.
func (q AcquireRequest) body() int64 {
	h := fnv.New64a()
	for _, s := range []string{q.Pool, q.Holder.Kind, q.Holder.ID, q.Instance, strconv.FormatInt(q.Units, 10), strconv.FormatInt(int64(q.For), 10)} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return int64(h.Sum64())
}

func (q AcquireRequest) asker(instance string) licensing.Asker {
	return licensing.Asker{Kind: q.Holder.Kind, Name: q.Holder.Name, Components: q.Holder.Components, Device: q.Holder.Device, Caller: q.Caller.Of(instance)}
}
