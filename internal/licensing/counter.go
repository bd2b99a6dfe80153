package licensing

import (
	"strconv"
	"time"
)

// A Counter is a number that is stored beside rows because reading it costs the
// same for any number of them, with what the rows come to.
type Counter struct {
	Name   string `json:"name"`
	Stored int64  `json:"stored"`
	Rows   int64  `json:"rows"`
}

// The counters of a pool and of a meter's total. CounterDue is when a pool is
// looked at next, in microseconds of Unix time, 0 for never.
const (
	CounterHeld    = "held"
	CounterLeases  = "leases"
	CounterWaiting = "waiting"
	CounterTickets = "tickets"
	CounterDue     = "due"
	CounterUsed    = "used"
	CounterEvents  = "events"
)

// String says both numbers.
func (c Counter) String() string {
	if c.Name == CounterDue {
		return c.Name + " is " + dueText(c.Stored) + ", its rows say " + dueText(c.Rows)
	}
	return c.Name + " is " + strconv.FormatInt(c.Stored, 10) + ", its rows say " + strconv.FormatInt(c.Rows, 10)
}

func dueText(us int64) string {
	if us == 0 {
		return "never"
	}
	return time.UnixMicro(us).UTC().Format(time.RFC3339)
}

// Raised reports whether the counter becomes what its rows say at no risk:
// nothing more is granted by it. A pool that is looked at earlier grants nothing
// by that either.
func (c Counter) Raised() bool { return c.Name == CounterDue || c.Rows > c.Stored }

// PoolCounters are the numbers that a pool's row carries.
type PoolCounters struct {
	Held    int64
	Leases  int64
	Waiting int64
	Tickets int64
	Due     int64 // microseconds of Unix time, 0 for never
}

// A PoolCount is a pool's counters with what its leases and tickets come to.
type PoolCount struct {
	License LicenseID
	Pool    string
	Stored  PoolCounters
	// Rows are sums; of tickets the highest place, of due the earliest time of a
	// lease or an offer.
	Rows PoolCounters
	// Documents is the latest end of the documents of leases that have ended and
	// are known, zero if there are none.
	Documents time.Time
}

// Wrong returns the counters that are not as the rows at now.
func (p PoolCount) Wrong(now time.Time) []Counter {
	var wrong []Counter
	add := func(name string, stored, rows int64, is bool) {
		if is {
			wrong = append(wrong, Counter{name, stored, rows})
		}
	}
	s, r := p.Stored, p.Rows
	add(CounterHeld, s.Held, r.Held, s.Held != r.Held)
	add(CounterLeases, s.Leases, r.Leases, s.Leases != r.Leases)
	add(CounterWaiting, s.Waiting, r.Waiting, s.Waiting != r.Waiting)
	add(CounterTickets, s.Tickets, r.Tickets, s.Tickets < r.Tickets) // places of ended tickets are not given again
	// A pool that is due is looked at, whatever its rows say.
	add(CounterDue, s.Due, r.Due, r.Due > 0 && (s.Due == 0 || s.Due > r.Due && s.Due > now.UnixMicro()))
	return wrong
}

// A MeterCount is a meter's total in one period with what its events come to.
type MeterCount struct {
	License      LicenseID
	Meter        string
	Start        time.Time // of the period
	Scale        int       // decimal places of what is used; -1 are those of the license's terms
	Kept         bool      // there is a row of the total
	Used, Events Counter
}

// Wrong returns the counters that are not as the events. Events of periods that
// began before known may have been forgotten: then only a total below the sum
// of those that are left is wrong.
func (m MeterCount) Wrong(known time.Time) []Counter {
	var wrong []Counter
	for _, c := range []Counter{m.Used, m.Events} {
		if c.Stored < c.Rows || c.Stored > c.Rows && m.Start.After(known) {
			wrong = append(wrong, c)
		}
	}
	return wrong
}

// AtScale returns a quantity of one scale at another. Where either is not known
// they are the same; where no whole number says it, the quantity stays as it is.
func AtScale(n int64, from, to int) int64 {
	if from < 0 || to < 0 {
		return n
	}
	if same, ok := Rescale(n, from, to); ok {
		return same
	}
	return n
}
