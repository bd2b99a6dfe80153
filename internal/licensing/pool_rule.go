package licensing

import (
	"cmp"
	"strconv"
	"time"

	"copyhold.dev/sdk/license"
)

// A Stock is the state of a pool's counters. A decision needs nothing else, so it
// costs the same for five seats and for a million.
type Stock struct {
	Held    int64 // units of leases and of offers
	Leases  int64 // leases in force
	Waiting int64 // tickets without an offer
	Tickets int64 // places assigned so far
	// OverSince is since when the pool has been over its capacity, zero if it is not.
	OverSince time.Time
}

// limit returns the number of units that may be held at now, and whether overdraft is
// included. An overdraft runs from the moment the pool exceeded its capacity.
func (p Pool) limit(s Stock, now time.Time) (units int64, overdraft bool) {
	if p.Overdraft.IsZero() {
		return p.Capacity, false
	}
	if ends := p.OverdraftEnds(s); !ends.IsZero() && !now.Before(ends) {
		return p.Capacity, false
	}
	return p.Limit(), true
}

// OverdraftEnds returns when units beyond the capacity are no longer granted, zero
// if the pool is not over its capacity or may stay so.
func (p Pool) OverdraftEnds(s Stock) time.Time {
	if s.OverSince.IsZero() || p.Overdraft.For == 0 {
		return time.Time{}
	}
	return s.OverSince.Add(p.Overdraft.For.Duration())
}

// Fits reports whether additional units can be held at now.
func (p Pool) Fits(s Stock, units int64, now time.Time) bool {
	most, _ := p.limit(s, now)
	return units <= most-s.Held
}

// Late reports whether l is past its end while its pool exceeds its limit. A holder
// that continued with it could use a unit that another holder has.
func (p Pool) Late(s Stock, l Lease, now time.Time) bool {
	ends := l.Due
	if l.Asker.Presented {
		ends = l.Expires
	}
	return !ends.IsZero() && !now.Before(ends) && !p.Fits(s, 0, now)
}

// Decide decides by the counters alone whether units can be granted to a request that
// is not yet in the queue. No request overtakes those in the queue. A denial is
// pool_full or what the pool does instead; the caller can add the holders and when
// units are freed.
func (p Pool) Decide(s Stock, units int64, now time.Time) license.Decision {
	d := license.Decision{Held: s.Held, Capacity: p.Capacity}
	fits := p.Fits(s, units, now)
	switch {
	case units > p.Limit():
		d.Outcome, d.Code, d.Rule = license.Denied, license.CodeTooManyUnits, "pool.capacity"
		if d.Reason = p.counted(units) + " requested; the pool has none"; p.Limit() > 0 {
			d.Reason = p.counted(units) + " requested; the pool has only " + strconv.FormatInt(p.Limit(), 10)
		}
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

// granted returns the decision that allows units.
func (p Pool) granted(d license.Decision, units int64) license.Decision {
	d.Outcome, d.Code, d.Rule = license.Allowed, license.CodeOK, "pool.capacity"
	d.Held += units
	d.Reason = p.inUse(d.Held)
	return d
}

// full returns the decision for a pool without room.
func (p Pool) full(d license.Decision, s Stock, units int64) license.Decision {
	d.Outcome, d.Code, d.Rule = license.Denied, license.CodePoolFull, "pool.full"
	d.Reason = p.taken(s.Held) + "; " + strconv.FormatInt(units, 10) + " requested"
	if s.Waiting > 0 {
		d.Reason = d.Reason + "; " + Counted(s.Waiting, "request") + " ahead in the queue"
	}
	switch {
	case p.Full == FullFallback:
		d.Outcome, d.Code = license.Allowed, license.CodeFallback
		d.Reason += "; the fallback features apply"
	case p.Full == FullQueue && s.Waiting < cmp.Or(p.Queue.Max, DefaultQueue):
		d.Code, d.Next = license.CodeQueued, "an offer, in queue order"
	case p.Full == FullQueue:
		d.Code = license.CodeQueueFull
		d.Reason += "; the queue is full"
	}
	return d
}

// taken writes how many units are in use, for a reason that nothing more is granted.
func (p Pool) taken(held int64) string {
	switch {
	case held == p.Capacity && held == 0:
		return "the pool has no " + plural(p.unit())
	case held == p.Capacity && held > 1:
		return "all " + p.counted(held) + " are in use"
	}
	return p.inUse(held)
}

// inUse writes how many units are in use.
func (p Pool) inUse(held int64) string {
	if held > p.Capacity {
		return p.counted(held) + " in use, " + strconv.FormatInt(held-p.Capacity, 10) + " beyond the capacity of " + strconv.FormatInt(p.Capacity, 10)
	}
	return strconv.FormatInt(held, 10) + " of " + p.counted(p.Capacity) + " in use"
}

// counted writes n with the word for the pool's units.
func (p Pool) counted(n int64) string { return Counted(n, p.unit()) }

// unit returns the word for one unit: seat in a pool called seats. A pool that is called
// after its holders, or by a name that is no plural, has units.
func (p Pool) unit() string {
	if one, ok := singular(p.name); ok && one != p.Holder {
		return one
	}
	return "unit"
}

// With returns s after units were granted, or given back if units is
// negative. It maintains OverSince.
func (p Pool) With(s Stock, units int64, now time.Time) Stock {
	s.Held = max(0, s.Held+units)
	return p.Judged(s, now)
}

// Judged returns s with its overdraft begun or ended as required by the capacity and
// the units in use. A changed plan can require this too.
func (p Pool) Judged(s Stock, now time.Time) Stock {
	switch over := s.Held > p.Capacity; {
	case !over:
		s.OverSince = time.Time{}
	case s.OverSince.IsZero():
		s.OverSince = now
	}
	return s
}
