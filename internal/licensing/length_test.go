package licensing

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLengthsFollowTheCalendar(t *testing.T) {
	for _, c := range []struct{ from, length, want string }{
		{"2026-01-31T10:00:00Z", "1mo", "2026-02-28T10:00:00Z"},
		{"2028-01-31T10:00:00Z", "1mo", "2028-02-29T10:00:00Z"},
		{"2028-02-29T00:00:00Z", "1y", "2029-02-28T00:00:00Z"},
		{"2026-12-31T00:00:00Z", "2mo", "2027-02-28T00:00:00Z"},
		{"2026-03-01T00:00:00Z", "14d", "2026-03-15T00:00:00Z"},
		{"2026-03-01T00:00:00Z", "2w", "2026-03-15T00:00:00Z"},
		{"2026-03-01T00:00:00Z", "1h30m", "2026-03-01T01:30:00Z"},
		{"2026-03-01T00:00:00Z", "1y1mo1d1s", "2027-04-02T00:00:01Z"},
		{"2026-03-01T00:00:00Z", "0s", "2026-03-01T00:00:00Z"},
	} {
		l, err := ParseLength(c.length)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.After(at(c.from)); !got.Equal(at(c.want)) {
			t.Errorf("%s and %s is %v, want %s", c.from, c.length, got, c.want)
		}
	}
}

func TestLengthsThatAreNotOneAreRefused(t *testing.T) {
	for _, s := range []string{"", "1", "d", "1x", "-1d", "+1d", "1.5h", "1d1y", "1d1d", "1 d", "99999999999999999999s", "10001y", "1D"} {
		if l, err := ParseLength(s); CodeOf(err) != Invalid {
			t.Errorf("%q is read as %v", s, l)
		}
	}
	if _, err := ParseSpan("1mo"); CodeOf(err) != Invalid {
		t.Error("a month has a fixed length")
	}
}

func TestLengthsAreWrittenAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Length{
			Months:  rapid.IntRange(0, 1200).Draw(t, "months"),
			Days:    rapid.IntRange(0, 5000).Draw(t, "days"),
			Seconds: rapid.Int64Range(0, 1e9).Draw(t, "seconds"),
		}
		if got, err := ParseLength(l.String()); err != nil || got != l {
			t.Fatalf("%+v is written %s and read %+v, %v", l, l, got, err)
		}
	})
}

func FuzzParseLength(f *testing.F) {
	for _, s := range []string{"1y", "1y6mo", "14d", "1h30m", "60s", "", "1dd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLength(s)
		if err != nil {
			return
		}
		again, err := ParseLength(l.String())
		if err != nil || again != l {
			t.Fatalf("%q reads as %+v, written %s, read again as %+v, %v", s, l, l, again, err)
		}
		if base := at("2026-01-31T00:00:00Z"); l.After(base).Before(base) {
			t.Fatalf("%q goes back in time", s)
		}
	})
}

// at reads a time of RFC 3339.
func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}
