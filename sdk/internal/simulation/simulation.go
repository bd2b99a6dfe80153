// Package simulation is the interface between copyholdtest and the client: a replacement for the
// machine's clock, and control over when the client does its due work. It is internal, so no
// program can simulate anything. Package copyholdtest does so only in tests.
package simulation

import "time"

// A Machine replaces the machine that a client runs on.
type Machine struct {
	Now    func() time.Time     // wall clock
	Boot   func() time.Duration // since boot
	Attach func(Program)        // called once by each client that opens
}

// A Program drives one client. Its functions may be called from any goroutine, one at a time.
type Program struct {
	Settle func()       // applies the clock, and returns once all due work is done
	Hurry  func()       // makes everything due
	Next   func() int64 // unix seconds of the next change by itself; math.MaxInt64 if there is none
	Closed func() bool
}

// A Carrier is an HTTP transport that provides a Machine.
type Carrier interface{ Machine() Machine }
