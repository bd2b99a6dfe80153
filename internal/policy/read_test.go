package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// files reads every plan file below a folder.
func files(t *testing.T, pattern string) []File {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no plan files at %s: %v", pattern, err)
	}
	var all []File
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, File{Name: filepath.Base(name), Text: string(text)})
	}
	return all
}

// one reads a text that contains exactly one plan without a fault.
func one(t *testing.T, text string) licensing.Plan {
	t.Helper()
	sources, findings := Read([]File{{Name: "plan.yaml", Text: text}})
	if len(findings) != 0 || len(sources) != 1 {
		t.Fatalf("%d plans and %v", len(sources), findings)
	}
	return sources[0].Plan
}

func TestEveryExamplePlanIsWithoutAFinding(t *testing.T) {
	for _, pattern := range []string{"testdata/plans/*.yaml", "../../examples/plans/*.yaml"} {
		sources, findings := Read(files(t, pattern))
		findings = append(findings, Lint(sources, licensing.Development)...)
		if len(findings) != 0 || len(sources) == 0 {
			t.Errorf("%s: %d plans, findings %v", pattern, len(sources), findings)
		}
	}
}

func TestAPlanSaysWhatItsFileSays(t *testing.T) {
	p := one(t, `
product: lathe
plan: studio
name: Lathe Studio
channel: beta
edition: pro
term: {length: 1y, start: first-use, renewal: from-now, grace: 3d}
features: {export: true, max_layers: 50, theme: dark, code: "007", beta: {value: true, for: 30d, until: 2027-01-31}}
fallback: {export: false, max_layers: 5}
editions: {pro: {features: {render: true}}}
addons: {extra: {features: {render: true, max_layers: +10}, pools: {seats: +5}, meters: {gb: 100.5}}}
pools:
  seats: {holder: user, capacity: 5, lease: 15m, grace: 1h, borrow: 30d, overdraft: {percent: 20%, for: 7d}, full: queue, share: holder, queue: {wait: 1h, max: 100}}
  machines: {holder: machine, capacity: 3, lease: none, match: {need: 3, of: 5}, show_holders: true, recall: 2m}
meters:
  gb: {unit: GB, scale: 3, quota: 12.5, per: month, anchor: calendar, zone: Europe/Berlin, soft: 80%, hard: 15, overage: allow, full: fallback}
documents: {life: 7d, refresh: 24h, stale: 48h, grace: 14d, fallback: 30d}
revocation_bound: 60d
`)
	const day = 86400
	want := map[string]bool{
		"names":     p.Product == "lathe" && p.Name == "studio" && p.Title == "Lathe Studio" && p.Channel == "beta" && p.Edition == "pro",
		"term":      p.Term == licensing.TermRule{Length: licensing.Length{Months: 12}, Start: licensing.StartFirstUse, Renewal: licensing.RenewFromNow, Grace: 3 * day},
		"switch":    p.Features["export"].Value == license.BoolValue(true),
		"number":    p.Features["max_layers"].Value == license.IntValue(50),
		"text":      p.Features["theme"].Value == license.TextValue("dark") && p.Features["code"].Value == license.TextValue("007"),
		"own end":   p.Features["beta"].For == licensing.Length{Days: 30} && p.Features["beta"].Until.Format("2006-01-02T15:04Z07") == "2027-01-31T00:00Z",
		"fallback":  p.Fallback["max_layers"] == license.IntValue(5),
		"edition":   p.Editions["pro"].Features["render"].Value == license.BoolValue(true),
		"add-on":    p.Addons["extra"].Features["max_layers"] == licensing.AddonFeature{Value: license.IntValue(10), Add: true},
		"add seats": p.Addons["extra"].Pools["seats"] == licensing.Adjustment{Add: true, Amount: 5},
		"raise":     p.Addons["extra"].Meters["gb"] == licensing.Adjustment{Amount: 100500},
		"pool": p.Pools["seats"] == licensing.Pool{Holder: "user", Capacity: 5, Lease: 900, Grace: 3600, Borrow: 30 * day,
			Overdraft: licensing.Overdraft{Percent: 20, For: 7 * day}, Full: licensing.FullQueue, Share: licensing.ShareHolder, Queue: licensing.Queue{Wait: 3600, Max: 100}},
		"machines":  p.Pools["machines"].Endless() && p.Pools["machines"].Match == licensing.Match{Need: 3, Of: 5} && p.Pools["machines"].Share == licensing.ShareHolder && p.Pools["machines"].ShowHolders && p.Pools["machines"].Recall == 120,
		"meter":     p.Meters["gb"].Quota == 12500 && p.Meters["gb"].Soft.Percent == 80 && p.Meters["gb"].Hard.Amount == 15000 && p.Meters["gb"].Overage,
		"documents": p.Documents == licensing.DefaultDocuments(),
		"bound":     p.RevocationBound == 60*day,
	}
	for what, ok := range want {
		if !ok {
			t.Errorf("%s is not read: %+v", what, p)
		}
	}
}

// A plan is the same in every encoding that editors use, and with spaces copied from a web
// page.
func TestAPlanIsReadInEveryEncoding(t *testing.T) {
	const text = "product: a\nplan: b\nname: Müller 東京\nterm: {length: 1y}\npools:\n  seats: {holder: user, capacity: 2, lease: 15m}\n"
	want := one(t, text)
	wide := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(strings.ReplaceAll(text, "\n", "\r\n"))) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	for _, file := range []string{"\ufeff" + text, strings.ReplaceAll(text, "\n", "\r\n"), string(wide), strings.ReplaceAll(text, "  seats: {", "\u00a0\u00a0seats:\u00a0{")} {
		if p := one(t, file); !reflect.DeepEqual(p, want) {
			t.Errorf("%q is %+v", file, p)
		}
	}
}

func TestDefaultsFollowTheLifeOfDocuments(t *testing.T) {
	p := one(t, "{product: a, plan: b, term: {length: 1y}, documents: {life: 20s}}")
	if d := p.Documents; d.Refresh != 2 || d.Stale != 5 || d.Life != 20 || d.Check() != nil {
		t.Errorf("documents are %+v", d)
	}
	if p := one(t, "{product: a, plan: b, term: {length: 14d, trial: true}}"); p.Documents.Grace != 0 {
		t.Errorf("a trial has an offline grace of %v", p.Documents.Grace)
	}
}

func TestSharedEditionsAndAddonsReachEveryPlanOfTheProduct(t *testing.T) {
	sources, findings := Read([]File{
		{Name: "a.yaml", Text: "product: lathe\nplan: one\nedition: pro\nterm: {length: 1y}\nmeters: {gb: {unit: GB, scale: 2, quota: 1, per: day}}\n"},
		{Name: "b.yaml", Text: "product: lathe\neditions: {pro: {features: {render: true}}}\naddons: {more: {meters: {gb: +5}}}\n---\nproduct: mill\nplan: one\nterm: {length: 1y}\n"},
	})
	if len(findings) != 0 || len(sources) != 2 {
		t.Fatalf("%v %v", sources, findings)
	}
	p, other := sources[0].Plan, sources[1].Plan
	if !p.Editions["pro"].Features["render"].Value.On() || p.Addons["more"].Meters["gb"].Amount != 500 {
		t.Errorf("the plan has editions %v and add-ons %v", p.Editions, p.Addons)
	}
	if other.Editions != nil || other.Addons != nil {
		t.Errorf("another product has them too: %+v", other)
	}
}

func TestFaultsNameTheirPlaceAndCode(t *testing.T) {
	base := "product: a\nplan: b\nterm: {length: 1y}\n"
	for _, c := range []struct{ text, want string }{
		{base + "pools:\n  seats: {holder: user, capacity: 2, lease: 15m, capcity: 3}\n", "5:50 unknown-field pools.seats.capcity did you mean capacity"},
		{base + "features: {a: 1, a: 2}\n", "4:18 duplicate-field features.a"},
		{base + "colour: red\n", "4:1 unknown-field colour the known fields are"},
		{base + "features: {a: 1.5}\n", "4:15 wrong-type features.a quotes"},
		{base + "features: {a: yes}\n", "4:15 wrong-type features.a quotes"},
		{base + "features: {a: }\n", "4:15 wrong-type features.a nothing"},
		{base + "features: {a: [1]}\n", "4:15 wrong-type features.a a list"},
		{base + "features: {a: &x 1, b: *x}\n", "4:15 alias features.a"},
		{base + "features: {A: 1}\n", "4:12 bad-name features.A"},
		{base + "name: \u202ekcuM\n", "4:7 bad-value name RFC 8264"},
		{base + "name: \"M\\ud800ller\"\n", "4:11 yaml"},
		{base + "name: M\xfcller\n", "4:1 not-text"},
		{base + "name: M\ufffdller\n", "4:1 not-text"},
		{base + "features: {a: \"x\\ud800\"}\n", "4:19 yaml"},
		{base + "features: [a]\n", "4:11 wrong-type features expects fields"},
		{base + "pools: {seats: {holder: user, capacity: 2, lease: 1mo}}\n", "4:51 bad-value pools.seats.lease no fixed length"},
		{base + "pools: {seats: {holder: user, capacity: 2, lease: 0s}}\n", "4:51 bad-value pools.seats.lease write none"},
		{base + "pools: {seats: {holder: user, capacity: -2, lease: 1m}}\n", "4:41 bad-value pools.seats.capacity"},
		{base + "pools: {seats: {holder: user, capacity: 2, lease: 1m, full: maybe}}\n", "4:61 bad-value pools.seats.full"},
		{base + "pools: {seats: {capacity: 2, lease: 1m}}\n", "4:16 missing-field pools.seats.holder"},
		{base + "pools: {seats: {holder: user, capacity: 2, lease: none, grace: 1h}}\n", "4:51 bad-value pools.seats.lease"},
		{base + "meters: {calls: {unit: call, quota: 1.5, per: day}}\n", "4:37 bad-value meters.calls.quota decimal places"},
		{base + "meters: {calls: {unit: call, quota: 10, per: fortnight}}\n", "4:46 bad-value meters.calls.per"},
		{base + "meters: {calls: {unit: call, quota: 10, per: day, zone: Mars/Olympus}}\n", "4:57 bad-value meters.calls.zone IANA"},
		{base + "meters: {calls: {unit: call, quota: 10, per: day, zone: Local}}\n", "4:57 bad-value meters.calls.zone depends"},
		{base + "meters: {calls: {unit: call, quota: 10, per: day, soft: 11}}\n", "4:57 bad-value meters.calls.soft above the hard limit"},
		{base + "addons: {x: {pools: {seats: -1}}}\n", "4:29 bad-value addons.x.pools.seats"},
		{base + "documents: {life: 1h, stale: 2h}\n", "4:19 bad-value documents.life shorter than stale"},
		{base + "---\n" + base, "6:7 duplicate-plan plan"},
		{"product: a\nplan: b\nterm: {length: 14d, trial: true, grace: 1d}\n", "3:41 bad-value term.grace trial"},
		{"product: a\nplan: b\nterm: {length: 14d, once: customer}\n", "3:27 bad-value term.once only to a trial"},
		{"product: a\nplan: b\nterm: {length: 14d, trial: true, once: user}\n", "3:40 bad-value term.once customer or machine"},
		{"product: a\nplan: b\nterm: {length: 1y, perpetual: true}\n", "3:16 bad-value term.length perpetual"},
		{"product: a\nplan: b\n", "1:1 missing-field term"},
		{"product: a\nplans: b\nterm: {length: 1y}\n", "2:1 unknown-field plans did you mean plan"},
		{"product: a\n", "1:1 missing-field plan"},
		{"plan: b\nterm: {length: 1y}\n", "1:1 missing-field product"},
		{"product: a\nplan: b\nterm: [\n", "4:1 yaml"},
		{"\tproduct: a", "1:1 yaml"},
		{"- a\n", "1:1 wrong-type  a list"},
		{"", "1:1 empty"},
		{"product: a\nplan: b\nterm: {length: 1y}\nname: \"b\\e[2J\"\n", "4:7 bad-value name"},
		{"product: a\nplan: b\nterm: {length: 1y}\nfeatures: {theme: \"a\\0b\"}\n", "4:19 bad-value features.theme"},
		{strings.Repeat("#", MaxFile+1), "1:1 too-large"},
	} {
		sources, findings := Read([]File{{Name: "p.yaml", Text: c.text}})
		found := false
		for _, f := range findings {
			line := strings.Join([]string{place(f), f.Code, f.Path, f.Message}, " ")
			found = found || contains(line, c.want)
		}
		if !found {
			t.Errorf("%.200q: want %q, got %v", c.text, c.want, findings)
		}
		if len(sources) > 0 && !strings.Contains(c.want, "duplicate-plan") {
			t.Errorf("%.200q: a plan with a fault is returned", c.text)
		}
	}
}

func TestAFileFullOfFaultsIsCutShort(t *testing.T) {
	var text strings.Builder
	text.WriteString(plain + "pools:\n")
	for i := range 5000 {
		fmt.Fprintf(&text, "  p%d: {x: 1}\n", i)
	}
	text.WriteString("---\nproduct: a\nplan: c\nterm: {}\n")
	sources, findings := Read([]File{{Name: "p.yaml", Text: text.String()}})
	if len(sources) != 0 {
		t.Error("a plan with a fault that is not listed is returned")
	}
	if len(findings) != maxFindings+1 || !slices.ContainsFunc(findings, func(f Finding) bool { return f.Code == "too-many" }) {
		t.Errorf("%d findings", len(findings))
	}
}

// contains reports whether line begins with the place and code that want
// begins with, and has the rest of it.
func contains(line, want string) bool {
	words := strings.SplitN(want, " ", 4)
	if len(words) < 4 {
		return strings.HasPrefix(line, want)
	}
	return strings.HasPrefix(line, strings.Join(words[:3], " ")) && strings.Contains(line, words[3])
}

func place(f Finding) string {
	return strings.TrimPrefix(strings.SplitN(f.String(), ": ", 2)[0], "p.yaml:")
}

func FuzzRead(f *testing.F) {
	f.Add("product: a\nplan: b\nterm: {length: 1y}\npools: {s: {holder: u, capacity: 1, lease: 1m}}\n")
	f.Add("{a: [}")
	f.Fuzz(func(t *testing.T, text string) {
		sources, findings := Read([]File{{Name: "p.yaml", Text: text}})
		if len(sources) == 0 && len(findings) == 0 && !strings.Contains(text, "editions") && !strings.Contains(text, "addons") {
			t.Fatal("neither a plan nor a finding")
		}
		for _, s := range sources {
			if _, err := licensing.NewRevision(s.Plan); err != nil {
				t.Fatalf("a plan that was read has no revision: %v", err)
			}
			Lint([]Source{s}, licensing.Production)
		}
	})
}

// TestLintNamesEveryFaultInOnePass: an unreadable part hides neither contradictions
// beside it, nor broken promises elsewhere, nor faults of another plan. A mere
// consequence of a fault is not reported.
func TestLintNamesEveryFaultInOnePass(t *testing.T) {
	_, findings := Check([]File{{Name: "a.yaml", Text: `product: a
plan: one
term: {perpetual: true, length: 1y, grace: 3d, start: sometime}
edition: gold
features: {export: yes}
fallback: {export: false}
pools:
  seats: {holder: user, capacity: many, lease: 15m, borrow: 1m, full: queue, share: some}
  line: {holder: user, capacity: 1, lease: none, full: queue}
  spare: {holder: user, capacity: 1, lease: 15m, full: que, queue: {max: 3}}
meters: {calls: {unit: call, quota: 1.5, soft: 50, hard: 100, per: week, zone: Mars, full: never}}
documents: {life: 1h, refresh: 2h, stale: 3h, grace: 30d}
revocation_bound: 1d
colour: red
---
product: a
plan: two
term: {length: 1y}
fallback: {none: true}
`}, {Name: "b.yaml", Text: "product: b\nplan: [\n"}}, licensing.Production)
	var got []string
	for _, f := range findings {
		got = append(got, f.Code+" "+f.Path)
	}
	want := []string{
		"bad-value term.grace", "bad-value term.length", "bad-value term.start", "unknown-edition edition", "wrong-type features.export",
		"wrong-type pools.seats.capacity", "bad-value pools.seats.borrow", "bad-value pools.seats.share", "queue-endless pools.line.full", "bad-value pools.spare.full",
		"bad-value meters.calls.quota", "bad-value meters.calls.per", "bad-value meters.calls.zone", "bad-value meters.calls.full",
		"bad-value documents.life", "unknown-field colour", "unknown-feature fallback.none", "yaml ",
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%s is not named", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("%s follows from another fault", g)
		}
	}
}
