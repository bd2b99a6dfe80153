package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

const (
	// OfferLasts is how long freed units are reserved for the first request in the queue.
	// An offer has no grace.
	OfferLasts = 30 * time.Second
	// TicketLasts is how long a place is kept for a waiter that has stopped asking.
	TicketLasts = 30 * time.Second
)

// A Ticket is a place in a pool's queue.
type Ticket struct {
	Env      Env
	ID       TicketID
	License  LicenseID
	Pool     string
	Place    int64 // order in the queue
	Holder   string
	Instance string
	Units    int64
	Borrow   Span // requested time, 0 for the pool's own
	Request  string
	Queued   time.Time
	Deadline time.Time // end of waiting
	Alive    time.Time // the place is lost if the waiter does not ask before
	Offered  time.Time // until when units are reserved for it, zero while it waits
	Lease    LeaseID   // the lease that it became
	Ended    time.Time
	EndedBy  TicketEnding
	Asker    Asker
}

// A TicketEnding is the way in which a place in the queue ended.
type TicketEnding string

// How places end.
const (
	TicketClaimed   TicketEnding = "claimed"   // it became a lease
	TicketWithdrawn TicketEnding = "withdrawn" // its holder gave up
	TicketVanished  TicketEnding = "vanished"  // its holder stopped asking
	TicketLate      TicketEnding = "late"      // its deadline passed
	TicketLapsed    TicketEnding = "lapsed"    // its offer was not claimed
	TicketTooLarge  TicketEnding = "too_large" // the pool now has fewer units
)

// Live reports whether t has not ended.
func (t Ticket) Live() bool { return t.Ended.IsZero() }

// Over returns how t ends at now, or "" if it continues. An offer outlasts the
// deadline because it was made in time.
func (t Ticket) Over(now time.Time) TicketEnding {
	switch {
	case !t.Offered.IsZero() && !now.Before(t.Offered):
		return TicketLapsed
	case !t.Offered.IsZero():
		return ""
	case !now.Before(t.Deadline):
		return TicketLate
	case !now.Before(t.Alive):
		return TicketVanished
	}
	return ""
}

// Turn decides about a place when the queue of p moves: whether it ends, and how, or
// is offered its units. Otherwise it keeps waiting or keeps its offer. Closed reports
// that an earlier place waits, or that newcomers are fenced off: a waiter that needs many
// units is never overtaken by one that needs few.
func (p Pool) Turn(s Stock, t Ticket, closed bool, now time.Time) (ending TicketEnding, offer bool) {
	waits := t.Offered.IsZero()
	switch ending = t.Over(now); {
	case ending != "":
		return ending, false
	case waits && t.Units > p.Limit():
		return TicketTooLarge, false // it would block later places for nothing
	}
	return "", waits && !closed && p.Fits(s, t.Units, now)
}

// Patience returns the latest time until which a place taken at now is kept.
func (p Pool) Patience(now time.Time) time.Time {
	longest := MaxWait
	if p.Queue.Wait > 0 {
		longest = p.Queue.Wait
	}
	return now.Add(longest.Duration())
}

// MaxWait is the longest time that a place is kept if the plan does not set one.
const MaxWait Span = 24 * 3600

// Decision returns the decision about t in its present state.
func (t Ticket) Decision(p Pool, s Stock) license.Decision {
	d := license.Decision{Outcome: license.Denied, Code: license.CodeQueued, Rule: "pool.queue", Held: s.Held, Capacity: p.Capacity}
	switch {
	case t.EndedBy == TicketClaimed:
		d.Outcome, d.Code, d.Reason = license.Allowed, license.CodeOK, "the place became lease "+string(t.Lease)
	case !t.Live():
		d.Code, d.Reason = license.CodePoolFull, "the place in the queue has ended: "+string(t.EndedBy)
	case !t.Offered.IsZero():
		d.Outcome, d.Code, d.Reason = license.Allowed, license.CodeOffered, p.counted(t.Units)+" reserved until claimed"
		d.Next, d.NextAt = "the offer ends", t.Offered.Unix()
	default:
		d.Reason = p.taken(s.Held) + "; " + Counted(s.Waiting, "request") + " waiting"
		d.Next, d.NextAt = "waiting ends", t.Deadline.Unix()
	}
	return d
}
