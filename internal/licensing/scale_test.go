package licensing

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestARisingScaleChangesNoAmount: an amount with decimals reads the same at
// each scale that has them, and a limit by amount or percentage decides the same.
func TestARisingScaleChangesNoAmount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, MaxScale).Draw(t, "from")
		to := rapid.IntRange(from, MaxScale).Draw(t, "to")
		n := rapid.Int64Range(-1_000_000_000, 1_000_000_000).Draw(t, "n")
		up, ok := Rescale(n, from, to)
		if !ok || FormatQuantity(up, to) != FormatQuantity(n, from) {
			t.Fatalf("%s is %s", FormatQuantity(n, from), FormatQuantity(up, to))
		}
		if down, ok := Rescale(up, to, from); !ok || down != n {
			t.Fatalf("%d there and back is %d", n, down)
		}
		m := Meter{Unit: "call", Scale: from, Quota: 100 * rapid.Int64Range(0, 1_000_000).Draw(t, "quota"), Hard: Limit{Percent: 150}, Overage: true, Full: FullDeny}
		if rapid.Bool().Draw(t, "amount") {
			m.Hard = Limit{Amount: m.Quota + rapid.Int64Range(0, 1000).Draw(t, "hard")}
		}
		times, _ := Rescale(1, from, to)
		asked := rapid.Int64Range(0, 1000).Draw(t, "asked")
		used := rapid.Int64Range(0, min(200_000_000, MaxQuantity/times-asked)).Draw(t, "used") // what can be counted at both
		fine := m.at(to)
		was, _ := m.Consume(used, asked, Window{})
		if is, _ := fine.Consume(used*times, asked*times, Window{}); is.Outcome != was.Outcome || is.Reason != was.Reason {
			t.Fatalf("%+v, at the finer scale %+v", was, is)
		}
	})
}

func TestWhatNoWholeNumberSaysIsNotRescaled(t *testing.T) {
	for _, c := range []struct {
		n        int64
		from, to int
	}{{15, 1, 0}, {1 << 62, 0, 1}, {-1 << 62, 0, 1}, {101, 2, 1}} {
		if n, ok := Rescale(c.n, c.from, c.to); ok {
			t.Errorf("%+v gives %d", c, n)
		}
	}
}

// TestExceptionsKeepTheirAmountAtEachScale: those in force, those that wait for the
// renewal, and not those that wait for another plan.
func TestExceptionsKeepTheirAmountAtEachScale(t *testing.T) {
	coarse := Terms{Meters: map[string]Meter{"calls": {Scale: 1}}}
	fine := Terms{Meters: map[string]Meter{"calls": {Scale: 3}}}
	e := Exception{Meter: "calls", Adjust: Adjustment{Add: true, Amount: 25}}
	l := License{Plan: "p", Exceptions: []Exception{e, {Pool: "calls", Adjust: Adjustment{Amount: 5}}},
		Scheduled: []Change{{Except: []Exception{e}}, {Plan: "q", Except: []Exception{e}}}}
	before := License{Plan: "p", Exceptions: slices.Clone(l.Exceptions), Scheduled: []Change{{Except: []Exception{e}}, {Plan: "q", Except: []Exception{e}}}}
	after := fine.Scaled(coarse.Scaled(l))
	for what, e := range map[string]Exception{"in force": after.Exceptions[0], "waiting": after.Scheduled[0].Except[0]} {
		if e.Scale == nil || *e.Scale != 3 || e.Adjust != (Adjustment{Add: true, Amount: 2500}) {
			t.Errorf("%s: %+v", what, e)
		}
	}
	if after.Exceptions[1].Adjust.Amount != 5 || after.Exceptions[1].Scale != nil || !reflect.DeepEqual(after.Scheduled[1].Except[0], e) {
		t.Errorf("a pool's, or another plan's: %+v", after)
	}
	if !reflect.DeepEqual(l, before) {
		t.Error("the license it was made from is altered")
	}
}
