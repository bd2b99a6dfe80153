package licensing

import (
	"strconv"
	"time"

	"copyhold.dev/sdk/license"
)

// An Ask is a request for units of a pool, or a question about them.
type Ask struct {
	Request    string // its id; "" for a question
	Body       int64  // a hash of what is asked, to notice an id that was used for something else
	Pool       string
	Holder     string // "" for a question about nobody in particular
	Instance   string // which of the holder's instances asks, as Pool.InstanceOf says
	Components map[string]string
	Units      int64
	For        Span // how long, 0 for the pool's own time
}

// unseen reports whether a question leaves open which machine would ask.
func (a Ask) unseen() bool { return a.Request == "" && len(a.Components) == 0 }

// A PoolState is a pool as it is when somebody asks.
type PoolState struct {
	Stock
	// Settled is that nothing is left to be done in the pool: what is due was
	// reclaimed, and the queue has moved as far as it can.
	Settled bool
	Fence   Fence
	Skew    time.Duration
}

// Known is what the record knows of the program that asks. The leases may have
// ended. Alike, Others and TrialHad count only once Looked is set.
type Known struct {
	Earlier  *Earlier // nil if the request is new
	Lease    *Lease   // of the same holder and instance
	Looked   bool
	Alike    []*Lease // of the pool, by machines that agree in enough components, those first that agree in most
	Others   []*Lease // of the holder, where instances share units
	TrialHad bool     // another license gave the machine this trial
}

// Earlier is what a request with the same id led to: a lease or a place in the
// queue, or neither if that is forgotten.
type Earlier struct {
	Body   int64
	Lease  *Lease
	Ticket *Ticket
}

// A Step is what to do for somebody who asks for units, or keeps them.
type Step int

// StepLook, StepSettle, StepLeave and StepReplace prepare a decision: whoever
// asked does what the step says and asks again. All others are decisions.
const (
	StepNone    Step = iota // nothing
	StepLook                // complete Known
	StepSettle              // reclaim what is due in the pool and move its queue
	StepLeave               // end Ticket as Ending says; the request is a new one
	StepReplace             // end Lease, whose place another has
	StepDeny                // a violation by the holder of Lease if Violation is set
	StepRefuse              // Err; a repeated answer about Lease if that is set
	StepGrant               // a new lease that the pool counts
	StepShare               // a new lease that uses the units of Lease
	StepResume              // Lease again, in a new generation
	StepRepeat              // Lease again, in the same generation
	StepClaim               // a new lease with the units that were kept for Ticket
	StepWait                // Ticket stays in the queue
	StepQueue               // a new place in the queue
	StepAdopt               // bring Lease up to its document
	StepPutBack             // Lease lives again, or is made if it is nil, as its document says
)

// A Verdict is a step, and what it is about.
type Verdict struct {
	Step      Step
	Decision  license.Decision
	Err       error
	Lease     *Lease
	Ticket    *Ticket
	Ending    TicketEnding
	Violation string // the type of event
	Full      bool   // the pool lacks room; who holds, and when units are free, can be added
	Charge    int64  // of a lease that is put back: what the pool counts for it
	Beyond    bool   // of a lease that is put back: there is no room for it
}

// MayAsk decides what does not depend on what is held: whether units of a pool
// can be had at all for a time, by those who hold already too.
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

// InstanceOf returns which instance of a holder has a lease of p: none in a pool
// without end, where the holder has it, whatever instance asks.
func (p Pool) InstanceOf(instance string) string {
	if p.Endless() {
		return ""
	}
	return instance
}

// Admit decides about a request for units, or answers a question about them. It
// changes nothing. Acquire, check and why all decide by it.
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

// An admission is the arguments of Admit.
type admission struct {
	*Terms
	PoolState
	Known
	ask    Ask
	rule   Pool
	now    time.Time
	own    *Lease    // that the instance has
	fenced bool      // newcomers wait for what may have been lost
	until  time.Time // until when
}

// ownLease returns the live lease that the instance has, by its name or else by its
// machine; nil if there is none.
func (in *admission) ownLease() *Lease {
	if l := in.Lease; l != nil && l.Live() {
		return l
	}
	for _, l := range in.Alike { // a copied disk agrees in as many components and is another machine
		if l.Live() && l.Instance == in.ask.Instance && in.rule.SameMachine(*l, in.ask.Components) {
			return l
		}
	}
	return nil
}

// late reports whether the end of l has come and its pool holds more than it may.
func (in *admission) late(l *Lease) bool { return in.rule.Late(in.Stock, *l, in.now) }

// uncertain reports whether l may have been released, and its unit given to
// another, in what was lost.
func (in *admission) uncertain(l *Lease) bool { return in.fenced && !in.Fence.Proven(*l) }

// repeat answers a request that was answered before. It is undecided when what
// that led to is no more.
func (in *admission) repeat(e *Earlier) Verdict {
	l := e.Lease
	switch {
	case e.Body != in.ask.Body:
		return refuse(IdempotencyMismatch, "request %s asked for something else before", in.ask.Request)
	case e.Ticket != nil:
		return in.place(e.Ticket)
	case l == nil || l.Pool != in.ask.Pool:
		return Verdict{}
	case in.late(l) && !in.Settled:
		return Verdict{Step: StepSettle}
	case !l.Live():
		v := refuse(Gone, "request %s led to lease %s, which ended (%s): use a new request id", in.ask.Request, l.ID, l.EndedBy)
		v.Lease = l
		return v
	case in.late(l):
		return in.refuseByFence()
	case l.recalled(in.now):
		return l.denyRecalled()
	}
	return Verdict{Step: StepRepeat, Lease: l, Decision: in.rule.held(in.Stock, "lease.request", "granted to the same request before")}
}

// place answers a request that got a place in the queue before. It is undecided
// when that place has ended.
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
		case with != nil || in.own != nil: // served without the place
			how = TicketWithdrawn
		}
	}
	switch {
	case how != "":
		return Verdict{Step: StepLeave, Ticket: t, Ending: how}
	case t.Offered.IsZero():
		return Verdict{Step: StepWait, Ticket: t, Decision: t.Decision(in.rule, in.Stock)}
	case in.fenced: // it may have been claimed, and lapsed, since
		return in.refuseByFence()
	}
	return Verdict{Step: StepClaim, Ticket: t, Decision: in.rule.held(in.Stock, "pool.queue", "the offer was claimed")}
}

// resume gives an instance the lease that it has.
func (in *admission) resume(l *Lease) Verdict {
	switch need := in.rule.Match.Need; {
	case in.late(l) && !in.Settled:
		return Verdict{Step: StepSettle}
	case in.late(l), in.uncertain(l):
		return in.refuseByFence()
	case need > 0 && !in.ask.unseen() && !in.rule.SameMachine(*l, in.ask.Components):
		d := deny(license.CodeBindingMismatch, "pool.match", "the machine that holds %s agrees in fewer than %s", l.ID, Counted(need, "component"))
		return Verdict{Step: StepDeny, Decision: d, Lease: l, Violation: ViolationBinding}
	case l.Units != in.ask.Units:
		return refuse(Conflict, "holder %s has lease %s of %s already: release it to take %d", l.Holder, l.ID, Counted(l.Units, "unit"), in.ask.Units)
	case l.recalled(in.now):
		return l.denyRecalled()
	}
	return Verdict{Step: StepResume, Lease: l, Decision: in.rule.held(in.Stock, "lease.holder", "held already")}
}

// begin decides about an instance that has no lease of the pool.
func (in *admission) begin() Verdict {
	need, shown := in.rule.Match.Need, len(in.ask.Components)
	switch {
	case in.ask.Units > in.rule.Limit():
		return Verdict{Step: StepDeny, Decision: in.rule.Decide(Stock{}, in.ask.Units, in.now)}
	case need > shown && !in.ask.unseen():
		return Verdict{Step: StepDeny, Decision: deny(license.CodeBindingMismatch, "pool.match",
			"the pool knows machines by %s and was shown %s", Counted(need, "component"), strconv.Itoa(shown))}
	case in.TrialHad:
		return Verdict{Step: StepDeny, Decision: in.TrialUsed()}
	}
	switch with, due := in.shared(); {
	case due:
		return Verdict{Step: StepSettle}
	case with != nil:
		return Verdict{Step: StepShare, Lease: with, Decision: in.rule.held(in.Stock, "pool.share", "shares the units of another instance")}
	case in.fenced:
		return in.refuseByFence()
	}
	return in.count()
}

// shared returns the lease of the holder whose units another instance can use
// too, one that is held by right if there is one. Due is that one of them may
// have to be reclaimed first.
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

// count decides by the pool's counters. What may be free after the pool is
// settled is not denied before.
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

// held allows what leaves the units that p counts as they are.
func (p Pool) held(s Stock, rule, reason string) license.Decision {
	return license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: rule, Reason: reason, Held: s.Held, Capacity: p.Capacity}
}

func (in *admission) refuseByFence() Verdict {
	return Verdict{Step: StepRefuse, Err: refusedByFence(in.License, in.ask.Pool, in.until, in.now)}
}

func refuse(code Code, text string, args ...any) Verdict {
	return Verdict{Step: StepRefuse, Err: Errorf(code, text, args...)}
}
