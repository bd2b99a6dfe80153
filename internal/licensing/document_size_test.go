package licensing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

// TestNoDocumentIsLargerThanTheLargest: whichever add-ons and exceptions begin and end, and
// however much is used, no part of a document exceeds its predicted size.
func TestNoDocumentIsLargerThanTheLargest(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	rev, l := issued(t, studio(), now)
	rapid.Check(t, func(t *rapid.T) {
		l := l
		hours := func(name string) time.Time {
			return now.Add(time.Duration(rapid.IntRange(-48, 48).Draw(t, name)) * time.Hour)
		}
		for name := range rev.Plan.Addons {
			if rapid.Bool().Draw(t, name) {
				from := hours("from")
				l.Addons = append(l.Addons, Grant{Addon: name, Quantity: rapid.Int64Range(1, 9).Draw(t, "quantity"), From: from, Until: from.Add(5 * time.Hour)})
			}
		}
		for n := range rapid.IntRange(0, 4).Draw(t, "exceptions") {
			e := Exception{ID: ExceptionID(fmt.Sprint("exc_", n)), Feature: rapid.SampledFrom([]string{"theme", "sso", "max_layers", "note"}).Draw(t, "feature"), Reason: "r", At: now, From: hours("begins")}
			e.Until = e.From.Add(7 * time.Hour)
			switch e.Feature {
			case "theme", "note":
				e.Value = text(strings.Repeat("<ä", rapid.IntRange(0, 9).Draw(t, "text")))
			case "sso":
				e.Value = on()
			default:
				e.Value = num(rapid.Int64Range(-MaxQuantity, MaxQuantity).Draw(t, "number"))
			}
			l.Exceptions = append(l.Exceptions, e)
		}
		from := hours("now")
		most, err := LargestDocument(rev, l, from)
		if err != nil {
			t.Fatal(err)
		}
		later := from.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "later")) * time.Hour)
		terms, err := Compile(rev, l, later)
		if err != nil {
			t.Fatal(err)
		}
		w, _ := terms.Window("calls", Window{}, later)
		doc, err := terms.Document(later, map[string]Used{"calls": {w, rapid.Int64Range(0, MaxQuantity).Draw(t, "used")}})
		if err != nil {
			t.Fatal(err)
		}
		for part, sizes := range map[string][2]int{
			"features": {jsonLen(doc.Features), most.Features}, "fallback": {jsonLen(doc.Fallback), most.Fallback},
			"pools": {jsonLen(doc.Pools), most.Pools}, "meters": {jsonLen(doc.Meters), most.Meters},
			"document": {jsonLen(doc), most.Total()},
		} {
			if sizes[0] > sizes[1] {
				t.Fatalf("%s take %d bytes, and %d was the most", part, sizes[0], sizes[1])
			}
		}
	})
}

// TestALicenseOfAnyPartTooLargeIsRefused: whichever part of it is large.
func TestALicenseOfAnyPartTooLargeIsRefused(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	long := strings.Repeat("x", 400)
	for what, change := range map[string]func(p *Plan, l *License){
		"features": func(p *Plan, _ *License) {
			for n := range 150 {
				p.Features[fmt.Sprint("feature-", n)] = FeatureRule{Value: text(long)}
			}
		},
		"the fallback": func(p *Plan, _ *License) {
			for n := range 150 {
				p.Fallback[fmt.Sprint("feature-", n)] = text(long)
			}
		},
		"pools": func(p *Plan, _ *License) {
			for n := range 500 {
				p.Pools[fmt.Sprint("pool-", n)] = p.Pools["seats"]
			}
		},
		"meters": func(p *Plan, _ *License) {
			for n := range 300 {
				p.Meters[fmt.Sprint("meter-", n)] = p.Meters["calls"]
			}
		},
		"exceptions to come": func(_ *Plan, l *License) {
			for n := range 150 {
				l.Exceptions = append(l.Exceptions, Exception{ID: ExceptionID(fmt.Sprint("exc_", n)), Feature: fmt.Sprint("feature-", n), Value: text(long),
					Reason: "r", At: now, From: now.AddDate(0, 1, 0)})
			}
		},
	} {
		p := studio()
		rev, l := issued(t, p, now)
		if _, err := Fit(rev, l, now); err != nil {
			t.Fatalf("%s: the plan as it is: %v", what, err)
		}
		change(&p, &l)
		rev.Plan = p
		if _, err := Compile(rev, l, now); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		named := what
		if what == "exceptions to come" {
			named = "features"
		}
		if _, err := Fit(rev, l, now); CodeOf(err) != Conflict || !strings.Contains(err.Error(), fmt.Sprint(license.MaxDocument)+" ("+named) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
