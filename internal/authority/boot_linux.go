package authority

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock returns a clock that nobody sets and that goes on while the
// machine is suspended. In a sandbox that refuses it, it may stop meanwhile,
// which looks like a wall clock set forward.
func bootClock() func() time.Duration {
	start := time.Now()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return func() time.Duration { return time.Since(start) }
	}
	return func() time.Duration {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // it answered before
		return time.Duration(t.Nano())
	}
}
