package licensing

import (
	"slices"
	"strings"
	"time"
)

// When is the time at which a change is made.
type When string

// A change is made now or when the next term begins.
const (
	ChangeNow       When = "now"
	ChangeAtRenewal When = "renewal"
)

// A Change alters what a license grants. Empty fields change nothing. A plan or
// channel moves the license; Follow unpins it, and Revision pins it.
type Change struct {
	Plan             PlanName      `json:"plan,omitempty"`
	Channel          string        `json:"channel,omitempty"`
	Revision         RevisionID    `json:"revision,omitempty"`
	Follow           bool          `json:"follow,omitempty"`
	Edition          string        `json:"edition,omitempty"`
	Add              []Grant       `json:"add,omitempty"`
	Remove           []string      `json:"remove,omitempty"` // add-ons by name
	Except           []Exception   `json:"except,omitempty"`
	RemoveExceptions []ExceptionID `json:"remove_exceptions,omitempty"`
	When             When          `json:"when,omitempty"`
	// Below is what to do with a pool that would have fewer units than are in use.
	Below Below `json:"below,omitempty"`
}

// Below is what to do if a change leaves a pool with fewer units than are in use.
type Below string

// The ways to go below what is in use.
const (
	BelowRefuse    Below = "refuse"    // refuse the change
	BelowDrain     Below = "drain"     // keep existing leases until they are released; grant nothing new
	BelowOverdraft Below = "overdraft" // the same, counted as overdraft and with its end
)

// Change returns l changed by c, for compiling against its new plan.
// It fails with NotFound if c removes something that l does not have, and with
// Conflict if the license is revoked.
func (l License) Change(c Change) (License, error) {
	if l.Status == Revoked {
		return l, Errorf(Conflict, "license %s is revoked and cannot be changed", l.ID)
	}
	if c.Plan != "" || c.Channel != "" || c.Revision != "" || c.Follow {
		l.Granted = ""
	}
	if c.Plan != "" && c.Plan != l.Plan {
		// A pin and an edition belong to the old plan.
		l.Plan, l.Revision, l.Edition = c.Plan, "", ""
	}
	if c.Edition != "" {
		l.Edition = c.Edition
	}
	if c.Channel != "" {
		l.Channel = c.Channel
	}
	if c.Revision != "" || c.Follow {
		l.Revision = c.Revision
	}
	l.Addons, l.Exceptions = slices.Clone(l.Addons), slices.Clone(l.Exceptions)
	for _, name := range c.Remove {
		n := len(l.Addons)
		if l.Addons = slices.DeleteFunc(l.Addons, func(g Grant) bool { return g.Addon == name }); len(l.Addons) == n {
			return l, Errorf(NotFound, "license %s has no add-on %s", l.ID, name).At("remove")
		}
	}
	for _, id := range c.RemoveExceptions {
		n := len(l.Exceptions)
		if l.Exceptions = slices.DeleteFunc(l.Exceptions, func(e Exception) bool { return e.ID == id }); len(l.Exceptions) == n {
			return l, Errorf(NotFound, "license %s has no exception %s", l.ID, id).At("remove_exceptions")
		}
	}
	l.Addons = append(l.Addons, c.Add...)
	l.Exceptions = append(l.Exceptions, c.Except...)
	return l, l.Check()
}

// CheckDates refuses dates in c that cannot be written.
func (c Change) CheckDates() error { return checkGiven(c.Add, c.Except) }

// Schedule returns l with c scheduled for the start of the next term: the first
// renewed term that is still ahead at now, or else the one that the next renewal begins.
func (l License) Schedule(c Change, now time.Time) License {
	l.Scheduled = append(slices.Clone(l.Scheduled), c)
	if l.ChangeAt.IsZero() {
		if i := slices.IndexFunc(l.Renewed, now.Before); i >= 0 {
			l.ChangeAt = l.Renewed[i]
		}
	}
	return l
}

// ChangesDue reports whether scheduled changes are due at now.
func (l License) ChangesDue(now time.Time) bool {
	return len(l.Scheduled) > 0 && !l.ChangeAt.IsZero() && !now.Before(l.ChangeAt) && l.Status != Revoked
}

// MakeChanges returns l with its scheduled changes made, in order.
func (l License) MakeChanges() (License, error) {
	made := l.Scheduled
	l.Scheduled, l.ChangeAt = nil, time.Time{}
	for _, c := range made {
		var err error
		if l, err = l.Change(c); err != nil {
			return l, err
		}
	}
	return l, nil
}

// A Shortage is a pool that would have fewer units than are in use.
type Shortage struct {
	Pool     string `json:"pool"`
	Held     int64  `json:"held"`
	Capacity int64  `json:"capacity"`
}

// Shortages returns the pools of after that have fewer units than held, sorted by
// name. A pool that is missing in after has no units.
func Shortages(after Terms, held map[string]int64) []Shortage {
	var all []Shortage
	for pool, n := range held {
		if c := after.Pools[pool].Capacity; n > c {
			all = append(all, Shortage{Pool: pool, Held: n, Capacity: c})
		}
	}
	slices.SortFunc(all, func(a, b Shortage) int { return strings.Compare(a.Pool, b.Pool) })
	return all
}

// Allow returns until when a shortage may last, zero if there is no limit.
// It fails with Conflict if b refuses the shortage. BelowOverdraft needs a plan
// with a large enough overdraft.
func (b Below) Allow(s Shortage, p Pool, now time.Time) (time.Time, error) {
	switch b {
	case BelowDrain:
		return time.Time{}, nil
	case BelowOverdraft:
		if s.Held > p.Limit() {
			return time.Time{}, Errorf(Conflict, "pool %s: %d units are in use; capacity and overdraft allow only %d", s.Pool, s.Held, p.Limit())
		}
		if p.Overdraft.For == 0 {
			return time.Time{}, nil
		}
		return now.Add(p.Overdraft.For.Duration()), nil
	}
	return time.Time{}, Errorf(Conflict, "pool %s: %d units are in use and only %d would remain; drain the pool, use the overdraft, or release units first", s.Pool, s.Held, s.Capacity)
}
