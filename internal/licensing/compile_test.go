package licensing

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

func on() license.Value           { return license.BoolValue(true) }
func num(n int64) license.Value   { return license.IntValue(n) }
func text(s string) license.Value { return license.TextValue(s) }

// studio is a plan with one of each kind of setting.
func studio() Plan {
	return Plan{
		Product: "lathe", Name: "studio", Title: "Lathe Studio", Channel: "stable", Edition: "pro",
		Term:     TermRule{Length: Length{Months: 12}, Start: StartIssue, Renewal: RenewAnchored, Grace: 3 * 86400},
		Features: map[string]FeatureRule{"export": {Value: on()}, "max_layers": {Value: num(50)}, "theme": {Value: text("dark")}, "beta": {Value: on(), For: Length{Days: 30}}},
		Editions: map[string]Edition{"pro": {Features: map[string]FeatureRule{"render": {Value: on()}, "max_layers": {Value: num(20)}}}},
		Fallback: map[string]license.Value{"export": license.BoolValue(false), "max_layers": num(5)},
		Addons: map[string]Addon{
			"layers": {Features: map[string]AddonFeature{"max_layers": {Value: num(10), Add: true}}},
			"large":  {Features: map[string]AddonFeature{"max_layers": {Value: num(200)}, "theme": {Value: text("light")}}, Meters: map[string]Adjustment{"calls": {Amount: 5000}}},
			"seats":  {Pools: map[string]Adjustment{"seats": {Add: true, Amount: 5}}, Features: map[string]AddonFeature{"farm": {Value: on()}}},
			"calls":  {Meters: map[string]Adjustment{"calls": {Add: true, Amount: 1000}}},
		},
		Pools:     map[string]Pool{"seats": {Holder: "user", Capacity: 5, Lease: 900, Grace: 3600, Borrow: 30 * 86400, Overdraft: Overdraft{Percent: 20, For: 86400}, Full: FullQueue, Share: ShareNone}},
		Meters:    map[string]Meter{"calls": {Unit: "call", Quota: 1000, Per: PerMonth, Anchor: AnchorCalendar, Zone: "Europe/Berlin", Soft: Limit{Percent: 80}, Overage: true, Hard: Limit{Percent: 150}, Full: FullFallback}},
		Documents: DefaultDocuments(),
	}
}

func issued(t interface {
	Helper()
	Fatal(...any)
}, p Plan, now time.Time) (Revision, License) {
	t.Helper()
	l := License{Env: "production", ID: "lic_1", Product: p.Product, Customer: "cus_1", Plan: p.Name, Channel: p.Channel}
	l, err := p.Term.Issue(l, now, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return mustRevision(t, p), l
}

func TestEditionPlanAddonAndExceptionMergeInThatOrder(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	rev, l := issued(t, studio(), now)
	l.Addons = []Grant{{Addon: "layers", Quantity: 3}, {Addon: "large", Quantity: 1}, {Addon: "seats", Quantity: 2}, {Addon: "calls", Quantity: 1}}
	l.Exceptions = []Exception{
		{ID: "exc_1", Feature: "render", Reason: "r", At: now},
		{ID: "exc_2", Pool: "seats", Adjust: Adjustment{Add: true, Amount: -1}, Reason: "r", At: now},
		{ID: "exc_3", Meter: "calls", Adjust: Adjustment{Amount: 7000}, Reason: "r", At: now},
		{ID: "exc_4", Feature: "sso", Value: on(), Reason: "r", At: now},
	}
	terms := mustCompile(t, rev, l, now)
	want := map[string]license.Value{"export": on(), "max_layers": num(230), "theme": text("light"), "beta": on(), "farm": on(), "sso": on()}
	got := map[string]license.Value{}
	for name, f := range terms.Features {
		got[name] = f.At(now)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("features are %v, want %v", got, want)
	}
	if c := terms.Pools["seats"].Capacity; c != 14 {
		t.Errorf("capacity is %d, want 5 + 2*5 - 1", c)
	}
	if m := terms.Meters["calls"]; m.Quota != 7000 || m.SoftLimit() != 5600 || m.HardLimit() != 10500 {
		t.Errorf("quota %d, soft %d, hard %d", m.Quota, m.SoftLimit(), m.HardLimit())
	}
	if l := terms.Pools["seats"].Limit(); l != 16 {
		t.Errorf("capacity and 20%% overdraft are %d", l)
	}
}

func TestTheOrderInWhichAddonsWereBoughtDoesNotMatter(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	rev, l := issued(t, studio(), now)
	rapid.Check(t, func(t *rapid.T) {
		for name := range rev.Plan.Addons {
			for range rapid.IntRange(0, 3).Draw(t, name) {
				l.Addons = append(l.Addons, Grant{Addon: name, Quantity: rapid.Int64Range(1, 9).Draw(t, "quantity")})
			}
		}
		want := mustCompile(t, rev, l, now)
		rand.New(rand.NewSource(rapid.Int64().Draw(t, "order"))).Shuffle(len(l.Addons), func(i, j int) { l.Addons[i], l.Addons[j] = l.Addons[j], l.Addons[i] })
		if got := mustCompile(t, rev, l, now); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v compiles to %+v, otherwise %+v", l.Addons, got, want)
		}
		l.Addons = nil
	})
}

func TestAnAbsentListGrantsNothing(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	p := Plan{Product: "lathe", Name: "bare", Channel: "stable", Term: TermRule{Perpetual: true, Start: StartIssue, Renewal: RenewAnchored}, Documents: DefaultDocuments()}
	rev, l := issued(t, p, now)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z]{0,8}`).Draw(t, "name")
		terms := mustCompile(t, rev, l, now)
		if d := terms.Feature(name, now); d.Outcome != license.Denied {
			t.Fatalf("feature %q is granted: %+v", name, d)
		}
		if _, known := terms.Window(name, Window{}, now); known || terms.Pools[name].Limit() != 0 {
			t.Fatalf("a pool or meter %q is there", name)
		}
		doc, err := terms.Document(now, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range []license.State{license.StateValid, license.StateGrace, license.StateDegraded, license.StateDenied} {
			if _, d := doc.Feature(name, license.Standing{State: state}, now.Unix()); d.Outcome != license.Denied {
				t.Fatalf("the document grants %q in state %s", name, state)
			}
		}
	})
}

func TestWhatHasAnEndOfItsOwnReturnsToThePlansValue(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	march, april := at("2026-03-01T00:00:00Z"), at("2026-04-01T00:00:00Z")
	rev, l := issued(t, studio(), now)
	l.Addons = []Grant{{Addon: "seats", Quantity: 1, Until: march}}
	l.Exceptions = []Exception{
		{ID: "exc_1", Feature: "max_layers", Value: num(500), Until: april, Reason: "r"},
		{ID: "exc_2", Pool: "seats", Adjust: Adjustment{Add: true, Amount: 10}, From: march, Until: april, Reason: "r"},
	}
	terms := mustCompile(t, rev, l, now)
	beta := at("2026-01-31T00:00:00Z")
	if !terms.Until.Equal(beta) {
		t.Errorf("the terms hold until %s, but beta ends at %s", stamp(terms.Until), stamp(beta))
	}
	for _, c := range []struct {
		feature string
		at      time.Time
		want    license.Value
	}{
		{"max_layers", now, num(500)}, {"max_layers", april.Add(-1), num(500)}, {"max_layers", april, num(50)},
		{"beta", beta.Add(-1), on()}, {"beta", beta, license.Value{}}, {"farm", march, license.Value{}}, {"export", april, on()},
	} {
		if got := terms.Features[c.feature].At(c.at); got != c.want {
			t.Errorf("%s at %s is %v, want %v", c.feature, stamp(c.at), got, c.want)
		}
	}
	for at, capacity := range map[time.Time]int64{now: 10, march.Add(-1): 10, march: 15, april: 5} {
		if got := mustCompile(t, rev, l, at).Pools["seats"].Capacity; got != capacity {
			t.Errorf("capacity at %s is %d, want %d", stamp(at), got, capacity)
		}
	}
	if d := terms.Feature("beta", beta); d.Code != license.CodeFeatureEnded {
		t.Errorf("beta after its end: %+v", d)
	}
	if d := terms.Feature("max_layers", now); d.NextAt != april.Unix() {
		t.Errorf("max_layers does not say when it changes: %+v", d)
	}
}

func TestADocumentAgreesWithTermsCompiledLater(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	rev, l := issued(t, studio(), now)
	rapid.Check(t, func(t *rapid.T) {
		day := func(what string) time.Time { return now.AddDate(0, 0, rapid.IntRange(0, 40).Draw(t, what)) }
		l.Exceptions = nil
		for i := range rapid.IntRange(0, 2).Draw(t, "exceptions") {
			e := Exception{ID: ExceptionID(fmt.Sprint(i)), Feature: rapid.SampledFrom([]string{"max_layers", "export", "new"}).Draw(t, "feature"), Reason: "r", From: day("from")}
			e.Until = e.From.AddDate(0, 0, rapid.IntRange(1, 20).Draw(t, "days"))
			if rapid.Bool().Draw(t, "set") {
				e.Value = num(int64(i) + 7)
			}
			l.Exceptions = append(l.Exceptions, e)
		}
		terms := mustCompile(t, rev, l, now)
		later := day("later")
		after := mustCompile(t, rev, l, later)
		for name, f := range terms.Features {
			// Of several changes ahead a document knows the first.
			if f.Until.IsZero() || later.Before(f.Until) {
				if got := after.Features[name].At(later); got != f.At(later) {
					t.Fatalf("%s at %s: %v was said, %v it is", name, stamp(later), f.At(later), got)
				}
			}
		}
	})
}

func TestWhatDoesNotFitIsRefusedAsAConflict(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	rev, good := issued(t, studio(), now)
	for what, change := range map[string]func(*License){
		"another plan":      func(l *License) { l.Plan = "other" },
		"another product":   func(l *License) { l.Product = "other" },
		"an unknown add-on": func(l *License) { l.Addons = []Grant{{Addon: "x", Quantity: 1}} },
		"an unknown pool":   func(l *License) { l.Exceptions = []Exception{{Pool: "x", Reason: "r"}} },
		"an unknown meter":  func(l *License) { l.Exceptions = []Exception{{Meter: "x", Reason: "r"}} },
	} {
		l := good
		change(&l)
		_, err := Compile(rev, l, now)
		if CodeOf(err) != Conflict {
			t.Errorf("%s: %v", what, err)
		}
	}
	below := good
	below.Exceptions = []Exception{{Pool: "seats", Adjust: Adjustment{Add: true, Amount: -6}, Reason: "r"}}
	if _, err := Compile(rev, below, now); CodeOf(err) != Invalid {
		t.Errorf("a capacity below zero: %v", err)
	}
}

func TestARevisionIsNamedByItsContentAlone(t *testing.T) {
	a, b := mustRevision(t, studio()), mustRevision(t, studio())
	if a.ID != b.ID || len(a.ID) != 64 {
		t.Errorf("the same plan is %s and %s", a.ID, b.ID)
	}
	text, err := json.Marshal(a.Plan)
	if err != nil {
		t.Fatal(err)
	}
	var read Plan
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if c := mustRevision(t, read); c.ID != a.ID {
		t.Errorf("written and read the plan is another: %s", text)
	}
	p := studio()
	p.Pools["seats"] = Pool{Holder: "user", Capacity: 6}
	if c := mustRevision(t, p); c.ID == a.ID {
		t.Error("another plan has the same name")
	}
	// Compiling loads zones; that must not leak into the name.
	_, l := issued(t, studio(), at("2026-01-01T00:00:00Z"))
	mustCompile(t, a, l, at("2026-01-01T00:00:00Z"))
	if c := mustRevision(t, a.Plan); c.ID != a.ID {
		t.Error("compiling changes the revision")
	}
}

func TestCompilingLeavesPlanAndLicenseAsTheyWere(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	rev, l := issued(t, studio(), now)
	l.Addons = []Grant{{Addon: "seats", Quantity: 2}, {Addon: "large", Quantity: 1}}
	before := slices.Clone(l.Addons)
	mustCompile(t, rev, l, now)
	if rev.Plan.Pools["seats"].Capacity != 5 || rev.Plan.Meters["calls"].Quota != 1000 || !slices.Equal(l.Addons, before) {
		t.Error("compiling changes its arguments")
	}
}
