package licensing

import (
	"strconv"
	"time"
)

// A Counter is a number that is stored beside rows, so that reading it costs the same
// for any number of them, together with the sum of the rows.
type Counter struct {
	Name   string `json:"name"`
	Stored int64  `json:"stored"`
	Rows   int64  `json:"rows"`
}

// The counters of a pool and of a meter's total. CounterDue is when the pool needs
// attention next, in microseconds of Unix time, 0 for never.
const (
	CounterHeld    = "held"
	CounterLeases  = "leases"
	CounterWaiting = "waiting"
	CounterTickets = "tickets"
	CounterDue     = "due"
	CounterUsed    = "used"
	CounterEvents  = "events"
)

// String writes both numbers.
func (c Counter) String() string {
	if c.Name == CounterDue {
		return c.Name + " is " + dueText(c.Stored) + ", but the rows show " + dueText(c.Rows)
	}
	return c.Name + " is " + strconv.FormatInt(c.Stored, 10) + ", but the rows show " + strconv.FormatInt(c.Rows, 10)
}

func dueText(us int64) string {
	if us == 0 {
		return "never"
	}
	return time.UnixMicro(us).UTC().Format(time.RFC3339)
}

// Raised reports whether setting the counter to the sum of its rows is safe because
// it grants nothing more. Looking at a pool earlier than needed grants nothing either.
func (c Counter) Raised() bool { return c.Name == CounterDue || c.Rows > c.Stored }

// PoolCounters are the numbers in a pool's row.
type PoolCounters struct {
	Held    int64
	Leases  int64
	Waiting int64
	Tickets int64
	Due     int64 // microseconds of Unix time, 0 for never
}

// A PoolCount compares a pool's counters with the sums of its leases and tickets.
type PoolCount struct {
	License LicenseID
	Pool    string
	Stored  PoolCounters
	// Rows are sums; Tickets is the highest place, and Due is the earliest time of a
	// lease or an offer.
	Rows PoolCounters
	// Documents is the latest end of the documents of known leases that have ended,
	// zero if there are none.
	Documents time.Time
}

// Wrong returns the counters that do not match the rows at now.
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
	add(CounterTickets, s.Tickets, r.Tickets, s.Tickets < r.Tickets) // places of ended tickets are not reused
	// A pool that is already due gets attention, whatever its rows show.
	add(CounterDue, s.Due, r.Due, r.Due > 0 && (s.Due == 0 || s.Due > r.Due && s.Due > now.UnixMicro()))
	return wrong
}

// A MeterCount compares a meter's total in one period with the sum of its events.
type MeterCount struct {
	License      LicenseID
	Meter        string
	Start        time.Time // of the period
	Scale        int       // decimal places of Used; -1 for those of the license's terms
	Kept         bool      // the total has a row
	Used, Events Counter
}

// Wrong returns the counters that do not match the events. Events of periods that
// began before known may have been forgotten. For such a period, a total is wrong
// only if it is below the sum of the remaining events.
func (m MeterCount) Wrong(known time.Time) []Counter {
	var wrong []Counter
	for _, c := range []Counter{m.Used, m.Events} {
		if c.Stored < c.Rows || c.Stored > c.Rows && m.Start.After(known) {
			wrong = append(wrong, c)
		}
	}
	return wrong
}

// AtScale converts a quantity from one scale to another. It returns n unchanged if
// either scale is unknown or no whole number expresses the quantity.
func AtScale(n int64, from, to int) int64 {
	if from < 0 || to < 0 {
		return n
	}
	if same, ok := Rescale(n, from, to); ok {
		return same
	}
	return n
}
