package licensing

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

func yearly() TermRule {
	return TermRule{Length: Length{Months: 12}, Start: StartIssue, Renewal: RenewAnchored, Grace: 3 * 86400}
}

func TestATermBeginsOnItsBasis(t *testing.T) {
	now, date := at("2026-01-31T10:00:00Z"), at("2026-03-01T00:00:00Z")
	for _, c := range []struct {
		what                  string
		start                 StartBasis
		named                 time.Time
		code                  Code
		wantStart, wantedStop string
	}{
		{"with its issue", StartIssue, time.Time{}, "", "2026-01-31T10:00:00Z", "2027-01-31T10:00:00Z"},
		{"on a date", StartDate, date, "", "2026-03-01T00:00:00Z", "2027-03-01T00:00:00Z"},
		{"on no date", StartDate, time.Time{}, Invalid, "", ""},
		{"on a date it cannot have", StartIssue, date, Invalid, "", ""},
	} {
		r := yearly()
		r.Start = c.start
		l, err := r.Issue(License{ID: "lic_1"}, now, c.named)
		if CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.what, err)
		} else if err == nil && (!l.Start.Equal(at(c.wantStart)) || !l.End.Equal(at(c.wantedStop)) || l.Status != Active || !l.Issued.Equal(now)) {
			t.Errorf("%s: %+v", c.what, l)
		}
	}
}

func TestATermThatStartsWithTheFirstUseWaitsForIt(t *testing.T) {
	r := yearly()
	r.Start = StartFirstUse
	l, err := r.Issue(License{ID: "lic_1"}, at("2026-01-01T00:00:00Z"), time.Time{})
	if err != nil || !l.Start.IsZero() || !l.End.IsZero() {
		t.Fatalf("%+v, %v", l, err)
	}
	terms := Terms{Status: l.Status}
	if d := terms.InForce(at("2030-01-01T00:00:00Z")); d.Outcome != license.Allowed || d.Rule != "term.first_use" {
		t.Errorf("before the first use: %+v", d)
	}
	used := r.Begin(l, at("2026-05-05T05:05:05.5Z"))
	if !used.Start.Equal(at("2026-05-05T05:05:05Z")) || !used.End.Equal(at("2027-05-05T05:05:05Z")) {
		t.Errorf("after the first use: %+v", used)
	}
	if again := r.Begin(used, at("2026-06-01T00:00:00Z")); !again.Start.Equal(used.Start) {
		t.Errorf("a second use begins the term anew: %+v", again)
	}
}

func TestRenewalsAreAnchoredOrCountFromNow(t *testing.T) {
	for _, c := range []struct {
		what             string
		renewal          RenewalBasis
		length           string
		start, end, now  string
		want, wantedTurn string
		code             Code
	}{
		{"anchored, early", RenewAnchored, "1y", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2026-12-01T00:00:00Z", "2028-01-01T00:00:00Z", "2027-01-01T00:00:00Z", ""},
		{"anchored, in its grace", RenewAnchored, "1y", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z", "2028-01-01T00:00:00Z", "2027-01-01T00:00:00Z", ""},
		{"anchored on the 31st", RenewAnchored, "1mo", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-31T00:00:00Z", "2026-02-28T00:00:00Z", ""},
		{"anchored, of an end named at issue", RenewAnchored, "1mo", "2026-01-31T00:00:00Z", "2026-03-05T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-05T00:00:00Z", "2026-03-05T00:00:00Z", ""},
		{"anchored, far too late", RenewAnchored, "1mo", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-06-01T00:00:00Z", "", "", Conflict},
		{"from now, late", RenewFromNow, "1mo", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-06-15T00:00:00Z", "2026-07-15T00:00:00Z", "2026-06-15T00:00:00Z", ""},
		{"from now, so early that it would give nothing", RenewFromNow, "1mo", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2026-06-15T00:00:00Z", "", "", Conflict},
	} {
		length, err := ParseLength(c.length)
		if err != nil {
			t.Fatal(err)
		}
		r := TermRule{Length: length, Start: StartIssue, Renewal: c.renewal}
		l, err := r.Renew(License{ID: "lic_1", Status: Active, Start: at(c.start), End: at(c.end)}, at(c.end), at(c.now))
		if CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.what, err)
		} else if err == nil && (!l.End.Equal(at(c.want)) || len(l.Renewed) != 1 || !l.Renewed[0].Equal(at(c.wantedTurn))) {
			t.Errorf("%s: until %s, begun %v; want %s, begun %s", c.what, stamp(l.End), l.Renewed, c.want, c.wantedTurn)
		}
	}
}

func TestTwelveMonthlyRenewalsEndOnTheDayOfTheStart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := TermRule{Length: Length{Months: 1}, Start: StartIssue, Renewal: RenewAnchored}
		start := drawTime(t, "start")
		l, err := r.Issue(License{ID: "lic_1"}, start, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for range 11 {
			if l, err = r.Renew(l, l.End, l.End.Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if want := (Length{Months: 12}).After(start); !l.End.Equal(want) {
			t.Fatalf("twelve months from %s end at %s, a year at %s", stamp(start), stamp(l.End), stamp(want))
		}
	})
}

// TestARenewalNamesTheTermThatItRenews: whatever is renewed and extended, a renewal
// that names a term renewed before changes nothing, and one that names no term of
// the license is refused.
func TestARenewalNamesTheTermThatItRenews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := yearly()
		r.Length = Length{Months: rapid.IntRange(1, 24).Draw(t, "months")}
		r.Renewal = rapid.SampledFrom([]RenewalBasis{RenewAnchored, RenewFromNow}).Draw(t, "basis")
		now := drawTime(t, "start")
		l, err := r.Issue(License{ID: "lic_1"}, now, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		var named []time.Time
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if ahead := l.End.Sub(now); ahead > 0 {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(ahead/time.Second)).Draw(t, "pass")) * time.Second)
			}
			if rapid.Bool().Draw(t, "extended") {
				if l, err = l.Extend(l.End.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "days")) * 24 * time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			after := l.ThisEnd()
			was := l
			if l, err = r.Renew(l, after, now); err != nil {
				if CodeOf(err) != Conflict || !reflect.DeepEqual(l, was) {
					t.Fatalf("refused, and it changed or failed otherwise: %v", err)
				}
				continue
			}
			if l.End.Before(was.End) {
				t.Fatalf("a renewal shortens the term from %s to %s", stamp(was.End), stamp(l.End))
			}
			if named = append(named, after); !l.WasRenewed(after) || !l.ThisEnd().After(after) {
				t.Fatalf("after the renewal of the term until %s: %+v", stamp(after), l)
			}
		}
		for _, after := range named {
			if again, err := r.Renew(l, after, now); err != nil || !reflect.DeepEqual(again, l) {
				t.Fatalf("renewed again after %s: %+v, %v; was %+v", stamp(after), again, err, l)
			}
		}
		if _, err := r.Renew(l, l.ThisEnd().Add(time.Second), now); CodeOf(err) != Conflict {
			t.Fatalf("a term that never was is renewed: %v", err)
		}
	})
}

// TestAnExtensionLeavesTheAnchorWhereItWas: terms end on the day of the start,
// whenever one of them is extended, and no extension is taken back.
func TestAnExtensionLeavesTheAnchorWhereItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := TermRule{Length: Length{Months: rapid.IntRange(1, 12).Draw(t, "months")}, Start: StartIssue, Renewal: RenewAnchored}
		start := drawTime(t, "start")
		l, err := r.Issue(License{ID: "lic_1"}, start, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		furthest := l.End
		for k := range rapid.IntRange(1, 10).Draw(t, "terms") {
			for range rapid.IntRange(0, 2).Draw(t, "extensions") {
				furthest = l.End.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "days")) * 24 * time.Hour)
				if l, err = l.Extend(furthest); err != nil || !l.End.Equal(furthest) {
					t.Fatalf("extended: %+v, %v", l, err)
				}
			}
			if l, err = r.Renew(l, l.ThisEnd(), start); err != nil {
				t.Fatal(err)
			}
			own := r.Length.times(k + 2).After(start.UTC().Truncate(time.Second))
			if end := later(own, furthest); !l.End.Equal(end) || !l.ThisEnd().Equal(own) {
				t.Fatalf("term %d ends at %s, by itself at %s; want %s and %s", k+2, stamp(l.End), stamp(l.ThisEnd()), stamp(end), stamp(own))
			}
		}
	})
}

func TestChangesKeptForARenewalAreMadeWhenTheNewTermBegins(t *testing.T) {
	start, end := at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")
	for _, c := range []struct {
		what, now, extended, changes string
	}{
		{"early", "2026-11-01T00:00:00Z", "", "2027-01-01T00:00:00Z"},
		{"in its grace", "2027-01-02T00:00:00Z", "", "2027-01-02T00:00:00Z"},
		{"early and extended", "2026-11-01T00:00:00Z", "2027-01-15T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"within the extension", "2027-01-10T00:00:00Z", "2027-01-15T00:00:00Z", "2027-01-10T00:00:00Z"},
	} {
		l := License{ID: "lic_1", Status: Active, Plan: "p", Start: start, End: end}.Schedule(Change{Edition: "less", When: ChangeAtRenewal}, start)
		if l.ChangesDue(at("2030-01-01T00:00:00Z")) {
			t.Errorf("%s: due although nothing was renewed", c.what)
		}
		var err error
		if c.extended != "" {
			if l, err = l.Extend(at(c.extended)); err != nil {
				t.Fatal(err)
			}
		}
		if l, err = yearly().Renew(l, end, at(c.now)); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		when := at(c.changes)
		if !l.ChangeAt.Equal(when) || l.ChangesDue(when.Add(-1)) || !l.ChangesDue(when) || l.Edition != "" {
			t.Errorf("%s: %+v", c.what, l)
		}
		if l.Revoke().ChangesDue(when) {
			t.Errorf("%s: a revoked license changes", c.what)
		}
		// What is asked for after the renewal is for the term that comes next.
		joined := License{ID: "lic_1", Renewed: l.Renewed}.Schedule(Change{Edition: "none"}, at("2026-12-01T00:00:00Z"))
		if !joined.ChangeAt.Equal(end) {
			t.Errorf("%s: scheduled after the renewal for %v", c.what, joined.ChangeAt)
		}
	}
}

func TestARenewalIntoAPerpetualPlanEndsTheEnd(t *testing.T) {
	r := TermRule{Perpetual: true, Maintenance: Length{Months: 12}, Start: StartIssue, Renewal: RenewAnchored}
	end := at("2027-01-01T00:00:00Z")
	l, err := r.Renew(License{ID: "lic_1", Status: Active, Start: at("2026-01-01T00:00:00Z"), End: end}, end, at("2026-11-01T00:00:00Z"))
	if err != nil || !l.End.IsZero() || !l.Maintenance.Equal(at("2028-01-01T00:00:00Z")) || !l.WasRenewed(end) {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestWhatCannotBeRenewedOrExtendedSaysSo(t *testing.T) {
	now := at("2026-06-01T00:00:00Z")
	began := License{ID: "lic_1", Status: Active, Start: at("2026-01-01T00:00:00Z"), End: at("2027-01-01T00:00:00Z")}
	unpaid := began
	unpaid.Payment = Unpaid
	revoked, unused, endless := began.Revoke(), License{ID: "lic_1", Status: Active}, began
	endless.End = time.Time{}
	trial, perpetual := yearly(), TermRule{Perpetual: true, Start: StartIssue, Renewal: RenewAnchored}
	trial.Trial = true
	for what, err := range map[string]error{
		"a revoked license": second(yearly().Renew(revoked, revoked.End, now)), "an unused one": second(yearly().Renew(unused, unused.End, now)),
		"a trial": second(trial.Renew(began, began.End, now)), "a perpetual one": second(perpetual.Renew(endless, endless.End, now)),
		"extending a revoked one": second(revoked.Extend(now.AddDate(5, 0, 0))), "extending an endless one": second(endless.Extend(now.AddDate(5, 0, 0))),
		"an unpaid one": second(yearly().Renew(unpaid, unpaid.End, now)), "one without an end": second(yearly().Renew(endless, endless.End, now)),
	} {
		if CodeOf(err) != Conflict {
			t.Errorf("%s: %v", what, err)
		}
	}
	if CodeOf(second(began.Extend(now))) != Invalid {
		t.Error("an extension shortens the term")
	}
	longer, err := began.Extend(at("2027-02-01T00:00:00.7Z"))
	if err != nil || !longer.End.Equal(at("2027-02-01T00:00:00Z")) {
		t.Errorf("extended: %+v, %v", longer, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestPerpetualTermsEndTheirMaintenanceOnly(t *testing.T) {
	r := TermRule{Perpetual: true, Maintenance: Length{Months: 12}, Start: StartIssue, Renewal: RenewAnchored}
	now := at("2026-01-31T00:00:00Z")
	l, err := r.Issue(License{ID: "lic_1", Product: "lathe", Plan: "p"}, now, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	rev := mustRevision(t, Plan{Product: "lathe", Name: "p", Term: r, Documents: DefaultDocuments()})
	terms := mustCompile(t, rev, l, now)
	if d := terms.InForce(now.AddDate(100, 0, 0)); d.Outcome != license.Allowed {
		t.Errorf("in a hundred years: %+v", d)
	}
	for released, want := range map[string]license.Outcome{"2027-01-31T00:00:00Z": license.Allowed, "2027-01-31T00:00:01Z": license.Denied} {
		if d := terms.Maintained(at(released)); d.Outcome != want {
			t.Errorf("a build of %s: %+v", released, d)
		}
	}
	if d := terms.Maintained(time.Time{}); d.Outcome != license.Allowed {
		t.Errorf("a build that does not say when it was released: %+v", d)
	}
	l, err = r.Renew(l, l.Maintenance, now)
	if err != nil || !l.Maintenance.Equal(at("2028-01-31T00:00:00Z")) || !l.End.IsZero() {
		t.Errorf("renewed: %+v, %v", l, err)
	}
}

func TestATermWalksItsStates(t *testing.T) {
	start, end := at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")
	grace, last := end.Add(3*24*time.Hour), end.Add(33*24*time.Hour)
	terms := Terms{License: "lic_1", Status: Active, Start: start, End: end, RenewalGrace: 3 * 86400, Documents: DefaultDocuments()}
	for _, c := range []struct {
		at      time.Time
		outcome license.Outcome
		code    string
		state   license.State
		next    license.State
		nextAt  time.Time
	}{
		{start.Add(-1), license.Denied, license.CodeNotStarted, license.StateNone, license.StateValid, start},
		{start, license.Allowed, license.CodeOK, license.StateValid, license.StateGrace, end},
		{end.Add(-1), license.Allowed, license.CodeOK, license.StateValid, license.StateGrace, end},
		{end, license.Allowed, license.CodeRenewalGrace, license.StateGrace, license.StateDegraded, grace},
		{grace.Add(-1), license.Allowed, license.CodeRenewalGrace, license.StateGrace, license.StateDegraded, grace},
		{grace, license.Denied, license.CodeTermEnded, license.StateDegraded, license.StateDenied, last},
		{last, license.Denied, license.CodeTermEnded, license.StateDenied, "", time.Time{}},
	} {
		d := terms.InForce(c.at)
		if d.Outcome != c.outcome || d.Code != c.code || d.State != c.state || d.Next != string(c.next) || d.NextAt != unix(c.nextAt) || d.Reason == "" || d.Rule == "" {
			t.Errorf("at %s: %+v", stamp(c.at), d)
		}
	}
}

func TestSuspensionAndRevocationComeBeforeTheTerm(t *testing.T) {
	now := at("2026-06-01T00:00:00Z")
	l := License{ID: "lic_1", Status: Active}
	suspended, err := l.Suspend()
	if err != nil {
		t.Fatal(err)
	}
	reinstated, err := suspended.Reinstate()
	if err != nil || reinstated.Status != Active {
		t.Errorf("reinstated: %+v, %v", reinstated, err)
	}
	for status, code := range map[Status]string{Suspended: license.CodeSuspended, Revoked: license.CodeRevoked} {
		terms := Terms{Status: status, Start: now.AddDate(-1, 0, 0)}
		if d := terms.InForce(now); d.Outcome != license.Denied || d.Code != code {
			t.Errorf("%s: %+v", status, d)
		}
	}
	for what, err := range map[string]error{"reinstated": second(l.Revoke().Reinstate()), "suspended": second(l.Revoke().Suspend()), "changed": second(l.Revoke().Change(Change{}))} {
		if CodeOf(err) != Conflict {
			t.Errorf("a revoked license is %s: %v", what, err)
		}
	}
}

func TestTermsThatContradictThemselvesAreRefused(t *testing.T) {
	for what, r := range map[string]TermRule{
		"no length":            {Start: StartIssue, Renewal: RenewAnchored},
		"perpetual and length": {Perpetual: true, Length: Length{Days: 1}, Start: StartIssue, Renewal: RenewAnchored},
		"a trial with grace":   {Length: Length{Days: 1}, Trial: true, Grace: 1, Start: StartIssue, Renewal: RenewAnchored},
		"once and no trial":    {Length: Length{Days: 1}, Once: OnceCustomer, Start: StartIssue, Renewal: RenewAnchored},
		"once for whom":        {Length: Length{Days: 1}, Trial: true, Once: "user", Start: StartIssue, Renewal: RenewAnchored},
		"a perpetual trial":    {Perpetual: true, Trial: true, Start: StartIssue, Renewal: RenewAnchored},
		"an unknown start":     {Length: Length{Days: 1}, Start: "noon", Renewal: RenewAnchored},
		"an unknown renewal":   {Length: Length{Days: 1}, Start: StartIssue, Renewal: "never"},
		"a perpetual grace":    {Perpetual: true, Grace: 1, Start: StartIssue, Renewal: RenewAnchored},
	} {
		if CodeOf(r.Check()) != Invalid {
			t.Errorf("%s is accepted", what)
		}
	}
}
