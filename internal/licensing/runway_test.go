package licensing

import (
	"strings"
	"testing"
	"time"
)

func TestTheRunwayEndsWithItsFirstCause(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	deadlines := []Deadline{
		{Cause: RunwaySigningKey, Subject: "production", At: now.AddDate(0, 3, 0)},
		{Cause: RunwayKeySet, Subject: "production", At: now.AddDate(0, 2, 0)},
		Terms{License: "lic_1", End: now.AddDate(0, 6, 0), RenewalGrace: 86400}.Deadline(),
		Terms{License: "lic_2"}.Deadline(),
	}
	r := FirstDenial(now, deadlines)
	if r.Cause != RunwayKeySet || !r.At.Equal(now.AddDate(0, 2, 0)) || r.Seconds != int64(59*86400) || r.Never {
		t.Errorf("the runway is %+v", r)
	}
	if r := FirstDenial(now, deadlines[2:]); r.Cause != RunwayTerm || !r.At.Equal(now.AddDate(0, 6, 1)) {
		t.Errorf("the term and its grace last until %+v", r)
	}
	if r := FirstDenial(now.AddDate(1, 0, 0), deadlines); r.Seconds >= 0 {
		t.Errorf("what has passed leaves %d s", r.Seconds)
	}
	if r := FirstDenial(now, deadlines[3:]); !r.Never {
		t.Errorf("without deadlines the runway is %+v", r)
	}
}

func TestWarningsComeNinetyToOneDaysAhead(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	for days, want := range map[int]int{91: 0, 90: 90, 61: 90, 60: 60, 15: 30, 14: 14, 7: 7, 2: 7, 1: 1, 0: 1, -5: 1} {
		got, due := Warning(now, now.Add(time.Duration(days)*24*time.Hour))
		if got != want || due != (want != 0) {
			t.Errorf("%d days ahead: %d, %v", days, got, due)
		}
	}
}

func TestBoundsComeFromThePlansNumbers(t *testing.T) {
	p := studio()
	b := p.Bounds(time.Minute)
	if b.Revocation != 30*86400+3600+60 || b.Cause != "pool seats" || b.Connected != 10 {
		t.Errorf("bounds are %+v", b)
	}
	if b.Reclaim["seats"] != (Reclaim{After: 900 + 3600 + 60, Borrowed: 30*86400 + 3600 + 60}) || b.Ended != 51*86400+60 {
		t.Errorf("bounds are %+v", b)
	}
	p.Pools = map[string]Pool{"machines": {Holder: "machine", Capacity: 1}}
	if b = p.Bounds(time.Minute); b.Revocation != 21*86400+60 || b.Cause != "documents" || !b.Reclaim["machines"].Endless {
		t.Errorf("bounds are %+v", b)
	}
	text := studio().Bounds(time.Minute).String()
	for _, want := range []string{"within 10s", "within 30d1h1m (pool seats)", "the fallback within 51d1m", "pool seats: the units of a lost holder are free after 1h16m, borrowed ones after 30d1h1m"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
