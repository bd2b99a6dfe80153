package licensing

import (
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// A Renewal is a holder's request to keep a lease.
type Renewal struct {
	Lease      LeaseID
	Generation int64
	Nonce      string
	For        Span
	Shown      bool // with the lease's document, which was verified
}

// Renew decides a renewal of l, which is nil if the record does not know the lease.
// StepResume and StepRepeat keep it. It changes nothing.
func Renew(t *Terms, s PoolState, l *Lease, r Renewal, now time.Time) Verdict {
	switch {
	case l == nil:
		return refuse(NotFound, "lease %s not found", r.Lease)
	case !l.Live():
		return refuse(Gone, "lease %s ended at %s (%s); acquire a new one", l.ID, stamp(l.Ended), l.EndedBy)
	}
	if d := t.MayAsk(l.Pool, r.For, now); d.Outcome != license.Allowed {
		return Verdict{Step: StepDeny, Decision: d}
	}
	rule, kind := t.Pools[l.Pool], l.RenewalKind(r)
	late := rule.Late(s.Stock, *l, now)
	// After a loss, another generation does not prove a copy: it may come from a
	// history that was lost.
	unknown := r.Generation > l.Generation || kind == RenewsCopy && !r.Shown && !s.Fence.Proven(*l)
	switch {
	case unknown && s.Fence.Lost(t, l.Pool, s.Skew, now):
		return refuse(NotFound, "the record has lease %s in generation %d, not %d; send the lease's document", l.ID, l.Generation, r.Generation)
	case late && !s.Settled:
		return Verdict{Step: StepSettle}
	case late:
		return refuse(Gone, "lease %s has expired, and its pool is over its capacity; acquire a new one", l.ID)
	case kind == RenewsCopy:
		return Verdict{Step: StepDeny, Decision: l.CloneDenied(r), Lease: l, Violation: ViolationClone}
	case l.recalled(now):
		return l.denyRecalled()
	}
	v := Verdict{Step: StepResume, Lease: l, Decision: rule.held(s.Stock, "lease.renew", "renewed")}
	if !l.Cloned.IsZero() {
		v.Decision = l.KeptDespiteClone()
	}
	if kind == RenewsAgain {
		v.Step = StepRepeat
	}
	return v
}

// TakeBack decides about a verified document of a lease that a holder shows. The lease
// is k.Lease, which is nil if the record does not know it. After a loss the record may be
// older than the document. StepNone means that nothing was lost. It changes nothing.
func TakeBack(t *Terms, s PoolState, k Known, doc *license.Lease, now time.Time) Verdict {
	rule, planned := t.Pools[doc.Pool]
	switch l := k.Lease; {
	case !planned, !s.Fence.Lost(t, doc.Pool, s.Skew, now), l != nil && !l.Behind(doc), t.InForce(now).Outcome != license.Allowed:
		return Verdict{}
	case l != nil && l.Live():
		return Verdict{Step: StepAdopt, Lease: l}
	case !k.Looked:
		return Verdict{Step: StepLook}
	}
	others := slices.DeleteFunc(slices.Clone(k.Others), func(l *Lease) bool { return !l.Live() || string(l.ID) == doc.Lease })
	if i := slices.IndexFunc(others, func(l *Lease) bool { return l.Instance == doc.Instance }); i >= 0 {
		other := others[i]
		if s.Fence.Proven(*other) { // it is in use, so another holder that shows a document is a copy
			return Verdict{Step: StepDeny, Decision: other.HeldBy(doc), Lease: other, Violation: ViolationClone}
		}
		return Verdict{Step: StepReplace, Lease: other} // it had ended before the lease in the document began
	}
	return rule.putBack(s.Stock, k.Lease, others, doc, now)
}

// putBack returns the verdict that counts a lease again. The lease is charged no units if
// another instance of its holder carries them. It is beyond the pool's limit if there is no
// room and none of those instances is within the limit.
func (p Pool) putBack(s Stock, l *Lease, others []*Lease, doc *license.Lease, now time.Time) Verdict {
	v := Verdict{Step: StepPutBack, Lease: l, Charge: doc.Units}
	byRight := false
	for _, other := range others {
		if p.Shares() && other.Units == doc.Units {
			v.Charge, byRight = 0, byRight || !other.Asker.Presented
		}
	}
	v.Beyond = !byRight && !p.Fits(p.With(s, v.Charge, now), 0, now)
	return v
}
