//go:build !linux

package authority

import "time"

// bootClock returns a clock that nobody sets. It may stop while the machine is
// suspended, which looks like a wall clock set forward.
func bootClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
