package copyhold

import "time"

// A system is the interface to the machine; tests replace it.
type system struct {
	now        func() time.Time     // wall clock
	boot       func() time.Duration // since boot, including time asleep; never goes back
	bootID     string               // "" if the system does not name its boots
	countSleep bool                 // whether boot includes time asleep
	getenv     func(string) string
	machine    func() machine
}

func realSystem(getenv func(string) string) system {
	return system{
		now:        time.Now,
		boot:       newBootClock(),
		bootID:     bootID(),
		countSleep: bootClockCountsSleep,
		getenv:     getenv,
		machine:    thisMachine,
	}
}
