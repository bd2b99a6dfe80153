package copyhold

import (
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// clockBoottime is CLOCK_BOOTTIME: the time since boot, including time asleep. Go's own monotonic
// clock stops during suspend.
const clockBoottime = 7

const bootClockCountsSleep = true

// newBootClock returns a clock that runs since boot. It reads 0 if the kernel refuses the call.
func newBootClock() func() time.Duration {
	return func() time.Duration {
		var ts syscall.Timespec
		_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&ts)), 0)
		if errno != 0 {
			return 0
		}
		return time.Duration(ts.Nano())
	}
}

// bootID names this boot. A boot-clock reading from disk is compared only with readings of the same
// boot.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
