package licensing

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

// everything is a plan with every possible setting, and a license of it with
// the edition, the add-on and the rest.
func everything() Plan {
	on, many := license.BoolValue(true), license.IntValue(9)
	return Plan{
		Product: "lathe", Name: "studio", Title: "Studio", Channel: "stable", Edition: "pro",
		Term:     TermRule{Length: Length{Months: 12, Days: 1, Seconds: 1}, Maintenance: Length{Months: 12, Days: 1, Seconds: 1}, Start: StartIssue, Renewal: RenewAnchored, Grace: 86400},
		Features: map[string]FeatureRule{"export": {Value: on, For: Length{Months: 1, Days: 1, Seconds: 1}, Until: at("2026-01-20T00:00:00Z")}, "layers": {Value: license.IntValue(5)}},
		Fallback: map[string]license.Value{"export": on},
		Editions: map[string]Edition{"pro": {Features: map[string]FeatureRule{"render": {Value: on, For: Length{Months: 1, Days: 1, Seconds: 1}, Until: at("2026-01-20T00:00:00Z")}}}},
		Addons: map[string]Addon{"more": {
			Features: map[string]AddonFeature{"layers": {Value: many, Add: true}},
			Pools:    map[string]Adjustment{"seats": {Add: true, Amount: 5}}, Meters: map[string]Adjustment{"calls": {Add: true, Amount: 500}},
		}},
		Pools: map[string]Pool{"seats": {
			Holder: "user", Capacity: 100, Lease: 900, Grace: 60, Borrow: 3600, Overdraft: Overdraft{Units: 1, Percent: 10, For: 60},
			Share: ShareNone, Full: FullQueue, Queue: Queue{Wait: 60, Max: 10}, Match: Match{Need: 3, Of: 5},
		}},
		Meters: map[string]Meter{"calls": {
			Unit: "call", Scale: 2, Quota: 100_000, Per: PerMonth, Anchor: AnchorCalendar, Zone: "UTC",
			Soft: Limit{Amount: 50_000}, Hard: Limit{Amount: 200_000}, Overage: true, Full: FullDeny,
		}},
		Documents: DefaultDocuments(), RevocationBound: 86400 * 90,
	}
}

// unseen are the fields of a plan that change nothing for an existing license,
// with the reasons.
var unseen = map[string]string{
	"Product":         "a plan stays with its product",
	"Name":            "and keeps its name",
	"Title":           "a name for people",
	"Channel":         "it points to a revision and is no part of it",
	"RevocationBound": "a promise of the vendor to itself, which lint holds it to",
	"Soft.Percent":    "beside an amount, which counts; alone it is tested below",
	"Hard.Percent":    "the same",
}

// TestComparingSeesEveryFieldOfAPlan changes each field of a plan, one at a
// time, and expects a difference. It covers new fields without a change to the test.
func TestComparingSeesEveryFieldOfAPlan(t *testing.T) {
	now := at("2026-01-10T00:00:00Z")
	l := License{ID: "lic_1", Customer: "cus_1", Product: "lathe", Plan: "studio", Status: Active, Start: at("2026-01-01T00:00:00Z"), Addons: []Grant{{Addon: "more", Quantity: 1}}}
	compiled := func(p Plan) Terms {
		return mustCompile(t, Revision{ID: "r", Plan: p}, l, now)
	}
	before, seen := compiled(everything()), 0
	// What ends in a while is compared by its end, of which For and Until are two sides.
	alone := map[string]func(*Plan){
		"For": func(p *Plan) { set(p, func(r *FeatureRule) { r.Until = time.Time{} }) }, "Until": func(p *Plan) { set(p, func(r *FeatureRule) { r.For = Length{} }) },
	}
	for _, path := range leaves(reflect.TypeFor[Plan]()) {
		if why := unseen[path]; why != "" || unseen[lastTwo(path)] != "" {
			continue
		}
		from, to := everything(), everything()
		for part, only := range alone {
			if strings.Contains(path, part+".") || strings.HasSuffix(path, part) {
				only(&from)
				only(&to)
			}
		}
		alter(t, reflect.ValueOf(&to).Elem(), strings.Split(path, "."))
		e := Compare(compiled(from), compiled(to), nil, now)
		if len(e.Changes) == 0 {
			t.Errorf("%s: nobody is told that it changes", path)
		}
		for _, d := range e.Changes {
			if d.From == d.To {
				t.Errorf("%s: %+v", path, d)
			}
		}
		seen++
	}
	if seen < 55 || len(Compare(before, compiled(everything()), nil, now).Changes) != 0 {
		t.Errorf("%d fields were changed, or the same plan differs", seen)
	}
	for _, limit := range []func(*Meter) *Limit{func(m *Meter) *Limit { return &m.Soft }, func(m *Meter) *Limit { return &m.Hard }} {
		from, to := everything(), everything()
		for p, percent := range map[*Plan]int64{&from: 120, &to: 130} {
			m := p.Meters["calls"]
			*limit(&m) = Limit{Percent: percent}
			p.Meters["calls"] = m
		}
		if len(Compare(compiled(from), compiled(to), nil, now).Changes) == 0 {
			t.Error("a percentage changes and nobody is told")
		}
	}
}

// set changes all rules of features in a plan.
func set(p *Plan, change func(*FeatureRule)) {
	for _, rules := range []map[string]FeatureRule{p.Features, p.Editions["pro"].Features} {
		for name, r := range rules {
			change(&r)
			rules[name] = r
		}
	}
}

func lastTwo(path string) string {
	parts := strings.Split(path, ".")
	return strings.Join(parts[max(0, len(parts)-2):], ".")
}

// leaves returns the paths to the fields of a type that contain no other fields. A map is
// a field named *.
func leaves(of reflect.Type) []string {
	if of.Kind() == reflect.Map {
		return under("*", leaves(of.Elem()))
	}
	if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() || of == reflect.TypeFor[license.Value]() {
		return []string{""}
	}
	var all []string
	for f := range fieldsOf(of) {
		all = append(all, under(f.Name, leaves(f.Type))...)
	}
	return all
}

func fieldsOf(of reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(of) {
			if f.IsExported() && !yield(f) {
				return
			}
		}
	}
}

func under(name string, paths []string) []string {
	all := slices.Clone(paths)
	for i, p := range all {
		all[i] = strings.TrimSuffix(name+"."+p, ".")
	}
	return all
}

// others are values for fields that accept only certain texts.
var others = map[reflect.Type]any{
	reflect.TypeFor[StartBasis](): StartDate, reflect.TypeFor[RenewalBasis](): RenewFromNow, reflect.TypeFor[Share](): ShareHolder, reflect.TypeFor[Full](): FullFallback,
	reflect.TypeFor[Period](): PerYear, reflect.TypeFor[Anchor](): AnchorLicense, reflect.TypeFor[time.Time](): at("2026-01-15T00:00:00Z"),
}

// alter gives the field at a path another value.
func alter(t *testing.T, v reflect.Value, path []string) {
	t.Helper()
	if len(path) > 0 && path[0] == "*" {
		key := slices.MinFunc(v.MapKeys(), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		inner := reflect.New(v.Type().Elem()).Elem()
		inner.Set(v.MapIndex(key))
		alter(t, inner, path[1:])
		v.SetMapIndex(key, inner)
		return
	}
	if len(path) > 0 && path[0] != "" {
		alter(t, v.FieldByName(path[0]), path[1:])
		return
	}
	if v.Type() == reflect.TypeFor[license.Value]() { // of the kind that it is
		was := v.Interface().(license.Value)
		next := license.BoolValue(false)
		if n, isInt := was.Int(); isInt {
			next = license.IntValue(n + 1)
		}
		v.Set(reflect.ValueOf(next))
		return
	}
	if other, ok := others[v.Type()]; ok {
		v.Set(reflect.ValueOf(other))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.String:
		if v.String() == "UTC" {
			v.SetString("Europe/Berlin")
			return
		}
		v.SetString(v.String() + "x")
	default:
		t.Fatal(fmt.Sprint("a field of the kind ", v.Kind(), " is not altered"))
	}
}

func TestLessWhenNothingIsLeftIsALoss(t *testing.T) {
	now := at("2026-01-10T00:00:00Z")
	terms := func(change func(*Pool)) Terms {
		p := everything().Pools["seats"]
		change(&p)
		return Terms{Pools: map[string]Pool{"seats": p}}
	}
	same := func(*Pool) {}
	for what, c := range map[string]struct {
		from, to func(*Pool)
		want     string
		trend    Trend
	}{
		"no queue":         {same, func(p *Pool) { p.Full, p.Queue = FullDeny, Queue{} }, "pool seats full: queue → deny", Loss},
		"a shorter wait":   {same, func(p *Pool) { p.Queue.Wait = 30 }, "pool seats queue wait: 1m → 30s", Loss},
		"the longest":      {same, func(p *Pool) { p.Queue.Wait = 0 }, "pool seats queue wait: 1m → 1d", Gain},
		"a stricter match": {same, func(p *Pool) { p.Match.Need = 4 }, "pool seats match: 3 of 5 → 4 of 5", Loss},
		"no match":         {same, func(p *Pool) { p.Match = Match{} }, "pool seats match: 3 of 5 → the holder's id", Neither},
		"no overdraft end": {same, func(p *Pool) { p.Overdraft.For = 0 }, "pool seats overdraft for: 1m → no end", Gain},
		"no sharing":       {func(p *Pool) { p.Share = ShareHolder }, same, "pool seats share: holder → none", Loss},
	} {
		e := Compare(terms(c.from), terms(c.to), nil, now)
		if len(e.Changes) != 1 || e.Changes[0].String() != c.want || e.Changes[0].Trend != c.trend {
			t.Errorf("%s: %v, want %s (%s)", what, e.Changes, c.want, c.trend)
		}
	}
}
