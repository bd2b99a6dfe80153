// Package simulation is what copyholdtest and the client agree on: a clock in place of the
// machine's, and a client that does at once what is due. It is internal, so no program can
// simulate anything; package copyholdtest does so in tests only.
package simulation

import "time"

// A Machine stands in for the machine that a client runs on.
type Machine struct {
	Now    func() time.Time     // wall clock
	Boot   func() time.Duration // since boot
	Attach func(Program)        // called once by each client that opens
}

// A Program drives one client. Its functions may be called from any goroutine, one at a time.
type Program struct {
	Settle func()       // applies the clock, and returns once nothing that is due is left
	Hurry  func()       // makes everything due
	Next   func() int64 // unix seconds of the next change by itself, math.MaxInt64 without one
	Closed func() bool
}

// A Carrier is an HTTP transport that brings its machine along.
type Carrier interface{ Machine() Machine }
