package licensing

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

// TestAPoolIsNeverOversold draws pools and lets holders come and go: units are
// conserved, and never more are held than capacity and overdraft allow.
func TestAPoolIsNeverOversold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Pool{
			Holder: "user", Capacity: rapid.Int64Range(0, 20).Draw(t, "capacity"), Lease: 900,
			Full:      rapid.SampledFrom([]Full{FullDeny, FullQueue, FullFallback}).Draw(t, "full"),
			Overdraft: Overdraft{Units: rapid.Int64Range(0, 5).Draw(t, "overdraft"), For: Span(rapid.Int64Range(0, 1000).Draw(t, "for"))},
		}
		now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		var s Stock
		var held []int64
		sum := func() (n int64) {
			for _, u := range held {
				n += u
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				switch {
				case s.Held != sum():
					t.Fatalf("the pool counts %d, %d are held", s.Held, sum())
				case s.Held > p.Limit():
					t.Fatalf("%d held of %d and an overdraft of %d", s.Held, p.Capacity, p.Overdraft.Of(p.Capacity))
				case (s.Held > p.Capacity) == s.OverSince.IsZero():
					t.Fatalf("%d held of %d, over since %v", s.Held, p.Capacity, s.OverSince)
				}
			},
			"acquire": func(t *rapid.T) {
				units := rapid.Int64Range(1, 8).Draw(t, "units")
				d := p.Decide(s, units, now)
				if d.Outcome == license.Allowed && d.Code != license.CodeFallback {
					ends := p.OverdraftEnds(s)
					if s.Held+units > p.Capacity && !ends.IsZero() && !now.Before(ends) {
						t.Fatalf("granted beyond the capacity after the overdraft ended: %+v", d)
					}
					held = append(held, units)
					s = p.With(s, units, now)
				} else if s.Waiting == 0 && p.Fits(s, units, now) {
					t.Fatalf("%d fit and were not granted: %+v", units, d)
				}
			},
			"release": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip("nothing is held")
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				s = p.With(s, -held[i], now)
				held = append(held[:i], held[i+1:]...)
			},
			"pass": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(1, 600).Draw(t, "seconds")) * time.Second)
			},
		})
	})
}

func TestNobodyOvertakesThoseWhoWait(t *testing.T) {
	p := Pool{Holder: "user", Capacity: 5, Lease: 900, Full: FullQueue}
	if d := p.Decide(Stock{Held: 1, Waiting: 1}, 1, time.Time{}); d.Code != license.CodeQueued {
		t.Errorf("%+v, want a place in the queue", d)
	}
}

func TestAQueueIsBounded(t *testing.T) {
	p := Pool{Holder: "user", Capacity: 5, Lease: 900, Full: FullQueue}
	for _, most := range []int64{0, 3} {
		p.Queue.Max = most
		if most == 0 {
			most = DefaultQueue
		}
		for waiting, code := range map[int64]string{most - 1: license.CodeQueued, most: license.CodeQueueFull} {
			if d := p.Decide(Stock{Held: 5, Waiting: waiting}, 1, time.Time{}); d.Code != code || d.Outcome != license.Denied {
				t.Errorf("%d wait of %d: %+v", waiting, most, d)
			}
		}
	}
}

// TestLeaseDatesFollowOneAnother draws pools and terms.
func TestLeaseDatesFollowOneAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2030, 1, 1, 0, 0, 0, 999_000_000, time.UTC)
		p := Pool{Holder: "user", Capacity: 1, Lease: Span(rapid.Int64Range(0, 4000).Draw(t, "lease")), Grace: Span(rapid.Int64Range(0, 4000).Draw(t, "grace"))}
		terms := Terms{Documents: DefaultDocuments(), Start: now}
		if left := rapid.Int64Range(0, 5000).Draw(t, "left"); left > 0 {
			terms.End = now.Add(time.Duration(left) * time.Second)
		}
		asked := Span(rapid.Int64Range(0, 9000).Draw(t, "asked"))
		if p.Endless() {
			asked = 0
		}
		d := terms.LeaseDates(p, asked, now)
		iat, exp := d.Issued.Unix(), d.Expires.Unix()
		at := []int64{iat, d.Dates.Refresh[0], d.Dates.Refresh[1], d.Dates.Stale, d.Dates.Due, exp, d.Dates.Degraded}
		for i := 1; i < len(at); i++ {
			if at[i] < at[i-1] {
				t.Fatalf("dates %v are out of order", at)
			}
		}
		if exp <= iat {
			t.Fatalf("a lease that never was: %v", at)
		}
		if limit := terms.Limit(); !limit.IsZero() && exp > max(limit.Unix(), iat+1) {
			t.Fatalf("exp %d outlasts the license %d", exp, limit.Unix())
		}
		if due := d.Due(time.Minute); d.Ends && due.Before(d.Expires.Add(time.Minute)) {
			t.Fatalf("reclaimed at %v, expires %v", due, d.Expires)
		}
	})
}

// TestReasonsNameTheUnits is a table of reasons for pools called seats.
func TestReasonsNameTheUnits(t *testing.T) {
	for _, c := range []struct {
		pool   Pool
		stock  Stock
		units  int64
		reason string
	}{
		{Pool{Capacity: 2}, Stock{Held: 0}, 1, "1 of 2 seats in use"},
		{Pool{Capacity: 2}, Stock{Held: 1}, 1, "2 of 2 seats in use"},
		{Pool{Capacity: 1}, Stock{Held: 0}, 1, "1 of 1 seat in use"},
		{Pool{Capacity: 2}, Stock{Held: 2}, 1, "all 2 seats are in use; 1 requested"},
		{Pool{Capacity: 2}, Stock{Held: 1}, 2, "1 of 2 seats in use; 2 requested"},
		{Pool{Capacity: 1}, Stock{Held: 1}, 1, "1 of 1 seat in use; 1 requested"},
		{Pool{Capacity: 2}, Stock{Held: 3}, 1, "3 seats in use, 1 beyond the capacity of 2; 1 requested"},
		{Pool{Capacity: 2}, Stock{}, 3, "3 seats requested; the pool has only 2"},
		{Pool{Capacity: 0}, Stock{}, 1, "1 seat requested; the pool has none"},
		{Pool{Capacity: 2, Overdraft: Overdraft{Units: 1}}, Stock{Held: 2}, 1, "3 seats in use, 1 beyond the capacity of 2"},
		{Pool{Capacity: 2, Full: FullQueue}, Stock{Held: 2, Waiting: 1}, 1, "all 2 seats are in use; 1 requested; 1 request ahead in the queue"},
		{Pool{Capacity: 2, Full: FullQueue, Queue: Queue{Max: 2}}, Stock{Held: 2, Waiting: 2}, 1,
			"all 2 seats are in use; 1 requested; 2 requests ahead in the queue; the queue is full"},
		{Pool{Capacity: 2, Full: FullFallback}, Stock{Held: 2}, 1, "all 2 seats are in use; 1 requested; the fallback features apply"},
	} {
		c.pool.name = "seats"
		if d := c.pool.Decide(c.stock, c.units, time.Unix(0, 0)); d.Reason != c.reason {
			t.Errorf("%q, not %q", d.Reason, c.reason)
		}
	}
}
