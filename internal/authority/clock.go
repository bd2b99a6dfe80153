package authority

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"copyhold.dev/internal/licensing"
)

// A clock compares the wall clock that decisions use with the boot clock,
// which nobody sets. Where they part by more than half of the skew, something
// moved the wall clock: the time that goes on from before is used, and nothing
// is reclaimed, because holders may see another time. Slow corrections are
// followed, for the two are compared anew at each reading.
//
// It clears when they agree again. A wall clock that was set forward and then
// runs steadily for clockAdopt was more likely wrong before: it is taken over,
// and reclaiming waits for another clockSettle, in which every living holder
// renews by the new time. A clock that was set back is never taken over while
// the server runs; time never goes back.
//
// What an earlier process last saw is known when a server starts. A wall clock
// that is before it, or more than clockFar after it, is doubted in the same way:
// a server is rarely off for so long, and what is signed with a time to come
// cannot be taken back.
type clock struct {
	mu   sync.Mutex
	boot func() time.Duration
	skew time.Duration

	wall    time.Time     // the last reading that agreed
	at      time.Duration // on the boot clock
	set     bool
	resumed bool          // wall is an earlier process's, and nothing agreed with it yet
	offset  time.Duration // of the wall clock in doubt
	since   time.Duration // of that offset, on the boot clock
	unsure  bool
	settled time.Duration // reclaiming waits until then, on the boot clock
}

const (
	clockAdopt  = 15 * time.Minute
	clockSettle = 2 * time.Hour
	clockEvery  = time.Second
	clockFar    = 30 * 24 * time.Hour
)

// newClock returns a clock that goes on from mark, the latest time that an
// earlier process saw; zero is none.
func newClock(mark time.Time, boot func() time.Duration, skew time.Duration) *clock {
	c := &clock{boot: boot, skew: skew}
	if !mark.IsZero() {
		c.wall, c.at, c.set, c.resumed = mark, boot(), true, true
	}
	return c
}

// judge returns the time to use for a reading of the wall clock.
func (c *clock) judge(wall time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.boot()
	expected := c.wall.Add(at - c.at)
	offset := wall.Sub(expected)
	switch {
	case !c.set, offset.Abs() <= c.skew/2, c.resumed && offset > 0 && offset <= clockFar:
		c.wall, c.at, c.set, c.resumed, c.unsure = wall, at, true, false, false
		return wall
	case !c.unsure || (offset-c.offset).Abs() > c.skew/2:
		c.unsure, c.offset, c.since = true, offset, at
	case offset > 0 && at-c.since >= clockAdopt:
		c.wall, c.at, c.resumed, c.unsure = wall, at, false, false
		c.settled = at + clockSettle
		return wall
	}
	return expected
}

// restart has the clock believe its next reading, as at the first start.
func (c *clock) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set, c.resumed, c.unsure, c.settled = false, false, false, 0
}

// doubt reports whether nothing may be reclaimed.
func (c *clock) doubt() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsure || c.settled > 0 && c.boot() < c.settled
}

// state returns whether the clock is in doubt, and by how much it is off.
func (c *clock) state() (unsure bool, offset time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsure, c.offset
}

// runClock reads the clock even while nobody asks, and logs when it parts from
// the boot clock and when they agree again.
func (a *Authority) runClock(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	was := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := a.db.ReadClock(ctx)
		if ctx.Err() != nil {
			return
		}
		unsure, offset := a.clock.state()
		if err == nil && unsure != was {
			if err = a.noteClock(ctx, unsure, offset); err == nil {
				was = unsure
			}
		}
		a.task("clock", err)
	}
}

type clockEvent struct {
	Doubt  bool    `json:"doubt"`
	Offset float64 `json:"offset"` // seconds
}

func (a *Authority) noteClock(ctx context.Context, unsure bool, offset time.Duration) error {
	if a.log != nil {
		a.log.Log(ctx, slog.LevelWarn, "the wall clock and the boot clock disagree", "doubt", unsure, "offset", offset)
	}
	for _, env := range a.ring.Envs() {
		err := a.update(ctx, env, systemActor, func(c *change) error {
			e, err := licensing.NewEvent(licensing.ViolationClock, env, c.Now(), systemActor, clockEvent{unsure, offset.Seconds()})
			if err != nil {
				return err
			}
			_, err = c.Record(e)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
