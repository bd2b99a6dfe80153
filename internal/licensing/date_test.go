package licensing

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

// TestNoComputedDateLeavesTheCalendar begins, renews, extends and reads licenses of any
// length at any valid time. Every computed date can be written.
func TestNoComputedDateLeavesTheCalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := drawDate(t, "now")
		rule := TermRule{Length: drawLength(t, "length"), Maintenance: drawLength(t, "maintenance"), Start: StartDate,
			Renewal: rapid.SampledFrom([]RenewalBasis{RenewAnchored, RenewFromNow}).Draw(t, "renewal"), Grace: drawSpan(t, "grace")}
		rule.Perpetual = rule.Length.IsZero()
		l := rule.Begin(License{Product: "lathe", Plan: "p", Customer: "cus_1", Status: Active, Payment: Paid}, drawDate(t, "start"))
		for range 3 {
			renewed, err := rule.Renew(l, l.ThisEnd(), now)
			if err != nil {
				break
			}
			l = renewed
		}
		plan := Plan{Product: "lathe", Name: "p", Term: rule,
			Features:  map[string]FeatureRule{"f": {Value: license.BoolValue(true), For: drawLength(t, "feature")}},
			Documents: Documents{Life: drawSpan(t, "life"), Refresh: 1, Stale: 1, Grace: drawSpan(t, "offline grace"), Fallback: drawSpan(t, "fallback")},
			Meters: map[string]Meter{"m": {Unit: "call", Full: FullDeny, Per: rapid.SampledFrom([]Period{PerHour, PerDay, PerMonth, PerYear, PerTerm}).Draw(t, "per"),
				Anchor: AnchorLicense, Zone: "UTC"}}}
		terms, err := Compile(mustRevision(t, plan), l, now)
		if err != nil {
			t.Fatal(err)
		}
		w, _ := terms.Window("m", Window{}, now)
		f := terms.Features["f"]
		doc, err := terms.Document(now, nil)
		if err != nil && CodeOf(err) != Gone {
			t.Fatal(err)
		}
		for _, n := range []int64{doc.Expires, doc.Degraded, doc.Due, doc.Term.RenewalGraceEnd, terms.InForce(now).NextAt} {
			if n < 0 || n > MaxQuantity {
				t.Fatalf("the date %d in a document", n)
			}
		}
		for _, v := range []any{l, w, f.Until, terms.Limit(), Later(terms.Limit(), plan.Documents.Fallback.Duration())} {
			if text, err := json.Marshal(v); err != nil {
				t.Fatalf("%+v: %v", v, err)
			} else if len(text) == 0 {
				t.Fatal("nothing is written")
			}
		}
	})
}

// drawDate draws a date, often one of the first or last possible ones.
func drawDate(t *rapid.T, what string) time.Time {
	at := rapid.OneOf(rapid.Int64Range(firstDate, lastDate-1), rapid.Int64Range(lastDate-3*366*86400, lastDate-2*366*86400),
		rapid.Int64Range(firstDate, 366*86400), rapid.Int64Range(1_700_000_000, 1_900_000_000)).Draw(t, what)
	return time.Unix(at, 0).UTC()
}

// drawLength draws a length that a plan file can contain, including none.
func drawLength(t *rapid.T, what string) Length {
	switch rapid.IntRange(0, 3).Draw(t, what+" in") {
	case 0:
		return Length{}
	case 1:
		return Length{Months: rapid.IntRange(1, maxYears*12).Draw(t, what)}
	case 2:
		return Length{Days: rapid.IntRange(1, maxYears*366).Draw(t, what)}
	}
	return Length{Seconds: rapid.Int64Range(1, maxYears*366*86400).Draw(t, what)}
}

func drawSpan(t *rapid.T, what string) Span {
	return Span(rapid.Int64Range(1, maxYears*366*86400).Draw(t, what))
}

func TestDatesOutsideTheCalendarAreRefused(t *testing.T) {
	for _, text := range []string{
		"0001-01-01", "0001-01-01T00:00:00Z", "0000-12-31", "1969-12-31T23:59:59Z", "1970-01-01", "1970-01-01T00:00:00Z",
		"9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "10000-01-01", "", "now",
	} {
		if d, err := ParseDate(text); CodeOf(err) != Invalid {
			t.Errorf("%q is read as %v", text, d)
		}
	}
	for _, text := range []string{"1970-01-01T00:00:01Z", "1970-01-02", "2027-01-31T12:00:00+02:00", "9999-12-31", "9999-12-31T23:59:58Z"} {
		d, err := ParseDate(text)
		if err != nil || CheckDate("d", d) != nil || d.Location() != time.UTC {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
	if err := CheckDate("end", Length{Months: 12 * maxYears}.After(time.Unix(firstDate, 0))); CodeOf(err) != Invalid {
		t.Errorf("a length that leads beyond the year 9999: %v", err)
	}
}

func FuzzParseDate(f *testing.F) {
	f.Add("2027-01-31")
	f.Add("9999-12-31T23:59:59-23:59")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDate(s)
		if err != nil {
			return
		}
		again, err := ParseDate(d.Format(time.RFC3339Nano))
		if err != nil || !again.Equal(d) {
			t.Fatalf("%q reads as %v, then as %v, %v", s, d, again, err)
		}
	})
}
