package licensing

import (
	"cmp"
	"strconv"
	"time"

	"copyhold.dev/sdk/license"
)

// A Stock is what a pool's counters say. Deciding needs nothing else, so it
// costs the same for five seats and for a million.
type Stock struct {
	Held    int64 // units of leases and of offers
	Leases  int64 // leases in force
	Waiting int64 // tickets without an offer
	Tickets int64 // places given so far
	// OverSince is since when more than the capacity is held, zero when not.
	OverSince time.Time
}

// limit returns the units that may be held at now, and whether overdraft is
// among them. An overdraft runs from the moment the pool went over.
func (p Pool) limit(s Stock, now time.Time) (units int64, overdraft bool) {
	if p.Overdraft.IsZero() {
		return p.Capacity, false
	}
	if ends := p.OverdraftEnds(s); !ends.IsZero() && !now.Before(ends) {
		return p.Capacity, false
	}
	return p.Limit(), true
}

// OverdraftEnds returns when units beyond the capacity are granted no more,
// zero when the pool is not over or may stay so.
func (p Pool) OverdraftEnds(s Stock) time.Time {
	if s.OverSince.IsZero() || p.Overdraft.For == 0 {
		return time.Time{}
	}
	return s.OverSince.Add(p.Overdraft.For.Duration())
}

// Fits reports whether units more can be held at now.
func (p Pool) Fits(s Stock, units int64, now time.Time) bool {
	most, _ := p.limit(s, now)
	return units <= most-s.Held
}

// Late reports whether the end of l has come and its pool holds more than it
// may: whoever goes on with it could use a unit that another has.
func (p Pool) Late(s Stock, l Lease, now time.Time) bool {
	ends := l.Due
	if l.Asker.Presented {
		ends = l.Expires
	}
	return !ends.IsZero() && !now.Before(ends) && !p.Fits(s, 0, now)
}

// Decide decides by the counters alone whether units can be granted to somebody
// who does not wait yet. Nobody overtakes those who wait. The decision says pool_full, in words
// of what the pool does then; who holds, and when units are free, is added by
// who can know.
func (p Pool) Decide(s Stock, units int64, now time.Time) license.Decision {
	d := license.Decision{Held: s.Held, Capacity: p.Capacity}
	fits := p.Fits(s, units, now)
	switch {
	case units > p.Limit():
		d.Outcome, d.Code, d.Rule = license.Denied, license.CodeTooManyUnits, "pool.capacity"
		d.Reason = Counted(units, "unit") + " asked of a pool that has " + Counted(p.Limit(), "unit")
	case fits && s.Waiting == 0 && s.Held+units > p.Capacity:
		d = p.granted(d, units)
		d.Code, d.Rule = license.CodeOverdraft, "pool.overdraft"
		after := p.With(s, units, now)
		if ends := p.OverdraftEnds(after); !ends.IsZero() {
			d.Next, d.NextAt = "the overdraft ends", ends.Unix()
		}
	case fits && s.Waiting == 0:
		d = p.granted(d, units)
	default:
		d = p.full(d, s, units)
	}
	return d
}

// granted is the decision that allows units.
func (p Pool) granted(d license.Decision, units int64) license.Decision {
	d.Outcome, d.Code, d.Rule = license.Allowed, license.CodeOK, "pool.capacity"
	d.Held += units
	d.Reason = Counted(d.Held, "unit") + " of " + Counted(p.Capacity, "unit") + " held"
	return d
}

// full is the decision of a pool without room.
func (p Pool) full(d license.Decision, s Stock, units int64) license.Decision {
	d.Outcome, d.Code, d.Rule = license.Denied, license.CodePoolFull, "pool.full"
	d.Reason = Counted(s.Held, "unit") + " of " + Counted(p.Capacity, "unit") + " held, " + strconv.FormatInt(units, 10) + " more asked"
	if s.Waiting > 0 {
		d.Reason = "after " + Counted(s.Waiting, "other") + " in the queue; " + d.Reason
	}
	switch {
	case p.Full == FullFallback:
		d.Outcome, d.Code = license.Allowed, license.CodeFallback
		d.Reason += "; the fallback features hold"
	case p.Full == FullQueue && s.Waiting < cmp.Or(p.Queue.Max, DefaultQueue):
		d.Code, d.Next = license.CodeQueued, "an offer, in order"
	case p.Full == FullQueue:
		d.Code = license.CodeQueueFull
		d.Reason += "; the queue has no place either"
	}
	return d
}

// With returns s after units were granted, or given back when units is
// negative. It keeps since when the pool is over its capacity.
func (p Pool) With(s Stock, units int64, now time.Time) Stock {
	s.Held = max(0, s.Held+units)
	return p.Judged(s, now)
}

// Judged returns s with its overdraft begun or ended as capacity and held
// demand, which changes when a plan does, too.
func (p Pool) Judged(s Stock, now time.Time) Stock {
	switch over := s.Held > p.Capacity; {
	case !over:
		s.OverSince = time.Time{}
	case s.OverSince.IsZero():
		s.OverSince = now
	}
	return s
}
