package license

import (
	"math/rand/v2"
	"testing"
)

// ladderLicense is issued at 10 and has its dates at 100, 200, 300, 400, and 500.
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

// A ladderVector is a document at several times; testdata/vectors/README.md describes it.
type ladderVector struct {
	Name, Why string
	License   *License
	Lease     *Lease
	Facts     struct {
		Machine   map[string]string
		Changed   int64
		Clock     bool `json:"clock_in_doubt"`
		Released  int64
		Revoked   *Revocation
		Overrides []*Override
		Bulletins []*Bulletin
	}
	Steps []struct {
		Now, At     int64
		State, Next State
		Cause       Cause
		Code        string
		Features    map[string]struct {
			Outcome Outcome
			Code    string
			Value   Value
			NextAt  int64 `json:"next_at"`
		}
	}
}

// facts returns the facts that a program on that machine knows.
func (v ladderVector) facts() Facts {
	f := Facts{Clock: v.Facts.Clock, Released: v.Facts.Released, Revoked: v.Facts.Revoked, Overrides: v.Facts.Overrides, Bulletins: v.Facts.Bulletins}
	bound := v.Lease != nil && !v.Lease.Binding.Matches(v.Facts.Machine) || v.License != nil && !v.License.Binding.Matches(v.Facts.Machine)
	if bound {
		f.Mismatch = v.Facts.Changed
	}
	return f
}

func TestLadderVectorsHold(t *testing.T) {
	var all []ladderVector
	readJSON(t, "ladder", &all)
	seen := map[string]bool{}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			if seen[v.Name] || len(v.Steps) == 0 {
				t.Error("there is another of the name, or nothing to hold")
			}
			seen[v.Name] = true
			v.hold(t)
		})
	}
	if len(all) < 35 {
		t.Errorf("only %d vectors", len(all))
	}
}

func (v ladderVector) hold(t *testing.T) {
	t.Helper()
	var standing func(Facts, int64) Standing
	var err error
	if v.License != nil {
		standing, err = v.License.Standing, v.License.check()
	} else {
		standing, err = v.Lease.Standing, v.Lease.check()
	}
	if err != nil {
		t.Errorf("it is no document: %v", err)
	}
	for _, step := range v.Steps {
		got := standing(v.facts(), step.Now)
		if want := (Standing{step.State, step.Cause, step.Code, step.Next, step.At}); got != want {
			t.Errorf("at %d: %+v, want %+v", step.Now, got, want)
		}
		for name, want := range step.Features {
			f, d := v.License.Feature(name, got, step.Now)
			if d.Outcome != want.Outcome || d.Code != want.Code || f.Value != want.Value || d.NextAt != want.NextAt || d.Reason == "" || d.Rule == "" {
				t.Errorf("%s at %d: %+v %+v, want %+v", name, step.Now, f, d, want)
			}
		}
	}
}

func TestAnAbsentListGrantsNothing(t *testing.T) {
	l := ladderLicense(nil)
	none := &License{Claims: l.Claims, Dates: l.Dates, Status: Active}
	if _, d := none.Feature("export", none.Standing(Facts{}, 20), 20); d.Outcome != Denied {
		t.Errorf("an absent list grants: %+v", d)
	}
}

// TestLadderOnlyDescends generates documents and facts and steps through time. No state improves by
// itself unless something starts, Next is always right, and facts never improve a state unless they
// are exceptions.
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
	o := &Override{Claims: l.Claims, Dates: Dates{Stale: 600, Due: 600, Degraded: 800}}
	f := Facts{Mismatch: 20, Overrides: []*Override{o}}
	var s Standing
	if n := testing.AllocsPerRun(100, func() { s = l.Standing(f, 310); _, _ = l.Feature("export", s, 310) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
