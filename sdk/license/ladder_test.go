package license

import (
	"math/rand/v2"
	"testing"
)

const (
	minute = 60
	hour   = 60 * minute
	day    = 24 * hour
)

// ladderLicense has its dates at 100, 200, 300, 400 and 500, issued at 10.
func ladderLicense(edit func(*License)) *License {
	l := &License{
		Claims: Claims{Issuer: "urn:x", Audience: []string{"lathe"}, Subject: "lic_1", IssuedAt: 10, NotBefore: 10, Expires: 400, ID: "d", Version: 1, Seq: Seq{1, 5}},
		Dates:  Dates{Refresh: [2]int64{50, 100}, Stale: 200, Due: 300, Degraded: 500},
		Plan:   "studio", Customer: "cus_1", Status: Active,
		Features: map[string]Feature{"export": {Value: BoolValue(true)}, "layers": {Value: IntValue(50), Until: 150, Then: IntValue(10)},
			"beta": {Value: BoolValue(true), Until: 150}, "off": {Value: BoolValue(false)}},
		Fallback: map[string]Feature{"layers": {Value: IntValue(5)}},
	}
	if edit != nil {
		edit(l)
	}
	return l
}

func exception(from, due, exp, degraded int64) (Claims, Dates) {
	return Claims{Issuer: "urn:x", Audience: []string{"lathe"}, Subject: "lic_1", IssuedAt: from, NotBefore: from, Expires: exp},
		Dates{Stale: due, Due: due, Degraded: degraded}
}

func TestLadder(t *testing.T) {
	c, d := exception(350, 600, 700, 800)
	override := &Override{Claims: c, Dates: d}
	bulletin := func(edit func(*Bulletin)) []*Bulletin {
		b := &Bulletin{Claims: c, Dates: d}
		edit(b)
		return []*Bulletin{b}
	}
	trial := func(l *License) { l.Term = Term{Start: 10, End: 250} }
	subscription := func(l *License) { l.Term = Term{Start: 10, End: 150, RenewalGraceEnd: 250} }
	for _, one := range []struct {
		name  string
		edit  func(*License)
		facts Facts
		now   int64
		want  Standing
	}{
		{"valid", nil, Facts{}, 10, Standing{StateValid, "", CodeOK, StateStale, 200}},
		{"clock behind iat", nil, Facts{}, -5, Standing{StateValid, "", CodeOK, StateStale, 200}},
		{"last valid second", nil, Facts{}, 199, Standing{StateValid, "", CodeOK, StateStale, 200}},
		{"stale", nil, Facts{}, 200, Standing{StateStale, CauseRefresh, CodeStale, StateGrace, 300}},
		{"grace", nil, Facts{}, 300, Standing{StateGrace, CauseRefresh, CodeGrace, StateDegraded, 400}},
		{"degraded", nil, Facts{}, 400, Standing{StateDegraded, CauseRefresh, CodeDegraded, StateDenied, 500}},
		{"denied", nil, Facts{}, 500, Standing{StateDenied, CauseRefresh, CodeExpired, "", 0}},
		{"not begun", func(l *License) { l.NotBefore = 20 }, Facts{}, 15, Standing{StateNone, "", CodeNotStarted, StateValid, 20}},
		{"no grace at all", func(l *License) { l.Stale, l.Due, l.Expires, l.Degraded = 200, 200, 200, 200 }, Facts{}, 199, Standing{StateValid, "", CodeOK, StateDenied, 200}},

		{"term not begun", func(l *License) { l.Term.Start = 100 }, Facts{}, 99, Standing{StateNone, CauseTerm, CodeNotStarted, StateValid, 100}},
		{"term begun", func(l *License) { l.Term.Start = 100 }, Facts{}, 100, Standing{StateValid, "", CodeOK, StateStale, 200}},
		{"renewal grace", subscription, Facts{}, 150, Standing{StateGrace, CauseTerm, CodeRenewalGrace, StateDegraded, 250}},
		{"renewal grace over", subscription, Facts{}, 250, Standing{StateDegraded, CauseTerm, CodeTermEnded, StateDenied, 500}},
		{"term over, fallback over", subscription, Facts{}, 500, Standing{StateDenied, CauseTerm, CodeTermEnded, "", 0}},
		{"trial has no grace", trial, Facts{}, 250, Standing{StateDegraded, CauseTerm, CodeTermEnded, StateDenied, 500}},
		{"maintained build", func(l *License) { l.Term.Maintenance = 90 }, Facts{Released: 90}, 100, Standing{StateValid, "", CodeOK, StateStale, 200}},
		{"build after maintenance", func(l *License) { l.Term.Maintenance = 90 }, Facts{Released: 91}, 100, Standing{StateDenied, CauseTerm, CodeNotMaintained, "", 0}},

		{"binding lost", nil, Facts{Mismatch: 50}, 60, Standing{StateGrace, CauseBinding, CodeBindingMismatch, StateDegraded, 400}},
		{"binding lost for 72 h", func(l *License) { *l = *longLife() }, Facts{Mismatch: 50}, 50 + 72*hour, Standing{StateDegraded, CauseBinding, CodeBindingMismatch, StateDenied, 40 * day}},
		{"a second before", func(l *License) { *l = *longLife() }, Facts{Mismatch: 50}, 49 + 72*hour, Standing{StateGrace, CauseBinding, CodeBindingMismatch, StateDegraded, 50 + 72*hour}},
		{"binding never denies", func(l *License) { *l = *longLife() }, Facts{Mismatch: 50}, 29 * day, Standing{StateDegraded, CauseBinding, CodeBindingMismatch, StateDenied, 40 * day}},

		{"clock in doubt", nil, Facts{Clock: true}, 20, Standing{StateStale, CauseClock, CodeClock, StateGrace, 300}},
		{"clock in doubt, far ahead", nil, Facts{Clock: true}, 450, Standing{StateDegraded, CauseClock, CodeDegraded, StateDenied, 500}},

		{"revoked", nil, Facts{Revoked: &Revocation{At: 50}}, 50, Standing{StateDenied, CauseRevoked, CodeRevoked, "", 0}},
		{"revoked later", nil, Facts{Revoked: &Revocation{At: 50}}, 49, Standing{StateValid, "", CodeOK, StateDenied, 50}},
		{"revoked to the fallback", nil, Facts{Revoked: &Revocation{At: 50, Fallback: true}}, 50, Standing{StateDegraded, CauseRevoked, CodeRevoked, StateDenied, 500}},
		{"revoked at this seq", nil, Facts{Revoked: &Revocation{At: 50, Seq: Seq{1, 5}}}, 60, Standing{StateDenied, CauseRevoked, CodeRevoked, "", 0}},
		{"reinstated since", nil, Facts{Revoked: &Revocation{At: 50, Seq: Seq{1, 4}}}, 60, Standing{StateValid, "", CodeOK, StateStale, 200}},
		{"suspended", func(l *License) { l.Status = Suspended }, Facts{}, 60, Standing{StateDenied, CauseRevoked, CodeSuspended, "", 0}},
		{"status revoked", func(l *License) { l.Status = Revoked }, Facts{}, 60, Standing{StateDenied, CauseRevoked, CodeRevoked, "", 0}},

		{"override holds up", nil, Facts{Overrides: []*Override{override}}, 450, Standing{StateValid, CauseOverride, CodeOK, StateGrace, 600}},
		{"override in its grace", nil, Facts{Overrides: []*Override{override}}, 650, Standing{StateGrace, CauseOverride, CodeGrace, StateDegraded, 700}},
		{"override ends", nil, Facts{Overrides: []*Override{override}}, 800, Standing{StateDenied, CauseRefresh, CodeExpired, "", 0}},
		{"override not begun", nil, Facts{Overrides: []*Override{override}}, 349, Standing{StateGrace, CauseRefresh, CodeGrace, StateDegraded, 400}},
		{"override of another license", func(l *License) { l.Subject = "lic_2" }, Facts{Overrides: []*Override{override}}, 450, Standing{StateDegraded, CauseRefresh, CodeDegraded, StateDenied, 500}},
		{"override of another issuer", func(l *License) { l.Issuer = "urn:y" }, Facts{Overrides: []*Override{override}}, 450, Standing{StateDegraded, CauseRefresh, CodeDegraded, StateDenied, 500}},
		{"override after the term", subscription, Facts{Overrides: []*Override{override}}, 450, Standing{StateValid, CauseOverride, CodeOK, StateGrace, 600}},
		{"override does not reinstate", func(l *License) { l.Status = Suspended }, Facts{Overrides: []*Override{override}}, 450, Standing{StateDenied, CauseRevoked, CodeSuspended, "", 0}},
		{"bulletin for all", nil, Facts{Bulletins: bulletin(func(*Bulletin) {})}, 450, Standing{StateValid, CauseOverride, CodeOK, StateGrace, 600}},
		{"bulletin for a plan", nil, Facts{Bulletins: bulletin(func(b *Bulletin) { b.Plans = []string{"studio"} })}, 450, Standing{StateValid, CauseOverride, CodeOK, StateGrace, 600}},
		{"bulletin for another plan", nil, Facts{Bulletins: bulletin(func(b *Bulletin) { b.Plans = []string{"basic"} })}, 450, Standing{StateDegraded, CauseRefresh, CodeDegraded, StateDenied, 500}},
		{"bulletin for another customer", nil, Facts{Bulletins: bulletin(func(b *Bulletin) { b.Customers = []string{"cus_2"} })}, 450, Standing{StateDegraded, CauseRefresh, CodeDegraded, StateDenied, 500}},
		{"bulletin for another license", nil, Facts{Bulletins: bulletin(func(b *Bulletin) { b.Licenses = []string{"lic_2"} })}, 450, Standing{StateDegraded, CauseRefresh, CodeDegraded, StateDenied, 500}},
		{"bulletin for another product", nil, Facts{Bulletins: bulletin(func(b *Bulletin) { b.Audience = []string{"mill"} })}, 450, Standing{StateDegraded, CauseRefresh, CodeDegraded, StateDenied, 500}},
		{"worst cause wins", nil, Facts{Mismatch: 50, Clock: true}, 450, Standing{StateDegraded, CauseClock, CodeDegraded, StateDenied, 500}},
	} {
		if got := ladderLicense(one.edit).Standing(one.facts, one.now); got != one.want {
			t.Errorf("%s: %+v, want %+v", one.name, got, one.want)
		}
	}
}

func longLife() *License {
	l := ladderLicense(nil)
	l.Refresh, l.Stale, l.Due, l.Expires, l.Degraded = [2]int64{day, 2 * day}, 10*day, 20*day, 30*day, 40*day
	return l
}

func TestLeaseLadder(t *testing.T) {
	l := &Lease{Claims: Claims{IssuedAt: 10, NotBefore: 10, Expires: 400, Seq: Seq{1, 5}}, Dates: Dates{Stale: 200, Due: 300, Degraded: 400}}
	for _, one := range []struct {
		facts Facts
		now   int64
		want  Standing
	}{
		{Facts{}, 10, Standing{StateValid, "", CodeOK, StateStale, 200}},
		{Facts{}, 300, Standing{StateGrace, CauseRefresh, CodeGrace, StateDenied, 400}},
		{Facts{}, 400, Standing{StateDenied, CauseRefresh, CodeExpired, "", 0}},
		{Facts{Mismatch: 20}, 30, Standing{StateGrace, CauseBinding, CodeBindingMismatch, StateDenied, 400}},
		{Facts{Revoked: &Revocation{At: 20, Seq: Seq{1, 5}}}, 30, Standing{StateDenied, CauseRevoked, CodeRevoked, "", 0}},
	} {
		if got := l.Standing(one.facts, one.now); got != one.want {
			t.Errorf("at %d: %+v, want %+v", one.now, got, one.want)
		}
	}
}

func TestFeature(t *testing.T) {
	l := ladderLicense(nil)
	for _, one := range []struct {
		name    string
		now     int64
		outcome Outcome
		code    string
		value   Value
		next    int64
	}{
		{"export", 20, Allowed, CodeOK, BoolValue(true), 200},
		{"export", 210, Allowed, CodeStale, BoolValue(true), 300},
		{"export", 310, Allowed, CodeGrace, BoolValue(true), 400},
		{"export", 410, Denied, CodeDegraded, Value{}, 500},
		{"export", 510, Denied, CodeExpired, Value{}, 0},
		{"layers", 20, Allowed, CodeOK, IntValue(50), 150},
		{"layers", 150, Allowed, CodeOK, IntValue(10), 200},
		{"layers", 410, Allowed, CodeFallback, IntValue(5), 500},
		{"layers", 510, Denied, CodeExpired, Value{}, 0},
		{"beta", 149, Allowed, CodeOK, BoolValue(true), 150},
		{"beta", 150, Denied, CodeFeatureEnded, Value{}, 200},
		{"off", 20, Denied, CodeFeatureAbsent, Value{}, 200},
		{"missing", 20, Denied, CodeFeatureAbsent, Value{}, 200},
	} {
		f, d := l.Feature(one.name, l.Standing(Facts{}, one.now), one.now)
		if d.Outcome != one.outcome || d.Code != one.code || f.Value != one.value || d.NextAt != one.next || d.Reason == "" || d.Rule == "" {
			t.Errorf("%s at %d: %+v %+v", one.name, one.now, f, d)
		}
	}
	none := &License{Claims: l.Claims, Dates: l.Dates, Status: Active}
	if _, d := none.Feature("export", none.Standing(Facts{}, 20), 20); d.Outcome != Denied {
		t.Errorf("an absent list grants: %+v", d)
	}
}

// TestLadderOnlyDescends draws documents and facts and walks through time: no
// state gets better by itself except where something begins, Next is always
// true, and facts never make a state better unless they are exceptions.
func TestLadderOnlyDescends(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		at := func() int64 { return 10 + random.Int64N(600) }
		l := ladderLicense(func(l *License) {
			l.Stale = at()
			l.Due = l.Stale + random.Int64N(100)
			l.Expires = l.Due + random.Int64N(100)
			l.Degraded = l.Expires + random.Int64N(100)
			if random.IntN(2) == 0 {
				l.Term.End = at()
				l.Term.RenewalGraceEnd = l.Term.End + random.Int64N(100)
			}
		})
		var f Facts
		if random.IntN(3) == 0 {
			f.Revoked = &Revocation{At: at(), Fallback: random.IntN(2) == 0}
		}
		if random.IntN(3) == 0 {
			f.Mismatch = at()
		}
		f.Clock = random.IntN(4) == 0
		before := l.Standing(f, 10)
		for now := int64(11); now < 1000; now++ {
			s := l.Standing(f, now)
			if s.State.rank() < before.State.rank() {
				t.Fatalf("better at %d: %+v after %+v", now, s, before)
			}
			if before.At != 0 && now < before.At && s.State != before.State {
				t.Fatalf("%+v at %d, though %+v", s, now, before)
			}
			if now == before.At && s.State != before.Next {
				t.Fatalf("%+v at %d, though %+v", s, now, before)
			}
			if s.State.rank() < l.Standing(Facts{}, now).State.rank() {
				t.Fatalf("facts make it better at %d", now)
			}
			before = s
		}
	}
}

func TestLadderAllocatesNothing(t *testing.T) {
	l := ladderLicense(nil)
	c, d := exception(1, 600, 700, 800)
	f := Facts{Mismatch: 20, Overrides: []*Override{{Claims: c, Dates: d}}}
	var s Standing
	if n := testing.AllocsPerRun(100, func() { s = l.Standing(f, 310); _, _ = l.Feature("export", s, 310) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
