package licensing

import (
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// A TermRule says how long what is bought lasts, how it begins and how it is
// renewed. Terms are counted on UTC's calendar.
type TermRule struct {
	Length      Length       `json:"length,omitzero"`
	Perpetual   bool         `json:"perpetual,omitempty"`
	Maintenance Length       `json:"maintenance,omitzero"` // zero covers every release
	Start       StartBasis   `json:"start"`
	Renewal     RenewalBasis `json:"renewal"`
	Grace       Span         `json:"grace,omitempty"` // after the end, until renewed
	Trial       bool         `json:"trial,omitempty"`
	Once        Once         `json:"once,omitempty"` // limits the trial to one for each customer or machine
}

// A StartBasis says when a term begins.
type StartBasis string

// The bases of a start.
const (
	StartIssue    StartBasis = "issue"     // when the license is issued
	StartFirstUse StartBasis = "first-use" // with the first use
	StartDate     StartBasis = "date"      // on a date named when it is issued
)

// A RenewalBasis says from when a renewal counts.
type RenewalBasis string

// The bases of a renewal.
const (
	RenewAnchored RenewalBasis = "anchored" // from the end, on the day of the start
	RenewFromNow  RenewalBasis = "from-now" // from the renewal, never shortening
)

// Check refuses a term rule that contradicts itself, with all that is wrong.
func (r TermRule) Check() error {
	var f faults
	f.when(r.Perpetual && !r.Length.IsZero(), "length perpetual", "a perpetual term has no length")
	f.when(!r.Perpetual && r.Length.IsZero(), "length perpetual", "a term needs a length, or perpetual: true")
	f.when(r.Perpetual && r.Trial, "trial perpetual", "a trial is not perpetual")
	f.when(r.Perpetual && r.Grace != 0, "grace perpetual", "a perpetual term never needs a renewal grace")
	f.when(r.Trial && r.Grace != 0, "grace trial", "a trial has no renewal grace")
	f.when(r.Once != "" && !r.Trial, "once trial", "only a trial is given once: write trial: true")
	f.when(r.Once != "" && r.Once != OnceCustomer && r.Once != OnceMachine, "once", "once: %q is not customer or machine", r.Once)
	f.when(r.Grace < 0, "grace", "grace is below zero")
	f.when(r.Start != StartIssue && r.Start != StartFirstUse && r.Start != StartDate, "start", "start: %q is not issue, first-use or date", r.Start)
	f.when(r.Renewal != RenewAnchored && r.Renewal != RenewFromNow, "renewal", "renewal: %q is not anchored or from-now", r.Renewal)
	return f.all()
}

// Issue returns l issued at now under r. A start on a date needs start, which
// may lie in the past or the future; the other bases refuse one.
func (r TermRule) Issue(l License, now, start time.Time) (License, error) {
	l.Status, l.Issued = Active, now
	if l.Payment == "" {
		l.Payment = Paid
	}
	switch {
	case r.Start == StartDate && start.IsZero():
		return l, Errorf(Invalid, "plan %s starts on a date: name it", l.Plan).At("start")
	case r.Start != StartDate && !start.IsZero():
		return l, Errorf(Invalid, "plan %s starts with %s, not on a date", l.Plan, r.Start).At("start")
	case r.Start == StartFirstUse:
		return l, nil
	case r.Start == StartIssue:
		start = now
	}
	return r.Begin(l, start), nil
}

// Begin returns l with its term begun at start, in whole seconds. A license
// that starts with its first use begins then; one already begun stays as it is.
func (r TermRule) Begin(l License, start time.Time) License {
	if !l.Start.IsZero() {
		return l
	}
	l.Start = start.UTC().Truncate(time.Second)
	if !r.Perpetual {
		l.End = r.Length.After(l.Start)
	}
	if !r.Maintenance.IsZero() {
		l.Maintenance = r.Maintenance.After(l.Start)
	}
	return l
}

// Renew returns l with one more length of term, or of maintenance for a
// perpetual one, after the term that ends at after (see ThisEnd). What was renewed before
// it returns as it is, so that a repeated renewal adds nothing. Changes kept for the
// renewal are to be made at l.ChangeAt: when the renewed term ends, or at now where it is
// over. Renew refuses an end that l never had, a trial, a license that is revoked,
// unpaid or not begun, and a renewal that would give nothing: an anchored one whose
// new term would be over already, or one from now that would end before the present term.
func (r TermRule) Renew(l License, after, now time.Time) (License, error) {
	date := l.lastDate()
	switch {
	case l.WasRenewed(after):
		return l, nil
	case l.Status == Revoked:
		return l, Errorf(Conflict, "license %s is revoked and cannot be renewed", l.ID)
	case l.Payment == Unpaid:
		return l, Errorf(Conflict, "license %s is unpaid: it is renewed once it is paid", l.ID)
	case r.Trial:
		return l, Errorf(Conflict, "a trial is not renewed: change license %s to a plan", l.ID)
	case l.Start.IsZero():
		return l, Errorf(Conflict, "license %s has not begun", l.ID)
	case r.Perpetual && l.End.IsZero() && r.Maintenance.IsZero():
		return l, Errorf(Conflict, "license %s is perpetual: there is nothing to renew", l.ID)
	case !r.Perpetual && l.End.IsZero():
		return l, Errorf(Conflict, "license %s has no end to renew: extend it to one first", l.ID)
	case !after.Truncate(time.Second).Equal(l.ThisEnd()):
		return l, Errorf(Conflict, "license %s has no term that ends at %s: its term ends at %s", l.ID, stamp(after), l.EndWords()).At("after")
	}
	ended, extended, endless := l.ThisEnd(), *date, l.End.IsZero()
	end, err := r.next(l, ended, now)
	if err != nil {
		return l, err
	}
	began := ended
	if r.Renewal == RenewFromNow {
		began = now.UTC().Truncate(time.Second)
	}
	if endless {
		began = time.Time{} // the term goes on: only the maintenance is renewed
	} else {
		l.Renewed = append(slices.Clone(l.Renewed), began)
	}
	if !ended.Equal(began) {
		l.Ended = append(slices.Clone(l.Ended), ended)
	}
	*date, l.TermEnd = end, time.Time{}
	switch {
	case r.Perpetual && !endless: // from a term with an end to one without
		l.End, l.Maintenance = time.Time{}, end
	case extended.After(end): // the extension was given and is not taken back
		*date, l.TermEnd = extended, end
	}
	if len(l.Scheduled) > 0 && l.ChangeAt.IsZero() {
		l.ChangeAt = later(ended, now.UTC())
	}
	return l, nil
}

// WasRenewed reports whether the term that ended at a time was renewed.
func (l License) WasRenewed(end time.Time) bool {
	end = end.Truncate(time.Second)
	return slices.ContainsFunc(l.Renewed, end.Equal) || slices.ContainsFunc(l.Ended, end.Equal)
}

// ThisEnd is where the present term, or the maintenance of a license without end,
// ends by itself: what it is named by, and what a renewal counts from. An extended end is
// no name, because a later term can end there.
func (l License) ThisEnd() time.Time {
	if l.TermEnd.IsZero() {
		return *l.lastDate()
	}
	return l.TermEnd
}

// EndWords says where the present term ends, and until when that was extended.
func (l License) EndWords() string {
	switch {
	case l.ThisEnd().IsZero():
		return "never"
	case l.TermEnd.IsZero():
		return stamp(*l.lastDate())
	}
	return stamp(l.TermEnd) + " (extended to " + stamp(*l.lastDate()) + ")"
}

// TermEndingOn returns the end of the term that ends, or ended and was renewed, within
// the day that begins at a time. It fails with NotFound where there is none, and with
// Invalid where the day does not say which one.
func (l License) TermEndingOn(day time.Time) (time.Time, error) {
	within := func(end time.Time) bool { return !end.Before(day) && end.Before(day.Add(24*time.Hour)) }
	past := slices.Concat(l.Ended, l.Renewed)
	i := slices.IndexFunc(past, within)
	switch this := l.ThisEnd(); {
	case i >= 0 && within(this):
		return this, Errorf(Invalid, "more than one term of license %s ends on %s: name it by the time, as %s", l.ID, day.UTC().Format(time.DateOnly), stamp(this)).At("after")
	case i >= 0:
		return past[i], nil
	case within(this):
		return this, nil
	}
	return time.Time{}, Errorf(NotFound, "license %s has no term that ends on %s: its term ends at %s", l.ID, day.UTC().Format(time.DateOnly), l.EndWords()).At("after")
}

// Began is when the present term began, or will.
func (l License) Began() time.Time {
	if len(l.Renewed) == 0 {
		return l.Start
	}
	return l.Renewed[len(l.Renewed)-1]
}

// LastDate is the date that extending and renewing move: the end, or the end of
// the maintenance of a license without end.
func (l License) LastDate() time.Time { return *l.lastDate() }

func (l *License) lastDate() *time.Time {
	if l.End.IsZero() {
		return &l.Maintenance
	}
	return &l.End
}

// next returns the end of what is renewed, the term or the maintenance, after the
// one at end; zero for a maintenance without end.
func (r TermRule) next(l License, end, now time.Time) (time.Time, error) {
	length := r.Length
	if r.Perpetual {
		length = r.Maintenance
	}
	if length.IsZero() {
		return time.Time{}, nil
	}
	if r.Renewal == RenewFromNow {
		next := length.After(now.UTC().Truncate(time.Second))
		if !next.After(end) {
			return next, Errorf(Conflict, "license %s ends at %s; renewed from now it would end at %s: renew it later", l.ID, stamp(end), stamp(next))
		}
		return next, nil
	}
	next := nextAnchored(length, l.Start, end)
	if !r.Perpetual && !next.After(now) {
		return next, Errorf(Conflict, "license %s ended at %s; renewed from there it would be over at %s: extend it, or renew from now", l.ID, stamp(end), stamp(next))
	}
	return next, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// nextAnchored adds length to end on start's day, so that 31 January, 28
// February, 31 March follow each other. An end that is not on a boundary
// counted from start, because it was named at issue, is its own anchor.
func nextAnchored(length Length, start, end time.Time) time.Time {
	if length.Months == 0 {
		return length.After(end)
	}
	for k := 1; ; k++ {
		boundary := length.times(k).After(start)
		if boundary.Equal(end) {
			return length.times(k + 1).After(start)
		}
		if boundary.After(end) {
			return length.After(end)
		}
	}
}

// times returns l k times.
func (l Length) times(k int) Length {
	return Length{Months: l.Months * k, Days: l.Days * k, Seconds: l.Seconds * int64(k)}
}

// Extend returns l with its end, or the maintenance of a perpetual license,
// moved to a later time in whole seconds. Renewals count on from where the term
// ends without it.
func (l License) Extend(to time.Time) (License, error) {
	to = to.UTC().Truncate(time.Second)
	if l.Status == Revoked {
		return l, Errorf(Conflict, "license %s is revoked and cannot be extended", l.ID)
	}
	end := *l.lastDate()
	if end.IsZero() {
		return l, Errorf(Conflict, "license %s has no end to extend", l.ID)
	}
	if !to.After(end) {
		return l, Errorf(Invalid, "%s is not after the end at %s", stamp(to), stamp(end)).At("until")
	}
	l.TermEnd = l.ThisEnd()
	*l.lastDate() = to
	return l, nil
}

// Limit returns the end of the renewal grace, zero for a term without end.
func (t Terms) Limit() time.Time {
	if t.End.IsZero() {
		return time.Time{}
	}
	return Later(t.End, t.RenewalGrace.Duration())
}

// InForce decides whether the license is in force at now, in which state, and
// what comes next. After term and renewal grace it is denied, in the state
// degraded for as long as documents grant the fallback.
func (t Terms) InForce(now time.Time) license.Decision {
	switch {
	case t.Status == Revoked:
		return t.state(deny(license.CodeRevoked, "license.status", "license %s is revoked", t.License), license.StateDenied, "", time.Time{})
	case t.Status == Suspended:
		return t.state(deny(license.CodeSuspended, "license.status", "license %s is suspended until the vendor reinstates it", t.License), license.StateDenied, "", time.Time{})
	case t.Start.IsZero():
		return t.state(allow(license.CodeOK, "term.first_use", "the term begins with the first use"), license.StateValid, "", time.Time{})
	case now.Before(t.Start):
		return t.state(deny(license.CodeNotStarted, "term.start", "the term begins at %s", stamp(t.Start)), license.StateNone, license.StateValid, t.Start)
	case t.End.IsZero():
		return t.state(allow(license.CodeOK, "term.perpetual", "the license has no end"), license.StateValid, "", time.Time{})
	case now.Before(t.End):
		return t.state(allow(license.CodeOK, "term.end", "the term ends at %s", stamp(t.End)), license.StateValid, t.afterEnd(), t.End)
	case now.Before(t.Limit()):
		return t.state(allow(license.CodeRenewalGrace, "term.grace", "the term ended at %s; renew it by %s", stamp(t.End), stamp(t.Limit())), license.StateGrace, license.StateDegraded, t.Limit())
	}
	ended := deny(license.CodeTermEnded, "term.end", "the term ended at %s", stamp(t.End))
	if last := Later(t.Limit(), t.Documents.Fallback.Duration()); now.Before(last) {
		return t.state(ended, license.StateDegraded, license.StateDenied, last)
	}
	return t.state(ended, license.StateDenied, "", time.Time{})
}

// AwaitsFirstUse reports whether the term begins with the next use.
func (t Terms) AwaitsFirstUse() bool { return t.Start.IsZero() && t.Status == Active }

// afterEnd is the state that the term's end brings.
func (t Terms) afterEnd() license.State {
	if t.RenewalGrace > 0 {
		return license.StateGrace
	}
	return license.StateDegraded
}

func (t Terms) state(d license.Decision, s, next license.State, at time.Time) license.Decision {
	d.State, d.Next = s, string(next)
	if !at.IsZero() {
		d.NextAt = at.Unix()
	}
	return d
}

// Maintained decides whether a build released at a time is covered; a build
// that does not say is.
func (t Terms) Maintained(released time.Time) license.Decision {
	switch {
	case t.Maintenance.IsZero() || released.IsZero():
		return allow(license.CodeOK, "term.maintenance", "every release is covered")
	case !released.After(t.Maintenance):
		return allow(license.CodeOK, "term.maintenance", "releases until %s are covered", stamp(t.Maintenance))
	}
	return deny(license.CodeNotMaintained, "term.maintenance", "the build of %s was released after maintenance ended at %s", stamp(released), stamp(t.Maintenance))
}
