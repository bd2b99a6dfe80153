package licensing

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// A Length is a calendar-aware length of time: months, days and seconds, none
// negative. The length of a month depends on where it starts.
type Length struct {
	Months  int
	Days    int
	Seconds int64
}

// maxYears is the longest length that can be written.
const maxYears = 10000

// lengthUnits are the units of a length, largest first.
func lengthUnits() []lengthUnit {
	return []lengthUnit{
		{"y", 12, 0, 0}, {"mo", 1, 0, 0}, {"w", 0, 7, 0}, {"d", 0, 1, 0},
		{"h", 0, 0, 3600}, {"m", 0, 0, 60}, {"s", 0, 0, 1},
	}
}

type lengthUnit struct {
	name         string
	months, days int
	seconds      int64
}

// ParseLength reads whole numbers with the units y, mo, w, d, h, m and s,
// largest first and each at most once: 1y, 1y6mo, 14d, 2w, 1h30m, 60s, 0s.
func ParseLength(s string) (Length, error) {
	var l Length
	rest, units := s, lengthUnits()
	for first := true; first || rest != ""; first = false {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return Length{}, badLength(s)
		}
		rest = rest[digits:]
		word := len(rest) - len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz"))
		i := 0
		for i < len(units) && units[i].name != rest[:word] {
			i++
		}
		if i == len(units) || n > maxYears*366*86400 {
			return Length{}, badLength(s)
		}
		l.Months += int(n) * units[i].months
		l.Days += int(n) * units[i].days
		l.Seconds += n * units[i].seconds
		rest, units = rest[word:], units[i+1:]
		if l.Months > maxYears*12 || l.Days > maxYears*366 || l.Seconds > maxYears*366*86400 {
			return Length{}, Errorf(Invalid, "length %q is over %d years", s, maxYears)
		}
	}
	return l, nil
}

func badLength(s string) error {
	return Errorf(Invalid, "%q is not a length of time: use whole numbers with y, mo, w, d, h, m or s, largest first, such as 1y, 14d or 1h30m", s)
}

// String writes l so that ParseLength reads the same length: 1y6mo or 14d. It writes
// 90m as 1h30m, and 0s for zero.
func (l Length) String() string {
	var b strings.Builder
	put := func(n int64, unit string) {
		if n != 0 {
			b.WriteString(strconv.FormatInt(n, 10))
			b.WriteString(unit)
		}
	}
	put(int64(l.Months/12), "y")
	put(int64(l.Months%12), "mo")
	put(int64(l.Days), "d")
	put(l.Seconds/3600, "h")
	put(l.Seconds%3600/60, "m")
	put(l.Seconds%60, "s")
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// IsZero reports whether l is zero.
func (l Length) IsZero() bool { return l == Length{} }

// Mean returns about how many seconds l has, for comparing lengths. A month counts
// as its mean length.
func (l Length) Mean() int64 { return int64(l.Months)*2629746 + int64(l.Days)*86400 + l.Seconds }

// After returns the time l after t on t's calendar. It adds the months first and keeps the
// day within the month that it lands in (31 January and one month is the last
// day of February). Then it adds the days and the seconds. It stops at the last second of
// the year 9999.
func (l Length) After(t time.Time) time.Time {
	if l.Months != 0 {
		y, mo, d := t.Date()
		t = monthDay(y, int(mo)+l.Months, d, t)
	}
	if l.Days != 0 {
		t = t.AddDate(0, 0, l.Days)
	}
	return atMost(addSeconds(atMost(t), l.Seconds))
}

// addSeconds adds more seconds than a time.Duration can hold.
func addSeconds(t time.Time, n int64) time.Time {
	const most = math.MaxInt64 / int64(time.Second)
	for n > most {
		t, n = t.Add(time.Duration(most)*time.Second), n-most
	}
	return t.Add(time.Duration(n) * time.Second)
}

// monthDay returns the time of day of t on the given date, with the day kept
// within the month.
func monthDay(y, mo, d int, t time.Time) time.Time {
	if last := daysIn(y, mo); d > last {
		d = last
	}
	h, m, s := t.Clock()
	return time.Date(y, time.Month(mo), d, h, m, s, t.Nanosecond(), t.Location())
}

// daysIn returns the number of days in a month; mo may be outside 1 to 12.
func daysIn(y, mo int) int {
	return time.Date(y, time.Month(mo+1), 0, 0, 0, 0, 0, time.UTC).Day()
}

// Span returns l as a fixed number of seconds, with a day of 24 hours. It returns false
// if l has months, whose length is not fixed.
func (l Length) Span() (Span, bool) {
	return Span(int64(l.Days)*86400 + l.Seconds), l.Months == 0
}

// MarshalText writes l as String does.
func (l Length) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what ParseLength accepts.
func (l *Length) UnmarshalText(b []byte) error {
	n, err := ParseLength(string(b))
	if err == nil {
		*l = n
	}
	return err
}

// A Span is a fixed length of time in whole seconds, not negative. Documents
// and leases use whole seconds only.
type Span int64

// ParseSpan reads a length without years and months.
func ParseSpan(s string) (Span, error) {
	l, err := ParseLength(s)
	if err != nil {
		return 0, err
	}
	span, fixed := l.Span()
	if !fixed {
		return 0, Errorf(Invalid, "%q has no fixed length: use days, hours, minutes or seconds here", s)
	}
	return span, nil
}

// Duration returns s for arithmetic with time.Time, at most 292 years.
func (s Span) Duration() time.Duration {
	return time.Duration(min(s, math.MaxInt64/Span(time.Second))) * time.Second
}

// String writes s so that ParseSpan reads the same span, in days and smaller units.
func (s Span) String() string {
	return Length{Days: int(s / 86400), Seconds: int64(s % 86400)}.String()
}

// MarshalText writes s as String does.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what ParseSpan accepts.
func (s *Span) UnmarshalText(b []byte) error {
	n, err := ParseSpan(string(b))
	if err == nil {
		*s = n
	}
	return err
}
