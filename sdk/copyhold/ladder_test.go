//go:build go1.25

package copyhold

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

func wantState(t *testing.T, c *Client, want license.State) {
	t.Helper()
	if got := c.State(); got != want {
		t.Fatalf("state %s, want %s\n%s", got, want, c.Why())
	}
}

func TestFeaturesOfAValidLicense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		wantState(t, c, license.StateValid)
		if !c.Feature("export").Enabled() || !c.Enabled("export") || c.Enabled("off") || c.Enabled("unknown") {
			t.Error("the features do not match the license")
		}
		if c.Feature("layers").Int() != 50 || c.Feature("theme").Text() != "dark" {
			t.Error("the values do not match the license")
		}
		if d := c.Check("unknown"); d.Outcome != license.Denied || d.Code != license.CodeFeatureAbsent {
			t.Errorf("unknown feature: %+v", d)
		}
	})
}

// TestWhoWasOffForLongIsNotDeniedFirst: the license in the cache has expired, but the server will
// provide one in a moment. Without a server, the wait ends.
func TestWhoWasOffForLongIsNotDeniedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dates = span{60, 120, 420, 1260, 3060}
		o := w.options()
		o.CacheDir = t.TempDir()
		if err := w.start1(t, o).Close(); err != nil {
			t.Fatal(err)
		}
		for _, off := range []time.Duration{30 * time.Minute, 2 * time.Hour} {
			pass(off)
			c := w.start1(t, o)
			wantState(t, c, license.StateValid)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		w.net.serve(t, "silent.test", silent(nil))
		pass(30 * time.Minute)
		o.Endpoints, o.Wait = []string{"http://silent.test"}, 3*time.Second
		began := time.Now()
		wantState(t, w.open(t, o), license.StateDegraded)
		if d := time.Since(began); d != o.Wait {
			t.Errorf("waited %v", d)
		}
	})
}

func TestServerGoneWalksTheLadderAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dates = span{60, 120, 420, 1260, 3060}
		var seen []license.State
		o := w.options()
		o.OnChange = func(ch Change) { seen = append(seen, ch.To.State); panic("a careless program") }
		c := w.open(t, o)
		export, layers := c.Feature("export"), c.Feature("layers")
		w.net.cut("one.test", true)
		opened := time.Now()
		at := func(seconds int64) { pass(time.Until(opened.Add(time.Duration(seconds+2) * time.Second))) }
		at(60)
		wantState(t, c, license.StateValid)
		at(2 * 60)
		wantState(t, c, license.StateStale)
		at(7 * 60)
		wantState(t, c, license.StateGrace)
		if !export.Enabled() {
			t.Error("grace is full function")
		}
		at(21 * 60)
		wantState(t, c, license.StateDegraded)
		if export.Enabled() || layers.Int() != 5 {
			t.Errorf("degraded is the fallback: export %v, layers %d", export.Enabled(), layers.Int())
		}
		at(51 * 60)
		wantState(t, c, license.StateDenied)
		if layers.Int() != 0 || layers.Enabled() {
			t.Error("denied grants nothing")
		}
		w.net.cut("one.test", false)
		pass(time.Minute)
		wantState(t, c, license.StateValid)
		if !export.Enabled() {
			t.Error("the state did not recover")
		}
		want := []license.State{"valid", "stale", "grace", "degraded", "denied", "valid"}
		if !slices.Equal(seen, want) {
			t.Errorf("changes %v, want %v", seen, want)
		}
	})
}

// The program learns of each new document, in order with the changes of state.
func TestANewDocumentIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		var told []string
		name := func(doc *license.License) string {
			if doc == nil {
				return "none"
			}
			return doc.Subject + " " + doc.Features["layers"].Value.String()
		}
		o.OnLicense = func(before, after *license.License) { told = append(told, name(before)+" -> "+name(after)) }
		o.OnChange = func(c Change) { told = append(told, string(c.To.State)) }
		c := w.open(t, o)
		pass(time.Minute)
		w.set(func() { w.doc.Features = map[string]license.Feature{"layers": {Value: license.IntValue(99)}} })
		must(t, c.Refresh(t.Context()))
		pass(time.Minute)
		told = slices.DeleteFunc(told, func(one string) bool { // ignore refreshes, which bring the same rights
			before, after, _ := strings.Cut(one, " -> ")
			return before == after
		})
		if want := []string{"none -> lic_a 50", "valid", "lic_a 50 -> lic_a 99"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
