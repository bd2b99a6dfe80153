package ledger

import (
	"crypto/rand"
	"time"
)

// processClock returns a clock that nobody sets and that begins with this process.
func processClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// processBoot names the clock of this process on a machine whose boots have no name.
func processBoot() string { return "process-" + rand.Text() }
