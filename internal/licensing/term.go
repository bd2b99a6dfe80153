package licensing

import (
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// A TermRule is how long a license lasts, how it begins and how it is
// renewed. Terms are counted on the UTC calendar.
type TermRule struct {
	Length      Length       `json:"length,omitzero"`
	Perpetual   bool         `json:"perpetual,omitempty"`
	Maintenance Length       `json:"maintenance,omitzero"` // zero covers every release
	Start       StartBasis   `json:"start"`
	Renewal     RenewalBasis `json:"renewal"`
	Grace       Span         `json:"grace,omitempty"` // after the end, until renewed
	Trial       bool         `json:"trial,omitempty"`
	Once        Once         `json:"once,omitempty"` // one trial for each customer or machine
}

// A StartBasis is when a term begins.
type StartBasis string

// The values of StartBasis.
const (
	StartIssue    StartBasis = "issue"     // when the license is issued
	StartFirstUse StartBasis = "first-use" // at the first use
	StartDate     StartBasis = "date"      // on a date given when it is issued
)

// A RenewalBasis is the time from which a renewal counts.
type RenewalBasis string

// The values of RenewalBasis.
const (
	RenewAnchored RenewalBasis = "anchored" // from the end, on the day of the start
	RenewFromNow  RenewalBasis = "from-now" // from the time of the renewal, never shortening the term
)

// Check refuses a term rule that contradicts itself and reports every fault.
func (r TermRule) Check() error {
	var f faults
	f.when(r.Perpetual && !r.Length.IsZero(), "length perpetual", "a perpetual term has no length")
	f.when(!r.Perpetual && r.Length.IsZero(), "length perpetual", "a term needs a length, or perpetual: true")
	f.when(r.Perpetual && r.Trial, "trial perpetual", "a trial is not perpetual")
	f.when(r.Perpetual && r.Grace != 0, "grace perpetual", "a perpetual term takes no renewal grace")
	f.when(r.Trial && r.Grace != 0, "grace trial", "a trial takes no renewal grace")
	f.when(r.Once != "" && !r.Trial, "once trial", "once applies only to a trial; add trial: true")
	f.when(r.Once != "" && r.Once != OnceCustomer && r.Once != OnceMachine, "once", "once: %q is not customer or machine", r.Once)
	f.when(r.Grace < 0, "grace", "grace is negative")
	f.when(r.Start != StartIssue && r.Start != StartFirstUse && r.Start != StartDate, "start", "start: %q is not issue, first-use or date", r.Start)
	f.when(r.Renewal != RenewAnchored && r.Renewal != RenewFromNow, "renewal", "renewal: %q is not anchored or from-now", r.Renewal)
	return f.all()
}

// Issue returns l issued at now under r. StartDate needs a start, which may be
// in the past or the future. The other bases refuse one.
func (r TermRule) Issue(l License, now, start time.Time) (License, error) {
	l.Status, l.Issued = Active, now
	if l.Payment == "" {
		l.Payment = Paid
	}
	switch {
	case r.Start == StartDate && start.IsZero():
		return l, Errorf(Invalid, "plan %s starts on a date; give the start date", l.Plan).At("start")
	case r.Start != StartDate && !start.IsZero():
		return l, Errorf(Invalid, "plan %s starts at %s and takes no start date", l.Plan, r.Start).At("start")
	case r.Start == StartFirstUse:
		return l, nil
	case r.Start == StartIssue:
		start = now
	}
	return r.Begin(l, start), nil
}

// Begin returns l with its term started at start, in whole seconds. A license
// that starts at its first use starts then; one that has started is unchanged.
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
// perpetual license, after the term that ends at after (see ThisEnd). If that term was
// already renewed, l is unchanged, so that a repeated renewal adds nothing. Changes that wait
// for the renewal are made at l.ChangeAt: when the renewed term ends, or at now if it has
// ended. Renew refuses an end that l never had, a trial, a license that is revoked,
// unpaid or not started, and a renewal that would grant nothing: an anchored one whose
// new term would already be over, or one from now that would end before the present term.
func (r TermRule) Renew(l License, after, now time.Time) (License, error) {
	date := l.lastDate()
	switch {
	case l.WasRenewed(after):
		return l, nil
	case l.Status == Revoked:
		return l, Errorf(Conflict, "license %s is revoked and cannot be renewed", l.ID)
	case l.Payment == Unpaid:
		return l, Errorf(Conflict, "license %s is unpaid and cannot be renewed until it is paid", l.ID)
	case r.Trial:
		return l, Errorf(Conflict, "license %s is a trial and cannot be renewed; change it to a regular plan", l.ID)
	case l.Start.IsZero():
		return l, Errorf(Conflict, "license %s has not started", l.ID)
	case r.Perpetual && l.End.IsZero() && r.Maintenance.IsZero():
		return l, Errorf(Conflict, "license %s is perpetual; there is nothing to renew", l.ID)
	case !r.Perpetual && l.End.IsZero():
		return l, Errorf(Conflict, "license %s has no end to renew; extend it to a date first", l.ID)
	case !after.Truncate(time.Second).Equal(l.ThisEnd()):
		return l, Errorf(Conflict, "license %s has no term that ends at %s; end of its current term: %s", l.ID, stamp(after), l.EndWords()).At("after")
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
		began = time.Time{} // the term continues; only the maintenance is renewed
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
	case extended.After(end): // an extension that was granted is not taken back
		*date, l.TermEnd = extended, end
	}
	if len(l.Scheduled) > 0 && l.ChangeAt.IsZero() {
		l.ChangeAt = later(ended, now.UTC())
	}
	return l, nil
}

// WasRenewed reports whether the term that ended at end was renewed.
func (l License) WasRenewed(end time.Time) bool {
	end = end.Truncate(time.Second)
	return slices.ContainsFunc(l.Renewed, end.Equal) || slices.ContainsFunc(l.Ended, end.Equal)
}

// ThisEnd returns the original end of the present term, or of the maintenance of a license
// without end. It identifies the term, and renewals count from it. An extended end cannot
// identify a term, because a later term can end at the same time.
func (l License) ThisEnd() time.Time {
	if l.TermEnd.IsZero() {
		return *l.lastDate()
	}
	return l.TermEnd
}

// EndWords writes when the present term ends and until when it was extended.
func (l License) EndWords() string {
	switch {
	case l.ThisEnd().IsZero():
		return "never"
	case l.TermEnd.IsZero():
		return stamp(*l.lastDate())
	}
	return stamp(l.TermEnd) + " (extended to " + stamp(*l.lastDate()) + ")"
}

// TermEndingOn returns the end of the term that ends within the day that begins at day, or
// that ended then and was renewed. It fails with NotFound if there is none, and with
// Invalid if there are several.
func (l License) TermEndingOn(day time.Time) (time.Time, error) {
	within := func(end time.Time) bool { return !end.Before(day) && end.Before(day.Add(24*time.Hour)) }
	past := slices.Concat(l.Ended, l.Renewed)
	i := slices.IndexFunc(past, within)
	switch this := l.ThisEnd(); {
	case i >= 0 && within(this):
		return this, Errorf(Invalid, "more than one term of license %s ends on %s; give the time too, for example %s", l.ID, day.UTC().Format(time.DateOnly), stamp(this)).At("after")
	case i >= 0:
		return past[i], nil
	case within(this):
		return this, nil
	}
	return time.Time{}, Errorf(NotFound, "license %s has no term that ends on %s; end of its current term: %s", l.ID, day.UTC().Format(time.DateOnly), l.EndWords()).At("after")
}

// Began returns when the present term began or will begin.
func (l License) Began() time.Time {
	if len(l.Renewed) == 0 {
		return l.Start
	}
	return l.Renewed[len(l.Renewed)-1]
}

// LastDate returns the date that extending and renewing move: the end, or the end of
// the maintenance of a license without end.
func (l License) LastDate() time.Time { return *l.lastDate() }

func (l *License) lastDate() *time.Time {
	if l.End.IsZero() {
		return &l.Maintenance
	}
	return &l.End
}

// next returns the end of the renewed term or maintenance that follows the one at
// end, zero for maintenance without end.
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
			return next, Errorf(Conflict, "license %s ends at %s, and a renewal from now would end at %s; renew it later", l.ID, stamp(end), stamp(next))
		}
		return next, nil
	}
	next := nextAnchored(length, l.Start, end)
	if !r.Perpetual && !next.After(now) {
		return next, Errorf(Conflict, "license %s ended at %s, and a renewal from then would already be over at %s; extend it, or renew from now", l.ID, stamp(end), stamp(next))
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
// February, 31 March follow each other. An end that was given at issue is not on a
// boundary counted from start, and is its own anchor.
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

// times returns l multiplied by k.
func (l Length) times(k int) Length {
	return Length{Months: l.Months * k, Days: l.Days * k, Seconds: l.Seconds * int64(k)}
}

// Extend returns l with its end, or the maintenance of a perpetual license,
// moved to a later time in whole seconds. Renewals continue to count from the original
// end of the term.
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
		return l, Errorf(Invalid, "%s is not after the current end at %s", stamp(to), stamp(end)).At("until")
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
// what follows. After term and renewal grace it is denied. Its state is degraded as
// long as documents grant the fallback.
func (t Terms) InForce(now time.Time) license.Decision {
	switch {
	case t.Status == Revoked:
		return t.state(deny(license.CodeRevoked, "license.status", "license %s is revoked", t.License), license.StateDenied, "", time.Time{})
	case t.Status == Suspended:
		return t.state(deny(license.CodeSuspended, "license.status", "license %s is suspended until the vendor reinstates it", t.License), license.StateDenied, "", time.Time{})
	case t.Start.IsZero():
		return t.state(allow(license.CodeOK, "term.first_use", "the term begins at first use"), license.StateValid, "", time.Time{})
	case now.Before(t.Start):
		return t.state(deny(license.CodeNotStarted, "term.start", "the term begins at %s", stamp(t.Start)), license.StateNone, license.StateValid, t.Start)
	case t.End.IsZero():
		return t.state(allow(license.CodeOK, "term.perpetual", "the license never ends"), license.StateValid, "", time.Time{})
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

// AwaitsFirstUse reports whether the term begins at the next use.
func (t Terms) AwaitsFirstUse() bool { return t.Start.IsZero() && t.Status == Active }

// afterEnd returns the state that follows the term's end.
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

// Maintained decides whether a build with a release date is covered. A build without
// one is.
func (t Terms) Maintained(released time.Time) license.Decision {
	switch {
	case t.Maintenance.IsZero() || released.IsZero():
		return allow(license.CodeOK, "term.maintenance", "every release is covered")
	case !released.After(t.Maintenance):
		return allow(license.CodeOK, "term.maintenance", "releases up to %s are covered", stamp(t.Maintenance))
	}
	return deny(license.CodeNotMaintained, "term.maintenance", "the build was released at %s, after maintenance ended at %s", stamp(released), stamp(t.Maintenance))
}
