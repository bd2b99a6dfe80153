package licensing

import (
	"sort"
	"time"
	_ "time/tzdata" // zones must not depend on the machine
)

// A Period is how often a quota starts again.
type Period string

// The periods. PerTerm is the license's whole term.
const (
	PerHour  Period = "hour"
	PerDay   Period = "day"
	PerMonth Period = "month"
	PerYear  Period = "year"
	PerTerm  Period = "term"
)

func (p Period) check() error {
	switch p {
	case PerHour, PerDay, PerMonth, PerYear, PerTerm:
		return nil
	}
	return Errorf(Invalid, "per: %q is not hour, day, month, year or term", p).At("per")
}

// An Anchor is where periods begin.
type Anchor string

// The anchors: the license's start, or the calendar (full hours, midnights, the
// first days of months or years).
const (
	AnchorLicense  Anchor = "license"
	AnchorCalendar Anchor = "calendar"
)

// A Window is one period with absolute boundaries. Start belongs to it, and End does
// not. A zero End means never.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"`
}

// Contains reports whether t is in w.
func (w Window) Contains(t time.Time) bool {
	return !t.Before(w.Start) && (w.End.IsZero() || t.Before(w.End))
}

// Window returns the window of a meter that contains at, given the window in use
// (zero for none). It returns false if the terms have no such meter.
//
// Windows tile time: they neither overlap nor leave a gap, whatever clocks and
// calendars do in the zone. If periods are anchored at the license and a month lacks the
// anchor's day, the period begins on the last day of that month, and the next one on the
// anchor's day again. A wall time that a clock change skips becomes the instant of the
// change; one that occurs twice becomes the first. Per term, each renewal begins a window.
//
// The window in use stays as long as the plan's boundaries agree with its end.
// If they do not, the plan has changed in mid-period: the window in use ends
// at the change, and a new one runs from there to the plan's next boundary,
// with nothing used in it yet.
func (t Terms) Window(meter string, current Window, at time.Time) (Window, bool) {
	m, known := t.Meters[meter]
	if !known {
		return Window{}, false
	}
	w := m.period(at, t.course())
	w.End = atMost(w.End)
	switch {
	case current.Start.IsZero():
	case at.Before(current.Start):
		w.End = earlier(w.End, current.Start)
	case !current.Contains(at):
		if w.Start.Before(current.End) {
			w.Start = current.End
		}
	case current.End.Equal(w.End):
		w = current
	case m.Per != PerTerm || !current.Start.Equal(w.Start):
		w.Start = at
	}
	return w, true
}

// course returns the license's start, its renewals and its end, zero for never.
func (t Terms) course() []time.Time {
	return append(append([]time.Time{t.Start}, t.Renewed...), t.End)
}

// period returns the plan's own window around at for a term's course.
func (m Meter) period(at time.Time, course []time.Time) Window {
	loc := m.location
	if loc == nil {
		loc = time.UTC
	}
	start := course[0]
	if start.IsZero() {
		start = at
	}
	switch {
	case m.Per == PerTerm:
		return termWindow(at, start, course[1:])
	case m.Per == PerHour && m.Anchor == AnchorLicense:
		n := floorDiv(at.Unix()-start.Unix(), 3600)
		begin := time.Unix(start.Unix()+n*3600, 0).In(start.Location()) // a Duration is at most 292 years
		return Window{Start: begin, End: begin.Add(time.Hour)}
	case m.Per == PerHour:
		return clockHour(at, loc)
	}
	return m.calendarWindow(at, start, loc)
}

// termWindow finds the window around at among the renewals of a term. A time before the
// start is in the first window, and one after the end is in the last.
func termWindow(at, start time.Time, renewals []time.Time) Window {
	w := Window{Start: start, End: renewals[0]}
	for _, next := range renewals[1:] {
		if at.Before(w.End) {
			break
		}
		w = Window{Start: w.End, End: next}
	}
	return w
}

// calendarWindow finds the boundaries around at by counting from the anchor,
// never from the previous period: 31 January, 28 February, 31 March.
func (m Meter) calendarWindow(at, start time.Time, loc *time.Location) Window {
	boundary := m.boundaries(start, loc)
	guess := m.count(start.In(loc), at.In(loc))
	// The guess is off by at most one, because it ignores the time of day.
	k := guess - 2 + sort.Search(5, func(i int) bool { return boundary(guess - 2 + i).After(at) })
	return Window{Start: boundary(k - 1), End: boundary(k)}
}

// boundaries returns the instant of the k-th boundary from the anchor.
func (m Meter) boundaries(start time.Time, loc *time.Location) func(k int) time.Time {
	y, mo, d := start.In(loc).Date()
	h, mi, s := start.In(loc).Clock()
	if m.Anchor == AnchorCalendar {
		h, mi, s = 0, 0, 0
		if m.Per != PerDay {
			d = 1
		}
		if m.Per == PerYear {
			mo = 1
		}
	}
	return func(k int) time.Time {
		switch m.Per {
		case PerDay:
			return wall(y, int(mo), d+k, h, mi, s, loc)
		case PerMonth:
			return wall(y, int(mo)+k, min(d, daysIn(y, int(mo)+k)), h, mi, s, loc)
		}
		return wall(y+k, int(mo), min(d, daysIn(y+k, int(mo))), h, mi, s, loc)
	}
}

// count returns the approximate number of periods between two local times.
func (m Meter) count(from, to time.Time) int {
	years := to.Year() - from.Year()
	switch m.Per {
	case PerDay:
		return int(floorDiv(asUTC(to).Unix()-asUTC(from).Unix(), 86400))
	case PerMonth:
		return years*12 + int(to.Month()) - int(from.Month())
	}
	return years
}

// asUTC returns midnight UTC of t's local date.
func asUTC(t time.Time) time.Time {
	y, mo, d := t.Date()
	return time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)
}

// wall returns the first instant at which the zone's clocks show the time, or
// the clock change that skips it.
func wall(y, mo, d, h, mi, s int, loc *time.Location) time.Time {
	t := time.Date(y, time.Month(mo), d, h, mi, s, 0, loc)
	want := time.Date(y, time.Month(mo), d, h, mi, s, 0, time.UTC)
	begin, end := t.ZoneBounds()
	switch shown := localSeconds(t); {
	case shown < want.Unix():
		return end
	case shown > want.Unix():
		return begin
	}
	if begin.IsZero() {
		return t
	}
	// Clocks that were set back show the time first before begin.
	before := begin.Add(-time.Second)
	_, offset := before.Zone()
	first := time.Unix(want.Unix()-int64(offset), 0).In(loc)
	if first.Before(begin) && localSeconds(first) == want.Unix() {
		return first
	}
	return t
}

// localSeconds returns the time that t's local clock shows, as seconds of UTC.
func localSeconds(t time.Time) int64 {
	_, offset := t.Zone()
	return t.Unix() + int64(offset)
}

// clockHour returns the hour that the zone's clocks show around at. A clock change
// by part of an hour ends one window and begins another.
func clockHour(at time.Time, loc *time.Location) Window {
	at = at.In(loc)
	_, offset := at.Zone()
	begin := time.Unix(floorDiv(at.Unix()+int64(offset), 3600)*3600-int64(offset), 0).In(loc)
	w := Window{Start: begin, End: begin.Add(time.Hour)}
	from, to := at.ZoneBounds()
	if from.After(w.Start) && !wholeHours(from, offset) {
		w.Start = from
	}
	if !to.IsZero() && to.Before(w.End) && !wholeHours(to.Add(-time.Second), offsetAt(to)) {
		w.End = to
	}
	return w
}

// wholeHours reports whether the offset just before t differs from offset by
// whole hours.
func wholeHours(t time.Time, offset int) bool {
	return (offsetAt(t.Add(-time.Second))-offset)%3600 == 0
}

func offsetAt(t time.Time) int {
	_, offset := t.Zone()
	return offset
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// loadZone returns an IANA zone; the empty name is UTC.
func loadZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, Errorf(Invalid, "zone Local depends on the machine: use an IANA zone such as Europe/Berlin").At("zone")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, Errorf(Invalid, "zone %q is not an IANA zone such as Europe/Berlin", name).At("zone")
	}
	return loc, nil
}
