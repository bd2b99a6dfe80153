package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// DefaultRecall is how long a holder may continue after it has received a recall,
// if its plan does not set a time.
const DefaultRecall Span = 30

// A Recall asks the holder of a lease to give it back.
type Recall struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"` // an actor
	Reason string    `json:"reason,omitempty"`
	// Until is when the holder must stop: the pool's grace after it was told. It is zero
	// until a signed answer tells the holder.
	Until time.Time `json:"until,omitzero"`
}

// Told returns r as its holder learns of it at now. The first time starts the
// grace, in whole seconds.
func (r Recall) Told(p Pool, now time.Time) Recall {
	if r.Until.IsZero() {
		r.Until = now.Add(p.RecallGrace().Duration()).Truncate(time.Second)
	}
	return r
}

// Over reports whether the holder should have stopped by now.
func (r Recall) Over(now time.Time) bool { return !r.Until.IsZero() && !now.Before(r.Until) }

// Document returns the part of r that the lease's document contains.
func (r Recall) Document() *license.Recall {
	return &license.Recall{Until: r.Until.Unix(), Reason: r.Reason}
}

// Denied returns the decision for a holder that continues after the grace of a recall.
func (r Recall) Denied(id LeaseID) license.Decision {
	return license.Decision{Outcome: license.Denied, Code: license.CodeRecalled, Rule: "lease.recall",
		Reason: "lease " + string(id) + " was recalled, and its holder had to stop by " + stamp(r.Until),
		Next:   "acquire another lease after the requests in the queue"}
}

// recalled reports whether the holder of l continues after the grace of a recall.
func (l Lease) recalled(now time.Time) bool { return l.Asker.Recall != nil && l.Asker.Recall.Over(now) }

// denyRecalled returns the verdict for that holder.
func (l *Lease) denyRecalled() Verdict {
	return Verdict{Step: StepDeny, Decision: l.Asker.Recall.Denied(l.ID), Lease: l, Violation: ViolationRecall}
}

// RecallGrace returns how long a holder of p may continue after it has received a recall.
func (p Pool) RecallGrace() Span {
	if p.Recall > 0 {
		return p.Recall
	}
	return DefaultRecall
}
