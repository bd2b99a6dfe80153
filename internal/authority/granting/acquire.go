package granting

import (
	"cmp"
	"crypto/rand"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// maxRequests limits how many request ids are remembered for one lease.
const maxRequests = 64

// mayAsk reports whether the earlier records of o must be looked up. They are not needed if its
// terms deny the request.
func (b *batch) mayAsk(o *Op) bool {
	t := &o.Answer.terms.Terms
	o.ask, o.instance = unasked, t.Pools[o.Acquire.Pool].InstanceOf(o.Acquire.Instance)
	return t.MayAsk(o.Acquire.Pool, o.Acquire.For, b.Now()).Outcome == license.Allowed
}

// unasked is the index of an acquire without a lookup.
const unasked = -1

// identity returns the fields that identify an acquire.
func (o *Op) identity() store.Ask {
	return store.Ask{PoolKey: o.poolKey(o.Acquire.Pool), Request: o.Acquire.RequestID, Holder: o.Acquire.Holder.ID, Instance: o.instance}
}

// asks returns the request of o in terms of the rule.
func (o *Op) asks() licensing.Ask {
	q := &o.Acquire
	return licensing.Ask{
		Request: q.RequestID, Body: o.body, Pool: q.Pool, Holder: q.Holder.ID, Instance: o.instance,
		Components: q.Holder.Components, Units: q.Units, For: q.For,
	}
}

// admitAll decides about newcomers in their order of arrival.
func (b *batch) admitAll(ops []*Op) error {
	if err := b.readKnown(ops); err != nil {
		return err
	}
	for _, o := range ops {
		if o.Kind != OpAcquire || o.Answer.Err != nil {
			continue
		}
		if err := b.admit(o); err != nil {
			return err
		}
	}
	return nil
}

// readKnown loads the leases that the lookup of newcomers found.
func (b *batch) readKnown(ops []*Op) error {
	if len(b.known) == 0 {
		return nil
	}
	var keys []store.LeaseKey
	for _, o := range ops {
		if o.Kind != OpAcquire || o.Answer.Err != nil {
			continue
		}
		k := b.known[o.ask]
		for _, id := range []licensing.LeaseID{k.Request.Lease, k.Lease} {
			key := store.LeaseKey{Env: o.Env, ID: id}
			if id != "" && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return b.readLeases(keys)
}

// learned adds the batch's own changes for the same request or holder.
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
		if l.Holder == a.Holder && l.Instance == a.Instance && PoolOf(l) == a.PoolKey {
			k.Lease = l.ID
		}
	}
	return k
}

// admit applies the rule to one acquire and carries out the verdict.
func (b *batch) admit(o *Op) error {
	o.body = o.Acquire.body()
	p, ask := b.pools[o.poolKey(o.Acquire.Pool)], o.asks()
	known, err := b.knownOf(o, p)
	settled := false
	for err == nil {
		v := licensing.Admit(&o.Answer.terms.Terms, b.state(p, settled), known, ask, b.Now())
		switch v.Step {
		case licensing.StepLook:
			err = b.look(o, p, &known)
		case licensing.StepSettle:
			settled, err = true, b.settle(p)
		case licensing.StepLeave:
			known.Earlier, settled = nil, false
			b.moved = append(b.moved, v.Ticket)
			err = b.endTicket(p, v.Ticket, v.Ending)
		default:
			return b.carryOut(o, p, v)
		}
	}
	return err
}

// state returns p in terms of the rule. A pool that is not in the plan has no state.
func (b *batch) state(p *Pool, settled bool) licensing.PoolState {
	if p == nil {
		return licensing.PoolState{}
	}
	settled = settled || p.cleared && (p.Waiting == 0 || p.moved)
	return licensing.PoolState{Stock: p.Stock, Settled: settled, Fence: b.granting.ledger.FenceIn(p.Env), Skew: b.granting.ledger.Skew}
}

// knownOf returns the result of an acquire's lookup, with the batch's later changes.
func (b *batch) knownOf(o *Op, p *Pool) (known licensing.Known, err error) {
	if o.ask == unasked {
		return known, nil
	}
	ask := o.identity()
	k := b.learned(ask, b.known[o.ask])
	known.Lease = b.leases[store.LeaseKey{Env: o.Env, ID: k.Lease}]
	if k.Request.ID == "" {
		return known, nil
	}
	known.Earlier = &licensing.Earlier{Body: k.Request.Body, Lease: b.leaseOf(o, k.Request.Lease)}
	if k.Request.Lease == "" {
		known.Earlier.Ticket, err = b.knownTicket(p, k.Request.Ticket)
	}
	return known, err
}

// look completes the information about a newcomer.
func (b *batch) look(o *Op, p *Pool, known *licensing.Known) (err error) {
	known.Looked = true
	if known.Alike, err = b.alike(o, p); err != nil {
		return err
	}
	if p.Rule.Shares() {
		if known.Others, err = b.holderLeases(p, o.Acquire.Holder.ID); err != nil {
			return err
		}
	}
	known.TrialHad, err = b.machineTrial(o, p)
	return err
}

// alike returns the leases of a pool on machines that match a newcomer's machine in enough
// components, including unstored changes.
func (b *batch) alike(o *Op, p *Pool) ([]*licensing.Lease, error) {
	found, err := alike(b.ctx, b.Tx.Tx, p.PoolKey, p.Rule, o.Acquire.Holder.Components)
	if err != nil || p.Rule.Match.Need == 0 {
		return nil, err
	}
	for i, l := range found {
		found[i] = b.adopt(l)
	}
	for _, l := range b.begun {
		if PoolOf(l) == p.PoolKey {
			found = append(found, l)
		}
	}
	return found, nil
}

// settle does the due work in a pool and moves its queue.
func (b *batch) settle(p *Pool) error {
	if err := b.clear(p); err != nil || p.Waiting == 0 || p.moved {
		return err
	}
	return b.moveQueue(p)
}

// carryOut carries out the verdict on an acquire.
func (b *batch) carryOut(o *Op, p *Pool, v licensing.Verdict) error {
	if v.Full {
		if err := b.freeing(p, &v.Decision, o.sees); err != nil {
			return err
		}
	}
	o.Answer.Decision = v.Decision
	switch v.Step {
	case licensing.StepRefuse:
		if v.Lease != nil { // repeated answers write, so that they are replicated
			b.touch(v.Lease)
		}
		o.refuse(v.Err)
	case licensing.StepDeny:
		b.denyBy(o, o.Acquire.Pool, o.Acquire.Holder.ID, v)
	case licensing.StepQueue:
		return b.enqueue(o, p)
	case licensing.StepWait:
		b.keepPlace(o, v.Ticket)
	case licensing.StepClaim:
		return b.claim(o, p, v.Ticket)
	case licensing.StepRepeat:
		return b.prolong(o, p, v.Lease, o.Acquire.For)
	case licensing.StepResume:
		return b.resume(o, p, v.Lease)
	case licensing.StepShare:
		_, err := b.lend(o, p, 0, v.Lease)
		return err
	case licensing.StepGrant:
		return b.grant(o, p)
	}
	return nil
}

// denyBy counts a denial, with the violation that it reveals.
func (b *batch) denyBy(o *Op, pool, holder string, v licensing.Verdict) {
	request, l := o.Acquire.RequestID, v.Lease
	var told *violation
	switch v.Violation {
	case licensing.ViolationBinding:
		told = &violation{v.Violation, l, entry.End{Holder: holder, By: request, Caller: o.by}}
	case licensing.ViolationRecall:
		holder = l.Holder
		told = &violation{v.Violation, l, entry.End{Holder: holder, By: l.Asker.Recall.By, Caller: o.by}}
	case licensing.ViolationClone:
		shown := cmp.Or(o.Renew.Generation, o.Release.Generation)
		told = &violation{v.Violation, l, entry.Clone{Holder: holder, Instance: l.Instance, By: o.by.Instance, Shown: shown, InForce: l.Generation, Caller: o.by.Of(o.by.Instance)}}
	}
	b.denyFor(o, request, pool, holder, told)
}

// resume returns the existing lease of a holder. It raises the generation, so that an earlier copy
// is detected.
func (b *batch) resume(o *Op, p *Pool, l *licensing.Lease) error {
	q := &o.Acquire
	l.Generation++
	l.Nonce = q.Nonce
	if ids := strings.Fields(l.Requests); len(ids) < maxRequests {
		l.Requests += " " + q.RequestID
	} else {
		l.Requests = strings.Join(append(ids[1:], q.RequestID), " ")
	}
	l.Asker.Name = cmp.Or(q.Holder.Name, l.Asker.Name) // the holder may have been renamed, or may send its name for the first time
	if !maps.Equal(l.Asker.Components, q.Holder.Components) {
		if err := b.rebind(l, q.Holder.Components); err != nil {
			return err
		}
	}
	b.remember(o, l.ID)
	return b.prolong(o, p, l, q.For)
}

// rebind updates the components of a machine after parts were replaced.
func (b *batch) rebind(l *licensing.Lease, components map[string]string) error {
	if err := b.DropComponents(b.ctx, l); err != nil {
		return err
	}
	l.Asker.Components = components
	return b.PutComponents(b.ctx, l)
}

// grant creates a lease with units of its own.
func (b *batch) grant(o *Op, p *Pool) error {
	l, err := b.lend(o, p, o.Acquire.Units, nil)
	if err != nil || o.Answer.Decision.Code != license.CodeOverdraft {
		return err
	}
	return b.note(p, licensing.LeaseHeldOver, beganAs(l))
}

// lend creates a lease with the given charge. If it shares its units with another lease, it ends no
// later than that lease.
func (b *batch) lend(o *Op, p *Pool, charge int64, with *licensing.Lease) (*licensing.Lease, error) {
	q := o.Acquire
	d := o.Answer.terms.LeaseDates(p.Rule, q.For, b.Now())
	l := &licensing.Lease{
		Env: o.Env, ID: licensing.LeaseID(b.newID(licensing.LeasePrefix)), License: o.License, Pool: p.Name,
		Holder: q.Holder.ID, Instance: o.instance, Units: q.Units, Charge: charge, Generation: 1,
		Granted: b.Now(), Renewed: b.Now(), Expires: d.Expires, Borrowed: d.Borrowed, Nonce: q.Nonce,
		Due: d.Due(b.granting.ledger.Skew), Requests: q.RequestID, Asker: q.asker(o.instance),
	}
	if with != nil && with.Asker.Presented {
		l.Asker.Presented, l.Expires = true, with.Expires
		d = b.within(o, p, l, d)
		l.Expires, l.Due = d.Expires, d.Due(b.granting.ledger.Skew)
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
	if p.Rule.Match.Need > 0 {
		if err := b.PutComponents(b.ctx, l); err != nil {
			return nil, err
		}
	}
	if t := &o.Answer.terms.Terms; t.OncePerMachine(p.Rule) {
		if err := catalog.TakeMachineTrial(b.ctx, b.Tx.Tx, t, p.Rule, string(l.ID), q.Holder.Components); err != nil {
			return nil, err
		}
	}
	kind := licensing.LeaseBegun
	if d.Borrowed {
		kind = licensing.LeaseBorrowed
	}
	return l, b.record(o, l, kind, beganAs(l))
}

// beganAs returns the initial state of l for the log, and the program that it serves.
func beganAs(l *licensing.Lease) entry.Begin {
	return entry.Begin{Holder: l.Holder, Units: l.Units, Expires: UnixOf(l.Expires), Caller: l.Caller()}
}

// remember stores the request, so that a repeated request gets the same answer.
func (b *batch) remember(o *Op, id licensing.LeaseID) {
	b.requests = append(b.requests, store.Request{Env: o.Env, License: o.License, ID: o.Acquire.RequestID, Body: o.body, Lease: id, At: b.Now()})
}

func (b *batch) newID(prefix string) string {
	var random [10]byte
	rand.Read(random[:])
	return licensing.NewID(prefix, b.Now(), random)
}

// body hashes a request without its id and nonce. The hash distinguishes a repeated request from a
// different one with the same id.
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
