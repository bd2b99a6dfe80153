package licensing

import (
	"strings"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

func TestAChangeSaysWhoGainsAndWhoLoses(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	rev, l := issued(t, studio(), now)
	before := mustCompile(t, rev, l, now)
	changed, err := l.Change(Change{
		Add:    []Grant{{Addon: "seats", Quantity: 1}},
		Except: []Exception{{ID: "exc_1", Feature: "export", Reason: "r"}, {ID: "exc_2", Meter: "calls", Adjust: Adjustment{Amount: 500}, Reason: "r"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := Compare(before, mustCompile(t, rev, changed, now), map[string]int64{"seats": 4}, now)
	want := map[string]Trend{
		"feature export: gone, was true": Loss, "feature farm: new, true": Gain, "pool seats capacity: 5 → 10": Gain, "pool seats overdraft: 1 → 2": Gain,
		"meter calls quota: 1000 calls per month → 500 calls per month": Loss, "meter calls hard: 1500 calls → 750 calls": Loss,
	}
	for _, d := range e.Changes {
		if want[d.String()] != d.Trend {
			t.Errorf("%s is a %s", d, d.Trend)
		}
		delete(want, d.String())
	}
	if len(want) != 0 || !e.Gains() || !e.Loses() || len(e.Shortages) != 0 {
		t.Errorf("not said: %v; %+v", want, e)
	}
	if same := Compare(before, before, nil, now); len(same.Changes) != 0 || same.Gains() || same.Loses() {
		t.Errorf("the same terms differ: %+v", same)
	}
}

func TestComparingNamesEverythingThatTwoPlansDifferIn(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	rev, l := issued(t, studio(), now)
	before := mustCompile(t, rev, l, now)
	p := studio()
	p.Name = "big"
	p.Term.Grace = 5 * 86400
	p.Features["max_layers"] = FeatureRule{Value: num(10)}
	p.Fallback["export"] = on()
	p.Pools = map[string]Pool{"machines": {Holder: "machine", Capacity: 3, Full: FullDeny, Share: ShareHolder}}
	p.Meters["calls"] = Meter{Unit: "call", Quota: 99999, Per: PerDay, Anchor: AnchorLicense, Zone: "UTC", Overage: true, Full: FullDeny}
	p.Documents.Life = 86400 * 3
	l.Plan, l.End = "big", time.Time{}
	after := mustCompile(t, mustRevision(t, p), l, now)
	e := Compare(before, after, map[string]int64{"seats": 2}, now)
	var lines []string
	for _, d := range e.Changes {
		lines = append(lines, d.String()+" ("+string(d.Trend)+")")
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{
		"plan: studio → big (change)", "term end: 2027-01-01T00:00:00Z → never (gain)", "renewal grace: 3d → 5d (gain)",
		"feature max_layers: 50 → 10 (loss)", "fallback export: false → true (gain)", "pool seats: gone, was 5 units (loss)",
		"pool machines: new, 3 units (gain)", "meter calls quota: 1000 calls per month → 99999 calls per day (change)",
		"meter calls hard: 1500 calls → no limit (gain)", "meter calls anchor: calendar in Europe/Berlin → license in UTC (change)",
		"meter calls full: fallback → deny (loss)", "documents life: 7d → 3d (loss)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if len(e.Shortages) != 1 || e.Shortages[0] != (Shortage{Pool: "seats", Held: 2}) {
		t.Errorf("shortages are %v", e.Shortages)
	}
}

func TestGoingBelowWhatIsHeldIsRefusedDrainedOrOverdrawn(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	p := Pool{Capacity: 5, Overdraft: Overdraft{Units: 1, For: 3600}}
	few, many := Shortage{Pool: "seats", Held: 6, Capacity: 5}, Shortage{Pool: "seats", Held: 7, Capacity: 5}
	if _, err := BelowRefuse.Allow(few, p, now); CodeOf(err) != Conflict {
		t.Errorf("refuse: %v", err)
	}
	if _, err := Below("").Allow(few, p, now); CodeOf(err) != Conflict {
		t.Errorf("unsaid: %v", err)
	}
	if until, err := BelowDrain.Allow(many, p, now); err != nil || !until.IsZero() {
		t.Errorf("drain: until %v, %v", until, err)
	}
	if until, err := BelowOverdraft.Allow(few, p, now); err != nil || !until.Equal(now.Add(time.Hour)) {
		t.Errorf("overdraft: until %v, %v", until, err)
	}
	if _, err := BelowOverdraft.Allow(many, p, now); CodeOf(err) != Conflict {
		t.Errorf("more than the overdraft: %v", err)
	}
}

func TestAChangeAtRenewalWaitsForIt(t *testing.T) {
	l := License{ID: "lic_1", Customer: "c", Product: "p", Plan: "small", Channel: "stable", Revision: "old", Status: Active, Payment: Paid, Addons: []Grant{{Addon: "a", Quantity: 1}}}
	now := at("2026-06-01T00:00:00Z")
	later := l.Schedule(Change{Plan: "big", When: ChangeAtRenewal}, now).Schedule(Change{Remove: []string{"a"}, When: ChangeAtRenewal}, now)
	if later.Plan != "small" || len(later.Addons) != 1 || len(l.Scheduled) != 0 {
		t.Fatalf("a scheduled change is made at once: %+v", later)
	}
	renewed, err := later.MakeChanges()
	if err != nil || renewed.Plan != "big" || renewed.Revision != "" || len(renewed.Addons) != 0 || len(renewed.Scheduled) != 0 {
		t.Errorf("after the renewal: %+v, %v", renewed, err)
	}
	if len(later.Addons) != 1 {
		t.Error("a change alters the license it was made from")
	}
}

func TestRemovingWhatIsNotThereIsNotFound(t *testing.T) {
	l := License{ID: "lic_1", Status: Active}
	for _, c := range []Change{{Remove: []string{"x"}}, {RemoveExceptions: []ExceptionID{"x"}}} {
		if CodeOf(second(l.Change(c))) != NotFound {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func TestExceptionsNameOneThingAndAReason(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	for what, e := range map[string]Exception{
		"nothing":               {Reason: "r"},
		"two things":            {Feature: "a", Pool: "b", Reason: "r"},
		"no reason":             {Feature: "a", Value: on()},
		"a value for a pool":    {Pool: "a", Value: license.IntValue(3), Reason: "r"},
		"an adjusted feature":   {Feature: "a", Adjust: Adjustment{Amount: 3}, Reason: "r"},
		"an end before a begin": {Feature: "a", From: now, Until: now, Reason: "r"},
	} {
		if CodeOf(e.Check()) != Invalid {
			t.Errorf("%s is accepted", what)
		}
	}
}
