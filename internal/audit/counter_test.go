package audit_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
)

// TestACounterIsLoweredOnlyWhereNothingCanBeInUse: whatever a pool's counters and
// rows are, they can only be raised before the documents have ended.
func TestACounterIsLoweredOnlyWhereNothingCanBeInUse(t *testing.T) {
	const skew = time.Minute
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(r *rapid.T) {
		number := rapid.Int64Range(0, 3)
		counters := func(label string) licensing.PoolCounters {
			return licensing.PoolCounters{Held: number.Draw(r, label+" held"), Leases: number.Draw(r, label+" leases"), Waiting: number.Draw(r, label+" waiting"),
				Tickets: number.Draw(r, label+" tickets"), Due: now.Add(time.Duration(number.Draw(r, label+" due")) * time.Second).UnixMicro()}
		}
		m := audit.Miscount{Pool: &licensing.PoolCount{Stored: counters("stored"), Rows: counters("rows")}, Doubted: rapid.Bool().Draw(r, "doubted")}
		ended := rapid.SampledFrom([]time.Duration{-time.Hour, -skew, -skew + time.Second, 0, time.Hour}).Draw(r, "documents")
		m.Pool.Documents = now.Add(ended)
		if rapid.Bool().Draw(r, "none") {
			m.Pool.Documents, ended = time.Time{}, -time.Hour
		}
		unsure := rapid.SampledFrom([]string{"", "the clock is in doubt"}).Draw(r, "unsure")
		m.Wrong = m.Pool.Wrong(now)
		for _, f := range m.Fixes(now, skew, unsure) {
			lower := !m.Doubted && unsure == "" && ended <= -skew
			switch {
			case f.Name == licensing.CounterDue || f.Rows > f.Stored:
				if f.Action != audit.Raise || f.To != f.Rows {
					r.Errorf("%+v", f)
				}
			case f.Name == licensing.CounterTickets:
				r.Errorf("places that were given are given again: %+v", f)
			case lower && (f.Action != audit.Lower || f.To != f.Rows):
				r.Errorf("%+v", f)
			case !lower && (f.Action != audit.Wait && f.Action != audit.Keep || f.To != f.Stored || f.Reason == ""):
				r.Errorf("%+v", f)
			}
		}
	})
}

// TestATotalGoesByEventsAndLog: the total is the higher of events and log, and is
// lowered only if both are lower than the stored one.
func TestATotalGoesByEventsAndLog(t *testing.T) {
	for _, test := range []struct {
		stored, rows, logged int64
		action               audit.Action
		to                   int64
	}{
		{1, 3, 3, audit.Raise, 3},
		{1, 3, 0, audit.Raise, 3},
		{1, 2, 3, audit.Raise, 3},
		{5, 3, 3, audit.Lower, 3},
		{5, 3, 5, audit.Keep, 5},
		{5, 3, 4, audit.Keep, 5},
		{5, 3, 0, audit.Keep, 5},
	} {
		wrong := licensing.Counter{Name: licensing.CounterUsed, Stored: test.stored, Rows: test.rows}
		m := audit.Miscount{Meter: &licensing.MeterCount{Kept: true, Used: wrong}, Wrong: []licensing.Counter{wrong}, Logged: audit.LoggedUsage{Used: test.logged}}
		if f := m.Fixes(time.Time{}, 0, "")[0]; f.Action != test.action || f.To != test.to {
			t.Errorf("%+v: %+v", test, f)
		}
	}
	lost := licensing.Counter{Name: licensing.CounterUsed, Rows: 3}
	m := audit.Miscount{Meter: &licensing.MeterCount{Used: lost}, Wrong: []licensing.Counter{lost}}
	if f := m.Fixes(time.Time{}, 0, "")[0]; f.Action != audit.Keep {
		t.Errorf("a total is made whose period nobody knows: %+v", f)
	}
}
