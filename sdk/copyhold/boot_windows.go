package copyhold

import (
	"math/bits"
	"syscall"
	"time"
)

const bootClockCountsSleep = true

// newBootClock returns a clock that runs since boot, including time asleep.
func newBootClock() func() time.Duration {
	ticks := syscall.NewLazyDLL("kernel32.dll").NewProc("GetTickCount64")
	if ticks.Find() != nil {
		return func() time.Duration { return 0 }
	}
	return func() time.Duration {
		low, high, _ := ticks.Call()
		ms := uint64(low)
		if bits.UintSize == 32 {
			ms |= uint64(high) << 32
		}
		return time.Duration(ms) * time.Millisecond
	}
}

// bootID is empty: Windows does not name its boots, so readings from disk are not used.
func bootID() string { return "" }
