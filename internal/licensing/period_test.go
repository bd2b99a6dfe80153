package licensing

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// zones whose clocks and calendars misbehave: half-hour changes, changes at
// midnight, a skipped day, odd offsets, a change of more than an hour.
func zones() []string {
	return []string{
		"UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Santiago",
		"Asia/Beirut", "Asia/Kathmandu", "Asia/Tehran", "Africa/Casablanca", "Africa/Cairo", "Australia/Lord_Howe",
		"Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Antarctica/Troll", "America/Havana", "Asia/Kolkata",
	}
}

func meter(per Period, anchor Anchor, zone string) Meter {
	loc, err := loadZone(zone)
	if err != nil {
		panic(err)
	}
	return Meter{Unit: "call", Quota: 10, Per: per, Anchor: anchor, Zone: zone, Full: FullDeny, location: loc}
}

func drawMeter(t *rapid.T) Meter {
	return meter(
		rapid.SampledFrom([]Period{PerHour, PerDay, PerMonth, PerYear}).Draw(t, "per"),
		rapid.SampledFrom([]Anchor{AnchorLicense, AnchorCalendar}).Draw(t, "anchor"),
		rapid.SampledFrom(zones()).Draw(t, "zone"))
}

func drawTime(t *rapid.T, what string) time.Time {
	// 1990 to 2060
	return time.Unix(rapid.Int64Range(631152000, 2840140800).Draw(t, what), 0).UTC()
}

func TestPeriodsTileTimeInEveryZone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, start, at := drawMeter(t), drawTime(t, "start"), drawTime(t, "at")
		w := m.period(at, since(start))
		if !w.Contains(at) || !w.Start.Before(w.End) {
			t.Fatalf("%v is not in its window %v to %v", at, w.Start, w.End)
		}
		inside := w.Start.Add(time.Duration(rapid.Int64Range(0, int64(w.End.Sub(w.Start))-1).Draw(t, "inside")))
		for _, other := range []time.Time{w.Start, inside, w.End.Add(-1)} {
			if same := m.period(other, since(start)); !same.Start.Equal(w.Start) || !same.End.Equal(w.End) {
				t.Fatalf("%v lies in %v to %v, but %v in %v to %v", at, w.Start, w.End, other, same.Start, same.End)
			}
		}
		if next := m.period(w.End, since(start)); !next.Start.Equal(w.End) {
			t.Fatalf("%v is followed by a window from %v", w.End, next.Start)
		}
		if before := m.period(w.Start.Add(-1), since(start)); !before.End.Equal(w.Start) {
			t.Fatalf("%v is preceded by a window until %v", w.Start, before.End)
		}
	})
}

func TestWindowsAroundEveryClockChangeTile(t *testing.T) {
	for _, zone := range zones() {
		for _, per := range []Period{PerHour, PerDay, PerMonth} {
			for _, anchor := range []Anchor{AnchorLicense, AnchorCalendar} {
				m := meter(per, anchor, zone)
				start := at("2011-01-31T23:30:15Z")
				for change := start; change.Before(at("2013-06-01T00:00:00Z")); {
					_, next := change.In(m.location).ZoneBounds()
					if next.IsZero() {
						break
					}
					tile(t, m, start, next.Add(-36*time.Hour), next.Add(36*time.Hour))
					change = next
				}
			}
		}
	}
}

// tile walks the windows from a time to another.
func tile(t *testing.T, m Meter, start, from, to time.Time) {
	t.Helper()
	w := m.period(from, since(start))
	for at := from; at.Before(to); {
		next := m.period(w.End, since(start))
		if !next.Start.Equal(w.End) || !next.Start.Before(next.End) {
			t.Fatalf("%s %s in %s: %v to %v is followed by %v to %v", m.Per, m.Anchor, m.Zone, w.Start, w.End, next.Start, next.End)
		}
		w, at = next, next.End
	}
}

func TestPeriodsBeginWherePeopleExpect(t *testing.T) {
	for _, c := range []struct {
		what             string
		per              Period
		anchor           Anchor
		zone             string
		licensed, at     string
		wantStart, wantE string
	}{
		{"a month anchored on the 31st ends in February on its last day", PerMonth, AnchorLicense, "UTC", "2026-01-31T10:00:00Z", "2026-02-15T00:00:00Z", "2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z"},
		{"and returns to the 31st", PerMonth, AnchorLicense, "UTC", "2026-01-31T10:00:00Z", "2026-03-01T00:00:00Z", "2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z"},
		{"29 February in a leap year", PerMonth, AnchorLicense, "UTC", "2027-12-31T10:00:00Z", "2028-02-29T10:00:00Z", "2028-02-29T10:00:00Z", "2028-03-31T10:00:00Z"},
		{"a year from 29 February", PerYear, AnchorLicense, "UTC", "2028-02-29T00:00:00Z", "2029-06-01T00:00:00Z", "2029-02-28T00:00:00Z", "2030-02-28T00:00:00Z"},
		{"back on 29 February", PerYear, AnchorLicense, "UTC", "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z", "2032-02-29T00:00:00Z", "2033-02-28T00:00:00Z"},
		{"the second before a boundary", PerMonth, AnchorLicense, "UTC", "2026-01-31T10:00:00Z", "2026-02-28T09:59:59Z", "2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z"},
		{"a day of 23 hours in Berlin", PerDay, AnchorCalendar, "Europe/Berlin", "2026-01-01T00:00:00Z", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"a day of 25 hours in Berlin", PerDay, AnchorCalendar, "Europe/Berlin", "2026-01-01T00:00:00Z", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"a calendar month in Berlin", PerMonth, AnchorCalendar, "Europe/Berlin", "2026-01-17T09:00:00Z", "2026-03-31T21:59:59Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"},
		{"a calendar year in New York", PerYear, AnchorCalendar, "America/New_York", "2026-07-17T09:00:00Z", "2026-07-18T00:00:00Z", "2026-01-01T05:00:00Z", "2027-01-01T05:00:00Z"},
		{"a licensed day keeps its wall time over a change", PerDay, AnchorLicense, "Europe/Berlin", "2026-03-01T08:30:00Z", "2026-03-30T07:00:00Z", "2026-03-29T07:30:00Z", "2026-03-30T07:30:00Z"},
		{"a wall time that is skipped is the change", PerDay, AnchorLicense, "Europe/Berlin", "2026-03-01T01:30:00Z", "2026-03-29T02:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		{"a wall time that is there twice is the first", PerDay, AnchorLicense, "Europe/Berlin", "2026-10-01T00:30:00Z", "2026-10-25T00:45:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"the hour that comes twice is two", PerHour, AnchorCalendar, "Europe/Berlin", "2026-01-01T00:00:00Z", "2026-10-25T01:10:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		{"the hours of a zone at three quarters", PerHour, AnchorCalendar, "Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01T00:20:00Z", "2026-01-01T00:15:00Z", "2026-01-01T01:15:00Z"},
		{"a change of half an hour makes a short hour", PerHour, AnchorCalendar, "Australia/Lord_Howe", "2026-01-01T00:00:00Z", "2026-10-03T15:40:00Z", "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"},
		{"an hour from the license's start", PerHour, AnchorLicense, "Europe/Berlin", "2026-01-01T00:17:42Z", "2026-03-29T01:00:00Z", "2026-03-29T00:17:42Z", "2026-03-29T01:17:42Z"},
		{"midnight that is skipped", PerDay, AnchorCalendar, "America/Santiago", "2026-01-01T00:00:00Z", "2026-09-06T05:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"},
		{"a day that was skipped belongs to none", PerDay, AnchorCalendar, "Pacific/Apia", "2011-01-01T00:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
		{"a time before the license began", PerMonth, AnchorLicense, "UTC", "2026-01-31T00:00:00Z", "2025-11-30T12:00:00Z", "2025-11-30T00:00:00Z", "2025-12-31T00:00:00Z"},
	} {
		w := meter(c.per, c.anchor, c.zone).period(at(c.at), since(at(c.licensed)))
		if !w.Start.Equal(at(c.wantStart)) || !w.End.Equal(at(c.wantE)) {
			t.Errorf("%s: %s to %s, want %s to %s", c.what, stamp(w.Start), stamp(w.End), c.wantStart, c.wantE)
		}
	}
}

// since is the course of a license without end.
func since(start time.Time) []time.Time { return []time.Time{start, {}} }

// window returns the window of m in use at a time, for a license's course.
func window(m Meter, current Window, now time.Time, course ...time.Time) Window {
	t := Terms{Start: course[0], End: course[len(course)-1], Renewed: course[1 : len(course)-1], Meters: map[string]Meter{"m": m}}
	w, _ := t.Window("m", current, now)
	return w
}

func TestATermIsOnePeriodAndARenewalBeginsAnother(t *testing.T) {
	start, end, later := at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z")
	m := meter(PerTerm, AnchorLicense, "UTC")
	first := window(m, Window{}, start.Add(time.Hour), start, end)
	if first != (Window{start, end}) {
		t.Errorf("the term's window is %v", first)
	}
	if w := window(m, Window{}, start, start, time.Time{}); !w.End.IsZero() || !w.Contains(start.AddDate(500, 0, 0)) {
		t.Errorf("a perpetual term's window is %v", w)
	}
	if w := window(m, first, end.Add(-1), start, end, later); w != first {
		t.Errorf("renewed ahead of the end, the window is %v", w)
	}
	if w := window(m, first, end, start, end, later); w != (Window{end, later}) {
		t.Errorf("the renewed term's window is %v", w)
	}
	if w := window(m, first, end.Add(-1), start, later); w != (Window{start, later}) {
		t.Errorf("after an extension the window is %v", w)
	}
	if _, known := (Terms{}).Window("m", Window{}, start); known {
		t.Error("terms without meters have a window")
	}
}

func TestAPlanChangeInMidPeriodClosesTheWindowAndOpensOneToTheNewBoundary(t *testing.T) {
	start, never := at("2026-01-10T00:00:00Z"), time.Time{}
	monthly, daily := meter(PerMonth, AnchorLicense, "UTC"), meter(PerDay, AnchorCalendar, "UTC")
	now := at("2026-03-12T15:00:00Z")
	month := window(monthly, Window{}, now, start, never)
	cut := window(daily, month, now, start, never)
	if !cut.Start.Equal(now) || !cut.End.Equal(at("2026-03-13T00:00:00Z")) {
		t.Fatalf("the window after the change is %v", cut)
	}
	if later := window(daily, cut, now.Add(time.Hour), start, never); later != cut {
		t.Errorf("the cut window moves on: %v", later)
	}
	if next := window(daily, cut, cut.End, start, never); !next.Start.Equal(cut.End) || next.End.Sub(next.Start) != 24*time.Hour {
		t.Errorf("the window after the cut one is %v", next)
	}
	if late := window(daily, cut, now.Add(-time.Hour), start, never); !late.End.Equal(cut.Start) {
		t.Errorf("what is reported late counts in %v", late)
	}
	// A larger quota with the same periods keeps the window and what is used.
	monthly.Quota = 1000
	if same := window(monthly, month, now, start, never); same != month {
		t.Errorf("a larger quota opens a new window: %v", same)
	}
}

func TestWindowsInUseNeverOverlapThroughPlanChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := drawTime(t, "start")
		now, w := start, Window{}
		for range rapid.IntRange(2, 20).Draw(t, "steps") {
			next := window(drawMeter(t), w, now, start, time.Time{})
			if !next.Contains(now) {
				t.Fatalf("%v is not in %v", now, next)
			}
			// The same window, a cut of it at now, or one after it.
			cut := next.Start.Equal(now) && w.Contains(now)
			if !w.Start.IsZero() && next != w && !cut && next.Start.Before(w.End) {
				t.Fatalf("%v overlaps %v", next, w)
			}
			w = next
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(90*24*time.Hour)).Draw(t, "later")))
		}
	})
}
