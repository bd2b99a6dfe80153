//go:build !linux && !windows

package copyhold

import "time"

// bootClockCountsSleep is false: the monotonic clock stops while the machine sleeps.
const bootClockCountsSleep = false

// newBootClock returns the monotonic clock of this process.
func newBootClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// bootID is empty: a reading of this process means nothing to another process.
func bootID() string { return "" }
