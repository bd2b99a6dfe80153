package cli

import (
	"cmp"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"copyhold.dev/internal/seat"
)

// callerFlags declares the flags that describe a program, except its instance.
func callerFlags(flags *pflag.FlagSet, by *seat.Caller) {
	flags.StringVar(&by.Service, "service", "", "service that uses the license, shown when tracing dependencies (COPYHOLD_SERVICE)")
	flags.StringVar(&by.Version, "program-version", "", "version of the service")
	fills(flags, "program-version", "version")
	flags.StringVar(&by.Region, "region", "", "region where the service runs (COPYHOLD_REGION)")
}

// caller fills in values that the flags omit from the environment.
func (c *cli) caller(by seat.Caller) seat.Caller {
	by.Service = cmp.Or(by.Service, c.getenv("COPYHOLD_SERVICE"))
	by.Region = cmp.Or(by.Region, c.getenv("COPYHOLD_REGION"))
	return by
}

// seatFlags declares the flags of an acquire, for run and lease acquire.
func (c *cli) seatFlags(cmd *cobra.Command, want *seat.Request) {
	flags := cmd.Flags()
	flags.StringVar(&want.Pool, "pool", "", "pool to take units from, as named in the plan")
	unitsVar(flags, &want.Units, "number of units to take")
	flags.Var(&want.Holder, "holder", "holder: KIND:ID, or ID for a user; default: the identity the SDK would use here (the pod or job, else your account if the pool counts people, else this machine)")
	secondsVar(flags, &want.For, "for", "borrow it for this long, even offline, for example 8h; default: set by the plan")
	secondsVar(flags, &want.Wait, "wait", "wait in the queue for at most this long if the pool is full, for example 30m")
	flags.StringToStringVar(&want.Holder.Components, "component", nil, "component of the machine: NAME=HASH, for pools with match; default: as the SDK computes it; repeatable")
	fills(flags, "component", "holder.components")
	callerFlags(flags, &want.Caller)
	required(cmd, "pool")
}

// completed fills in values that the flags omit, except the holder, which depends on the
// license.
func (c *cli) completed(want seat.Request) seat.Request {
	want.Caller = c.caller(want.Caller)
	return want
}
