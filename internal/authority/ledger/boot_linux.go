package ledger

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ThisMachine returns the clocks of this machine. The boot clock continues while the machine is
// suspended. In a sandbox that denies access to this clock, the replacement may stop during
// suspension, which looks as if the wall clock was set forward. Each start then looks like one
// after a boot.
func ThisMachine() Machine {
	m := Machine{Boot: processBoot(), Up: processClock(), Synchronized: synchronized}
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return m
	}
	m.Up = func() time.Duration {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // it succeeded before
		return time.Duration(t.Nano())
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		m.Boot = strings.TrimSpace(string(id))
	}
	return m
}

// synchronized reports whether the kernel synchronizes its clock with another one, for example by
// NTP.
func synchronized() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t) // without a mode, it only reads
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}
