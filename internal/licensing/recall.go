package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// DefaultRecall is how long a holder may go on after it was told of a recall,
// where its pool's plan does not say.
const DefaultRecall Span = 30

// A Recall asks the holder of a lease to give it back.
type Recall struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"` // an actor
	Reason string    `json:"reason,omitempty"`
	// Until is when the holder stops: the pool's grace after it was told. Zero
	// until a signed answer told it.
	Until time.Time `json:"until,omitzero"`
}

// Told returns r as its holder hears of it at now: the first time begins the
// grace, in whole seconds.
func (r Recall) Told(p Pool, now time.Time) Recall {
	if r.Until.IsZero() {
		r.Until = now.Add(p.RecallGrace().Duration()).Truncate(time.Second)
	}
	return r
}

// Over reports whether at now the holder should have stopped.
func (r Recall) Over(now time.Time) bool { return !r.Until.IsZero() && !now.Before(r.Until) }

// Document is what the lease's document tells of r.
func (r Recall) Document() *license.Recall {
	return &license.Recall{Until: r.Until.Unix(), Reason: r.Reason}
}

// Denied is the answer to a holder that goes on after the grace of a recall.
func (r Recall) Denied(id LeaseID) license.Decision {
	return license.Decision{Outcome: license.Denied, Code: license.CodeRecalled, Rule: "lease.recall",
		Reason: "lease " + string(id) + " was recalled, and the time to stop ended at " + stamp(r.Until),
		Next:   "acquire another lease, after those who wait"}
}

// recalled reports whether the holder of l goes on after the grace of a recall.
func (l Lease) recalled(now time.Time) bool { return l.Asker.Recall != nil && l.Asker.Recall.Over(now) }

// denyRecalled is the verdict for that holder.
func (l *Lease) denyRecalled() Verdict {
	return Verdict{Step: StepDeny, Decision: l.Asker.Recall.Denied(l.ID), Lease: l, Violation: ViolationRecall}
}

// RecallGrace returns how long a holder of p may go on after it was told of a recall.
func (p Pool) RecallGrace() Span {
	if p.Recall > 0 {
		return p.Recall
	}
	return DefaultRecall
}
