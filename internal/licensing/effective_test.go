package licensing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

// TestWhatALicenseComesToIsWhatProgramsHave walks a license along its life and compares the
// features that are shown with those of its document on the ladder.
func TestWhatALicenseComesToIsWhatProgramsHave(t *testing.T) {
	start := at("2026-01-31T00:00:00Z")
	plan := Plan{
		Product: "lathe", Name: "studio", Term: yearly(),
		Features: map[string]FeatureRule{
			"export": {Value: license.BoolValue(true)}, "layers": {Value: license.IntValue(50)}, "off": {Value: license.BoolValue(false)},
			"beta": {Value: license.BoolValue(true), For: Length{Days: 30}},
		},
		Fallback:  map[string]license.Value{"layers": license.IntValue(5)},
		Pools:     map[string]Pool{"seats": {Holder: "user", Capacity: 5, Lease: 900, Overdraft: Overdraft{Units: 1, For: 3600}}},
		Meters:    map[string]Meter{"calls": {Unit: "call", Scale: 2, Quota: 1000, Per: PerTerm, Zone: "UTC"}},
		Documents: Documents{Refresh: 3600, Stale: 7200, Life: 86400, Grace: 86400, Fallback: 30 * 86400},
	}
	l := License{Env: "production", ID: "lic_1", Product: "lathe", Customer: "cus_1", Plan: "studio", Channel: "stable", Status: Active, Start: start, End: at("2027-01-31T00:00:00Z"),
		Exceptions: []Exception{{Pool: "seats", Adjust: Adjustment{Add: true, Amount: 2}, At: start, Reason: "x"}}}
	suspended, revoked := l, l
	suspended.Status, revoked.Status = Suspended, Revoked
	for _, c := range []struct {
		what string
		l    License
		now  string
		want string
	}{
		{"in its first days", l, "2026-02-01T00:00:00Z", "beta=true layers=50 off=false export=true valid"},
		{"after a feature's end", l, "2026-06-01T00:00:00Z", "layers=50 off=false export=true valid"},
		{"in its renewal grace", l, "2027-02-01T00:00:00Z", "layers=50 off=false export=true grace"},
		{"in the fallback", l, "2027-02-10T00:00:00Z", "layers=5 degraded"},
		{"at the end of all", l, "2027-06-01T00:00:00Z", "denied"},
		{"before its start", l, "2026-01-01T00:00:00Z", "none"},
		{"suspended", suspended, "2026-02-01T00:00:00Z", "denied"},
		{"revoked", revoked, "2026-02-01T00:00:00Z", "denied"},
	} {
		now := at(c.now)
		terms := mustCompile(t, Revision{ID: "r", Plan: plan}, c.l, now)
		e := terms.Effective(map[string]Stock{"seats": {Held: 3}}, map[string]Used{"calls": {Window: Window{Start: start, End: l.End}, Total: 125}}, now)
		shown := strings.Fields(c.want)
		state := license.State(shown[len(shown)-1])
		shown = shown[:len(shown)-1]
		slices.Sort(shown)
		got := make([]string, 0, len(e.Features))
		for _, name := range slices.Sorted(maps.Keys(e.Features)) {
			got = append(got, fmt.Sprintf("%s=%v", name, e.Features[name].Value))
		}
		if !slices.Equal(got, shown) || e.Decision.State != state {
			t.Errorf("%s: %v in state %s, want %s", c.what, got, e.Decision.State, c.want)
		}
		if p := e.Pools["seats"]; p.Capacity != 7 || p.Held != 3 || p.Overdraft != 1 || p.Holder != "user" {
			t.Errorf("%s: %+v", c.what, p)
		}
		if m := e.Meters["calls"]; state == license.StateValid && (m.Used != "1.25" || m.Quota != "10" || m.Unit != "call" || !m.PeriodEnd.Equal(l.End)) {
			t.Errorf("%s: %+v", c.what, m)
		}
		doc, err := terms.Document(now, nil)
		if err != nil {
			continue // nothing is left that a document could grant
		}
		standing := doc.Standing(license.Facts{}, now.Unix())
		for _, name := range []string{"export", "layers", "beta", "off"} {
			f, d := doc.Feature(name, standing, now.Unix())
			if f := f.Value; d.Outcome == license.Allowed && f != e.Features[name].Value || d.Outcome != license.Allowed && e.Features[name].Value.On() {
				t.Errorf("%s: programs have %s as %v (%s), shown is %v", c.what, name, f, d.Outcome, e.Features[name].Value)
			}
		}
	}
	if b := mustCompile(t, Revision{ID: "r", Plan: plan}, l, start).Effective(nil, nil, start).Features["beta"]; !b.Until.Equal(start.Add(30*24*time.Hour)) || !b.Then.IsZero() {
		t.Errorf("a feature with an end of its own: %+v", b)
	}
}
