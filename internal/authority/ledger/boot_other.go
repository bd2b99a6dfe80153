//go:build !linux

package ledger

// ThisMachine returns the available information about this machine's clocks. The boot clock is that
// of the process. It may stop while the machine is suspended, which looks as if the wall clock was
// set forward. Whether the clock is synchronized is unknown.
func ThisMachine() Machine {
	return Machine{Boot: processBoot(), Up: processClock(), Synchronized: func() bool { return false }}
}
