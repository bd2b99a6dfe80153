package license

import "time"

// A State is a step on the ladder.
type State string

// The ladder, from the top. In valid, stale, and grace, everything works.
const (
	StateNone     State = "none"     // nothing is in force yet
	StateValid    State = "valid"    //
	StateStale    State = "stale"    // the refresh is overdue
	StateGrace    State = "grace"    // due; warn the user
	StateDegraded State = "degraded" // only the fallback set; data stays readable
	StateDenied   State = "denied"   // only reading data
)

// Full reports whether the full set of features is granted.
func (s State) Full() bool { return s == StateValid || s == StateStale || s == StateGrace }

func (s State) rank() int {
	switch s {
	case StateValid:
		return 0
	case StateStale:
		return 1
	case StateGrace:
		return 2
	case StateDegraded:
		return 3
	case StateNone:
		return 4
	}
	return 5
}

// A Cause explains why a state is not better.
type Cause string

// The causes of a state.
const (
	CauseTerm     Cause = "term"     // the term has ended or not started
	CauseRefresh  Cause = "refresh"  // no newer document arrived
	CauseBinding  Cause = "binding"  // the document is bound to another machine
	CauseClock    Cause = "clock"    // the clock is in doubt
	CauseRevoked  Cause = "revoked"  // the vendor suspended or revoked the license
	CauseOverride Cause = "override" // an override or bulletin raises the state
)

// BindingGrace is how long a document keeps full function after its binding stopped matching, in
// seconds.
const BindingGrace = 72 * 60 * 60

// Facts are the inputs of the ladder that are not in the document.
type Facts struct {
	Mismatch  int64       // time since which the binding has not matched, 0 if it matches
	Clock     bool        // whether the clock is in doubt
	Released  int64       // release time of this build, 0 if not known
	Revoked   *Revocation // revocation of this license or lease
	Overrides []*Override
	Bulletins []*Bulletin
}

// A Standing is a document's place on the ladder.
type Standing struct {
	State State
	Cause Cause  // "" if valid
	Code  string // for a Decision
	Next  State  // "" if nothing changes on its own
	At    int64  // when Next begins; 0 means never
}

// Time returns when Next begins, or the zero Time if nothing changes on its own.
func (s Standing) Time() time.Time { return Time(s.At) }

// Standing returns the license's standing at now. It depends only on its arguments and allocates
// nothing.
func (l *License) Standing(f Facts, now int64) Standing {
	own := l.dates()
	held := own
	for _, o := range f.Overrides {
		if o.Issuer == l.Issuer && o.Subject == l.Subject {
			held.extend(o.Claims, o.Dates, now)
		}
	}
	for _, b := range f.Bulletins {
		if b.covers(l) {
			held.extend(b.Claims, b.Dates, now)
		}
	}
	before := l.standing(f, own, l.Term, now)
	if held == own {
		return before
	}
	term := l.Term
	if term.End != 0 {
		term.End = max(term.End, held.due)
		term.RenewalGraceEnd = max(term.RenewalGraceEnd, term.End, held.exp)
	}
	after := l.standing(f, held, term, now)
	if after.State != before.State {
		after.Cause = CauseOverride
	}
	return after
}

// Standing returns the lease's standing at now.
func (l *Lease) Standing(f Facts, now int64) Standing {
	var c course
	c.dates(l.NotBefore, dates{l.Stale, l.Due, l.Expires, l.Degraded}, f.Clock)
	c.facts(f, l.Seq)
	return c.standing(max(now, l.IssuedAt))
}

func (l *License) dates() dates { return dates{l.Stale, l.Due, l.Expires, l.Degraded} }

func (l *License) standing(f Facts, d dates, t Term, now int64) Standing {
	var c course
	c.dates(l.NotBefore, d, f.Clock)
	c.term(t, d.degraded, f.Released)
	c.facts(f, l.Seq)
	switch l.Status {
	case Suspended:
		c.add(laneRevoked, 0, StateDenied, CauseRevoked, CodeSuspended)
	case Revoked:
		c.add(laneRevoked, 0, StateDenied, CauseRevoked, CodeRevoked)
	}
	return c.standing(max(now, l.IssuedAt))
}

// dates are the thresholds of the ladder.
type dates struct{ stale, due, exp, degraded int64 }

// extend uses the later of both dates if the exception is in force.
func (d *dates) extend(c Claims, by Dates, now int64) {
	if now < c.NotBefore {
		return
	}
	d.stale = max(d.stale, by.Stale)
	d.due = max(d.due, by.Due)
	d.exp = max(d.exp, c.Expires)
	d.degraded = max(d.degraded, by.Degraded)
}

// A course contains every change that is in the documents. Each lane has its own causes. The worst
// lane determines the state.
type course struct {
	changes [16]change
	n       int
}

type lane uint8

const (
	laneRevoked lane = iota // if states are equal, the first lane determines the cause
	laneTerm
	laneBinding
	laneDates
	lanes
)

type change struct {
	lane  lane
	at    int64
	state State
	cause Cause
	code  string
}

func (c *course) add(l lane, at int64, s State, why Cause, code string) {
	c.changes[c.n] = change{l, at, s, why, code}
	c.n++
}

func (c *course) dates(from int64, d dates, doubt bool) {
	why := CauseRefresh
	c.add(laneDates, 0, StateNone, "", CodeNotStarted)
	if doubt {
		why = CauseClock
		c.add(laneDates, from, StateStale, why, CodeClock)
	} else {
		c.add(laneDates, from, StateValid, "", CodeOK)
		c.add(laneDates, d.stale, StateStale, why, CodeStale)
	}
	c.add(laneDates, d.due, StateGrace, why, CodeGrace)
	c.add(laneDates, d.exp, StateDegraded, why, CodeDegraded)
	c.add(laneDates, d.degraded, StateDenied, why, CodeExpired)
}

func (c *course) term(t Term, fallbackEnds, released int64) {
	if t.Maintenance != 0 && released > t.Maintenance {
		c.add(laneTerm, 0, StateDenied, CauseTerm, CodeNotMaintained)
		return
	}
	if t.Start != 0 {
		c.add(laneTerm, 0, StateNone, CauseTerm, CodeNotStarted)
		c.add(laneTerm, t.Start, StateValid, "", CodeOK)
	}
	if t.End == 0 {
		return
	}
	grace := max(t.End, t.RenewalGraceEnd)
	c.add(laneTerm, t.End, StateGrace, CauseTerm, CodeRenewalGrace)
	c.add(laneTerm, grace, StateDegraded, CauseTerm, CodeTermEnded)
	c.add(laneTerm, max(grace, fallbackEnds), StateDenied, CauseTerm, CodeTermEnded)
}

func (c *course) facts(f Facts, seq Seq) {
	if f.Mismatch != 0 {
		c.add(laneBinding, f.Mismatch, StateGrace, CauseBinding, CodeBindingMismatch)
		c.add(laneBinding, f.Mismatch+BindingGrace, StateDegraded, CauseBinding, CodeBindingMismatch)
	}
	r := f.Revoked
	if r == nil || (r.Seq != Seq{} && seq.Compare(r.Seq) > 0) {
		return
	}
	state := StateDenied
	if r.Fallback {
		state = StateDegraded
	}
	c.add(laneRevoked, r.At, state, CauseRevoked, CodeRevoked)
}

// at returns the worst of the lanes' last changes at or before t.
func (c *course) at(t int64) change {
	var last [lanes]change
	for i := range lanes {
		last[i].state = StateValid
	}
	for _, ch := range c.changes[:c.n] {
		if ch.at <= t && ch.at >= last[ch.lane].at {
			last[ch.lane] = ch
		}
	}
	worst := last[0]
	for _, ch := range last[1:] {
		if ch.state.rank() > worst.state.rank() {
			worst = ch
		}
	}
	return worst
}

func (c *course) standing(now int64) Standing {
	cur := c.at(now)
	s := Standing{State: cur.state, Cause: cur.cause, Code: cur.code}
	if s.Code == "" {
		s.Code = CodeOK
	}
	for t, more := c.after(now); more; t, more = c.after(t) {
		if next := c.at(t).state; next != s.State {
			s.Next, s.At = next, t
			return s
		}
	}
	return s
}

// after returns the time of the first change later than t.
func (c *course) after(t int64) (first int64, ok bool) {
	for _, ch := range c.changes[:c.n] {
		if ch.at > t && (!ok || ch.at < first) {
			first, ok = ch.at, true
		}
	}
	return first, ok
}
