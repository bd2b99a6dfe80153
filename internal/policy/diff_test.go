package policy

import (
	"slices"
	"strings"
	"testing"

	"copyhold.dev/internal/licensing"
)

func TestADiffSaysEachDifferenceAndWhomItServes(t *testing.T) {
	from := one(t, plain+`name: B
features: {export: true, layers: 50, theme: dark}
pools: {seats: {holder: user, capacity: 5, lease: 15m, borrow: 7d}}
meters: {calls: {unit: call, quota: 1000, per: month}}
`)
	to := one(t, strings.Replace(plain, "1y", "2y", 1)+`name: Better
features: {export: true, layers: 20, theme: light, beta: {value: true, for: 30d}}
pools: {seats: {holder: user, capacity: 10, lease: 10m, borrow: 1d}}
`)
	changes, err := Diff(from, to)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]licensing.Trend{
		"name: B → Better":                       licensing.Neither,
		"term length: 1y → 2y":                   licensing.Gain,
		"features layers value: 50 → 20":         licensing.Loss,
		"features theme value: dark → light":     licensing.Neither,
		"features beta value: new, true":         licensing.Gain,
		"features beta for: new, 30d":            licensing.Neither,
		"pools seats capacity: 5 → 10":           licensing.Gain,
		"pools seats lease: 15m → 10m":           licensing.Neither,
		"pools seats borrow: 7d → 1d":            licensing.Loss,
		"meters calls quota: gone, was 1000":     licensing.Loss,
		"meters calls unit: gone, was call":      licensing.Neither,
		"meters calls scale: gone, was 0":        licensing.Neither,
		"meters calls per: gone, was month":      licensing.Neither,
		"meters calls anchor: gone, was license": licensing.Neither,
		"meters calls zone: gone, was UTC":       licensing.Neither,
		"meters calls full: gone, was deny":      licensing.Neither,
	}
	for _, c := range changes {
		trend, known := want[c.Words]
		if !known || trend != c.Trend {
			t.Errorf("%s: %q is a %s", c.Path, c.Words, c.Trend)
		}
		delete(want, c.Words)
	}
	for words := range want {
		t.Errorf("not said: %q", words)
	}
	if same, err := Diff(from, from); err != nil || len(same) != 0 {
		t.Errorf("a plan differs from itself: %v, %v", same, err)
	}
}

func TestTwoFilesThatSayTheSameAreOneRevision(t *testing.T) {
	a := one(t, plain+"pools: {seats: {holder: user, capacity: 5, lease: 15m}}\n")
	b := one(t, "# the same, in another order and other words\npools:\n  seats:\n    lease: 900s\n    capacity: 5\n    holder: user\n    full: deny\nplan: b\nterm:\n  length: 12mo\nproduct: a\nname: b\n")
	ra, err := licensing.NewRevision(a)
	if err != nil {
		t.Fatal(err)
	}
	rb, err := licensing.NewRevision(b)
	if err != nil || ra.ID != rb.ID {
		changes, _ := Diff(a, b)
		t.Errorf("two revisions, %s and %s, %v: %v", ra.ID, rb.ID, err, changes)
	}
}

// TestADiffShowsAmountsInTheUnitThatPeopleKnow: a finer scale is no larger quota.
func TestADiffShowsAmountsInTheUnitThatPeopleKnow(t *testing.T) {
	meter := `meters: {data: {unit: GB, scale: 1, quota: 10.5, per: month, soft: 5, hard: 20, overage: allow}}
addons: {more: {meters: {data: +2.5}}}
`
	from := one(t, plain+meter)
	to := one(t, plain+strings.NewReplacer("scale: 1", "scale: 3", "hard: 20", "hard: 20.125", "+2.5", "+2.75").Replace(meter))
	changes, err := Diff(from, to)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, c := range changes {
		words = append(words, string(c.Trend)+" "+c.Words)
	}
	want := []string{"change addons more meters data amount: 2.5 → 2.75", "gain meters data hard amount: 20 → 20.125", "change meters data scale: 1 → 3"}
	if !slices.Equal(words, want) {
		t.Errorf("%q, want %q", words, want)
	}
}

func TestASharedAddonThatAScaleCannotCountIsAFinding(t *testing.T) {
	_, findings := Read([]File{{Name: "a.yaml", Text: plain + `meters: {data: {unit: GB, scale: 9, quota: 1, per: month}}
---
product: a
addons: {more: {meters: {data: +1000000000000}}}
`}})
	if len(findings) != 1 || findings[0].Path != "meters.data.scale" || !strings.Contains(findings[0].Message, "add-on more") {
		t.Errorf("%v", findings)
	}
}
