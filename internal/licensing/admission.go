package licensing

import (
	"strconv"
	"time"

	"copyhold.dev/sdk/license"
)

// An Ask is a request for units of a pool, or a question about them.
type Ask struct {
	Request    string // its id; "" for a question
	Body       int64  // a hash of the request's contents, to detect an id that is used for two requests
	Pool       string
	Holder     string // "" for a question that names no holder
	Instance   string // the holder's instance that makes the request, as Pool.InstanceOf returns it
	Components map[string]string
	Units      int64
	For        Span // requested length, 0 for the pool's own
}

// unseen reports whether a is a question that names no machine.
func (a Ask) unseen() bool { return a.Request == "" && len(a.Components) == 0 }

// A PoolState is the state of a pool when a request is decided.
type PoolState struct {
	Stock
	// Settled reports that the pool has no pending work: leases that are due have been
	// reclaimed, and the queue has moved as far as it can.
	Settled bool
	Fence   Fence
	Skew    time.Duration
}

// Known is what the record knows about the program that makes a request. The leases may
// have ended. Alike, Others and TrialHad count only if Looked is set.
type Known struct {
	Earlier  *Earlier // nil if the request is new
	Lease    *Lease   // of the same holder and instance
	Looked   bool
	Alike    []*Lease // of the pool, by machines with enough matching components, best match first
	Others   []*Lease // of the holder, if instances share units
	TrialHad bool     // the machine already had this trial from another license
}

// Earlier is the outcome of a request with the same id: a lease or a place in the
// queue, or neither if the record has forgotten it.
type Earlier struct {
	Body   int64
	Lease  *Lease
	Ticket *Ticket
}

// A Step is what to do with a request for units or for keeping them.
type Step int

// StepLook, StepSettle, StepLeave and StepReplace prepare a decision: the caller
// performs the step and calls again. All others are decisions.
const (
	StepNone    Step = iota // nothing
	StepLook                // complete Known
	StepSettle              // reclaim what is due in the pool and move its queue
	StepLeave               // end Ticket with Ending; the request then counts as new
	StepReplace             // end Lease, because another lease has taken its place
	StepDeny                // a violation by the holder of Lease if Violation is set
	StepRefuse              // Err; about Lease, as a repeated answer, if that is set
	StepGrant               // a new lease that the pool counts
	StepShare               // a new lease that uses the units of Lease
	StepResume              // Lease again, in a new generation
	StepRepeat              // Lease again, in the same generation
	StepClaim               // a new lease with the units reserved for Ticket
	StepWait                // Ticket stays in the queue
	StepQueue               // a new place in the queue
	StepAdopt               // update Lease to match its document
	StepPutBack             // revive Lease, or create it if it is nil, to match its document
)

// A Verdict is a step and the things that it is about.
type Verdict struct {
	Step      Step
	Decision  license.Decision
	Err       error
	Lease     *Lease
	Ticket    *Ticket
	Ending    TicketEnding
	Violation string // the type of event
	Full      bool   // the pool lacks room; the caller can add the holders and when units are freed
	Charge    int64  // units that the pool counts for a lease that is put back
	Beyond    bool   // a lease that is put back exceeds the pool's limit
}

// MayAsk decides the part of a request that does not depend on what is in use: whether
// units of a pool can be leased for a time at all. It applies to current holders too.
func (t *Terms) MayAsk(pool string, asked Span, now time.Time) license.Decision {
	if d := t.InForce(now); d.Outcome != license.Allowed {
		return d
	}
	rule, planned := t.Pools[pool]
	if !planned {
		return deny(license.CodeNoSuchPool, "plan.pools", "plan %s has no pool %s", t.Plan, pool)
	}
	return rule.CheckTime(asked)
}

// InstanceOf returns the instance that has a lease of p. It is empty if leases have no
// end, because then the holder has the lease, whichever instance makes the request.
func (p Pool) InstanceOf(instance string) string {
	if p.Endless() {
		return ""
	}
	return instance
}

// Admit decides a request for units, or answers a question about them. It
// changes nothing. Acquire, check and why all use it.
func Admit(t *Terms, s PoolState, k Known, a Ask, now time.Time) Verdict {
	if d := t.MayAsk(a.Pool, a.For, now); d.Outcome != license.Allowed {
		return Verdict{Step: StepDeny, Decision: d}
	}
	in := admission{Terms: t, PoolState: s, Known: k, ask: a, rule: t.Pools[a.Pool], now: now}
	in.until, in.fenced = s.Fence.Waits(t, a.Pool, s.Skew, now)
	in.own = in.ownLease()
	if in.own == nil && !k.Looked && (in.rule.Match.Need > 0 || in.rule.Shares()) {
		return Verdict{Step: StepLook}
	}
	if k.Earlier != nil {
		if v := in.repeat(k.Earlier); v.Step != StepNone {
			return v
		}
	}
	if in.own != nil {
		return in.resume(in.own)
	}
	return in.begin()
}

// An admission contains the arguments of Admit and what follows from them.
type admission struct {
	*Terms
	PoolState
	Known
	ask    Ask
	rule   Pool
	now    time.Time
	own    *Lease    // the instance's own lease
	fenced bool      // newcomers wait because leases may have been lost
	until  time.Time // end of that wait
}

// ownLease returns the instance's live lease, found by name or else by its
// machine, or nil if there is none.
func (in *admission) ownLease() *Lease {
	if l := in.Lease; l != nil && l.Live() {
		return l
	}
	for _, l := range in.Alike { // a copied disk matches as many components but is another machine
		if l.Live() && l.Instance == in.ask.Instance && in.rule.SameMachine(*l, in.ask.Components) {
			return l
		}
	}
	return nil
}

// late reports whether l is past its end while its pool exceeds its limit.
func (in *admission) late(l *Lease) bool { return in.rule.Late(in.Stock, *l, in.now) }

// uncertain reports whether l may have been released, and its unit given to another
// holder, in a part of the record that was lost.
func (in *admission) uncertain(l *Lease) bool { return in.fenced && !in.Fence.Proven(*l) }

// repeat answers a request that was answered before. It returns no step if the
// outcome of that request no longer exists.
func (in *admission) repeat(e *Earlier) Verdict {
	l := e.Lease
	switch {
	case e.Body != in.ask.Body:
		return refuse(IdempotencyMismatch, "request %s was already used for something else; use a new request id", in.ask.Request)
	case e.Ticket != nil:
		return in.place(e.Ticket)
	case l == nil || l.Pool != in.ask.Pool:
		return Verdict{}
	case in.late(l) && !in.Settled:
		return Verdict{Step: StepSettle}
	case !l.Live():
		v := refuse(Gone, "request %s got lease %s, which has ended (%s); use a new request id", in.ask.Request, l.ID, l.EndedBy)
		v.Lease = l
		return v
	case in.late(l):
		return in.refuseByFence()
	case l.recalled(in.now):
		return l.denyRecalled()
	}
	return Verdict{Step: StepRepeat, Lease: l, Decision: in.rule.held(in.Stock, "lease.request", "already granted to this request")}
}

// place answers a request that got a place in the queue before. It returns no step
// if that place has ended.
func (in *admission) place(t *Ticket) Verdict {
	if !t.Live() {
		return Verdict{}
	}
	how := t.Over(in.now)
	if how == "" {
		with, due := in.shared()
		switch {
		case due:
			return Verdict{Step: StepSettle}
		case with != nil || in.own != nil: // served without using the place
			how = TicketWithdrawn
		}
	}
	switch {
	case how != "":
		return Verdict{Step: StepLeave, Ticket: t, Ending: how}
	case t.Offered.IsZero():
		return Verdict{Step: StepWait, Ticket: t, Decision: t.Decision(in.rule, in.Stock)}
	case in.fenced: // the offer may since have been claimed or have lapsed
		return in.refuseByFence()
	}
	return Verdict{Step: StepClaim, Ticket: t, Decision: in.rule.held(in.Stock, "pool.queue", "the offer was claimed")}
}

// resume answers an instance that already has a lease.
func (in *admission) resume(l *Lease) Verdict {
	switch need := in.rule.Match.Need; {
	case in.late(l) && !in.Settled:
		return Verdict{Step: StepSettle}
	case in.late(l), in.uncertain(l):
		return in.refuseByFence()
	case need > 0 && !in.ask.unseen() && !in.rule.SameMachine(*l, in.ask.Components):
		d := deny(license.CodeBindingMismatch, "pool.match", "this machine and the one that holds lease %s have fewer than %s in common", l.ID, Counted(need, "component"))
		return Verdict{Step: StepDeny, Decision: d, Lease: l, Violation: ViolationBinding}
	case l.Units != in.ask.Units:
		return refuse(Conflict, "holder %s already has lease %s for %s; release it before requesting %d", l.Holder, l.ID, Counted(l.Units, "unit"), in.ask.Units)
	case l.recalled(in.now):
		return l.denyRecalled()
	}
	return Verdict{Step: StepResume, Lease: l, Decision: in.rule.held(in.Stock, "lease.holder", "already held")}
}

// begin decides for an instance that has no lease of the pool.
func (in *admission) begin() Verdict {
	need, shown := in.rule.Match.Need, len(in.ask.Components)
	switch {
	case in.ask.Units > in.rule.Limit():
		return Verdict{Step: StepDeny, Decision: in.rule.Decide(Stock{}, in.ask.Units, in.now)}
	case need > shown && !in.ask.unseen():
		return Verdict{Step: StepDeny, Decision: deny(license.CodeBindingMismatch, "pool.match",
			"the pool identifies a machine by %s, but the request has %s", Counted(need, "component"), strconv.Itoa(shown))}
	case in.TrialHad:
		return Verdict{Step: StepDeny, Decision: in.TrialUsed()}
	}
	switch with, due := in.shared(); {
	case due:
		return Verdict{Step: StepSettle}
	case with != nil:
		return Verdict{Step: StepShare, Lease: with, Decision: in.rule.held(in.Stock, "pool.share", "shares the units of another instance of this holder")}
	case in.fenced:
		return in.refuseByFence()
	}
	return in.count()
}

// shared returns the holder's lease whose units another instance can use too,
// preferably one that is not beyond the pool's limit. Due reports that one of the
// leases may have to be reclaimed first.
func (in *admission) shared() (with *Lease, due bool) {
	if !in.rule.Shares() {
		return nil, false
	}
	for _, l := range in.Others {
		switch late := l.Live() && in.late(l); {
		case late && !in.Settled:
			return nil, true
		case late, !l.Live(), l.Units != in.ask.Units, in.uncertain(l):
		case with == nil || !l.Asker.Presented:
			with = l
		}
	}
	return with, false
}

// count decides by the pool's counters. It does not deny what settling the pool
// might free.
func (in *admission) count() Verdict {
	switch d := in.rule.Decide(in.Stock, in.ask.Units, in.now); {
	case d.Code != license.CodeOK && !in.Settled:
		return Verdict{Step: StepSettle}
	case d.Code == license.CodeQueued:
		return Verdict{Step: StepQueue, Decision: d, Full: true}
	case d.Outcome != license.Allowed || d.Code == license.CodeFallback:
		return Verdict{Step: StepDeny, Decision: d, Full: true}
	default:
		return Verdict{Step: StepGrant, Decision: d}
	}
}

// held returns a decision that allows a request without changing the units that p counts.
func (p Pool) held(s Stock, rule, reason string) license.Decision {
	return license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: rule, Reason: reason, Held: s.Held, Capacity: p.Capacity}
}

func (in *admission) refuseByFence() Verdict {
	return Verdict{Step: StepRefuse, Err: refusedByFence(in.License, in.ask.Pool, in.until, in.now)}
}

func refuse(code Code, text string, args ...any) Verdict {
	return Verdict{Step: StepRefuse, Err: Errorf(code, text, args...)}
}
