package licensing

import (
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// A Renewal is what a holder shows to keep a lease.
type Renewal struct {
	Lease      LeaseID
	Generation int64
	Nonce      string
	For        Span
	Shown      bool // with the lease's document, which was believed
}

// Renew decides about a renewal of l, nil for a lease that the record does not
// know: StepResume and StepRepeat keep it. It changes nothing.
func Renew(t *Terms, s PoolState, l *Lease, r Renewal, now time.Time) Verdict {
	switch {
	case l == nil:
		return refuse(NotFound, "no lease %s", r.Lease)
	case !l.Live():
		return refuse(Gone, "lease %s ended at %s (%s): acquire a new one", l.ID, stamp(l.Ended), l.EndedBy)
	}
	if d := t.MayAsk(l.Pool, r.For, now); d.Outcome != license.Allowed {
		return Verdict{Step: StepDeny, Decision: d}
	}
	rule, kind := t.Pools[l.Pool], l.RenewalKind(r)
	late := rule.Late(s.Stock, *l, now)
	// After a loss another generation is no copy's for certain: it may be of a
	// course of things that was lost.
	unknown := r.Generation > l.Generation || kind == RenewsCopy && !r.Shown && !s.Fence.Proven(*l)
	switch {
	case unknown && s.Fence.Lost(t, l.Pool, s.Skew, now):
		return refuse(NotFound, "lease %s is known in generation %d, not %d: show its document", l.ID, l.Generation, r.Generation)
	case late && !s.Settled:
		return Verdict{Step: StepSettle}
	case late:
		return refuse(Gone, "the end of lease %s has come, and its pool holds more than its capacity", l.ID)
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

// TakeBack decides about a verified document that a holder shows of a lease, which
// is k.Lease, nil if the record does not know it. After a loss the record may be
// older than the document. StepNone is that nothing was lost. It changes nothing.
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
		if s.Fence.Proven(*other) { // it is in use, and whoever shows a document beside it is a copy
			return Verdict{Step: StepDeny, Decision: other.HeldBy(doc), Lease: other, Violation: ViolationClone}
		}
		return Verdict{Step: StepReplace, Lease: other} // it had ended before the lease that is shown began
	}
	return rule.putBack(s.Stock, k.Lease, others, doc, now)
}

// putBack is the verdict that counts a lease again: with no units when another
// instance of its holder carries them, and beyond the capacity where there is no
// room and none of those is held by right.
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
