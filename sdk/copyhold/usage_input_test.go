//go:build go1.25

package copyhold

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// Usage that no server would count is refused when it is recorded, and blocks nothing else.
func TestUsageThatCannotBeCountedIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		for what, err := range map[string]error{
			"a quantity below zero":    c.Record("calls", -1),
			"a fraction below zero":    c.RecordUsage(Usage{Meter: "calls", Quantity: "-0.5"}),
			"an unknown meter":         c.Record("pages", 1),
			"no meter":                 c.Record("", 1),
			"more than can be counted": c.Record("calls", 1<<53),
			"a time in year 1":         c.RecordUsage(Usage{Meter: "calls", Quantity: "1", At: time.Time{}.Add(time.Second)}),
			"a time before 1970":       c.RecordUsage(Usage{Meter: "calls", Quantity: "1", At: time.Unix(-1, 0)}),
			"a time in year 10000":     c.RecordUsage(Usage{Meter: "calls", Quantity: "1", At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}),
			"one of two":               c.RecordUsage(Usage{Meter: "calls", Quantity: "1"}, Usage{Meter: "pages", Quantity: "1"}),
		} {
			if !errors.Is(err, ErrUsage) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := c.Record("calls", 0); err != nil {
			t.Error(err)
		}
		if err := c.Record("calls", 1<<53-1); err != nil {
			t.Error(err)
		}
		pass(2 * time.Minute)
		if n := w.counted(); n != 2 {
			t.Errorf("%d events are counted", n)
		}
	})
}

// A document that only states that its license was suspended omits the meters. Usage is kept, and
// the server decides about it.
func TestUsageIsKeptForALicenseThatIsToldItsEndAlone(t *testing.T) {
	u := Usage{ID: "a", Meter: "calls", Quantity: "1", At: time.Now()}
	for status, kept := range map[string]bool{license.Active: false, license.Suspended: true, license.Revoked: true} {
		if err := u.check(&license.License{Status: status}); (err == nil) != kept {
			t.Errorf("%s: %v", status, err)
		}
	}
}

// The meters of a license that was never seen are not known, so its usage is kept.
func TestUsageIsKeptBeforeALicenseIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.net.cut("one.test", true)
		c := w.open(t, w.options())
		if err := c.Record("calls", 1); err != nil {
			t.Fatal(err)
		}
		w.net.cut("one.test", false)
		pass(30 * time.Minute)
		if n := w.counted(); n != 1 {
			t.Errorf("%d events are counted", n)
		}
	})
}

func TestAReleaseDateOutsideTheCalendarIsAWrongOption(t *testing.T) {
	v := newVendor(t, time.Now)
	for _, at := range []time.Time{time.Unix(0, 0), time.Time{}.Add(1), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		o := v.options()
		o.Released = at
		if _, _, err := o.ready(func(string) string { return "" }); err == nil {
			t.Errorf("%v is accepted", at)
		}
	}
}
