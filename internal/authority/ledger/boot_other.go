//go:build !linux

package ledger

// ThisMachine returns what is known of this machine's clocks. The boot clock is the
// process's: it may stop while the machine is suspended, which looks like a wall
// clock set forward. Whether the clock is synchronized is not known.
func ThisMachine() Machine {
	return Machine{Boot: processBoot(), Up: processClock(), Synchronized: func() bool { return false }}
}
