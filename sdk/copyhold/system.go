package copyhold

import "time"

// A system is what the client asks of the machine; tests replace it.
type system struct {
	now        func() time.Time     // wall clock
	boot       func() time.Duration // since boot, asleep or awake; never goes back
	bootID     string               // "" when a boot cannot be named
	countSleep bool                 // boot counts time asleep
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
