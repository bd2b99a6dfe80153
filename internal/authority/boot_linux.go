package authority

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock returns a clock that nobody sets and that goes on while the
// machine is suspended.
func bootClock() func() time.Duration {
	return func() time.Duration {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
			panic(err) // every Linux that Go runs on has it
		}
		return time.Duration(t.Nano())
	}
}
