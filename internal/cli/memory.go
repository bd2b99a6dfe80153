package cli

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"copyhold.dev/internal/config"
)

// memoryShare is the percentage of the container's or the machine's memory that the server tries to
// stay within by default. SQLite's pages, stacks and other programs need the rest.
const memoryShare = 80

// boundMemory sets Go's memory limit unless the environment sets GOMEMLIMIT. There is no limit if
// neither the settings nor the system provide one.
func (c *cli) boundMemory(settings config.Memory) {
	if c.getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(settings.Limit) << 20
	if limit == 0 {
		total, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
		if err != nil || total == 0 {
			return
		}
		limit = int64(min(total, math.MaxInt64) / 100 * memoryShare)
	}
	debug.SetMemoryLimit(limit)
}

const (
	// mostGarbage and leastGarbage are how much the heap may grow beyond its live data before a
	// collection, in percent. A server keeps little on the heap, so Go's default of 100 would
	// collect every few megabytes of requests.
	mostGarbage, leastGarbage = 400, 100
	// garbageRoom is what the heap may grow by, in bytes, unless that is less than leastGarbage.
	garbageRoom = 128 << 20
	// collectEvery is how often the percentage follows the live data.
	collectEvery = 10 * time.Second
)

// gcPercent returns the percentage by which a heap with this much live data may grow.
func gcPercent(live uint64) int {
	return int(min(mostGarbage, max(leastGarbage, garbageRoom*100/max(live, 1))))
}

// collectLess keeps the percentage until ctx ends, unless the environment sets GOGC. The memory
// limit still applies: near it, Go collects as often as necessary.
func (c *cli) collectLess(ctx context.Context) {
	if c.getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(mostGarbage)
	go func() {
		tick := time.NewTicker(collectEvery)
		defer tick.Stop()
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for last := mostGarbage; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			metrics.Read(live)
			if next := gcPercent(live[0].Value.Uint64()); next != last {
				debug.SetGCPercent(next)
				last = next
			}
		}
	}()
}
