package cli

import (
	"cmp"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"copyhold.dev/internal/seat"
)

// callerFlags declares what a program can say of itself, its instance apart.
func callerFlags(flags *pflag.FlagSet, by *seat.Caller) {
	flags.StringVar(&by.Service, "service", "", "what runs, for those who look what depends on what (COPYHOLD_SERVICE)")
	flags.StringVar(&by.Version, "program-version", "", "its version")
	fills(flags, "program-version", "version")
	flags.StringVar(&by.Region, "region", "", "where it runs (COPYHOLD_REGION)")
}

// caller returns by with what flags left out taken from the environment.
func (c *cli) caller(by seat.Caller) seat.Caller {
	by.Service = cmp.Or(by.Service, c.getenv("COPYHOLD_SERVICE"))
	by.Region = cmp.Or(by.Region, c.getenv("COPYHOLD_REGION"))
	return by
}

// seatFlags declares what an acquire can say, for run and lease acquire.
func (c *cli) seatFlags(cmd *cobra.Command, want *seat.Request) {
	flags := cmd.Flags()
	flags.StringVar(&want.Pool, "pool", "", "pool to take the seat from, as the plan names it")
	unitsVar(flags, &want.Units, "units to take")
	flags.Var(&want.Holder, "holder", "who holds it: KIND:ID, or ID for a user; default who a program with the SDK is here: the pod or job, else your account where people are counted, else this machine")
	secondsVar(flags, &want.For, "for", "keep it this long, offline too (borrow), as in 8h; default as the plan says")
	secondsVar(flags, &want.Wait, "wait", "queue for at most this long if the pool is full, as in 30m")
	flags.StringToStringVar(&want.Holder.Components, "component", nil, "of a machine: NAME=HASH, by which a pool with match knows it again; default as the SDK computes them; repeatable")
	fills(flags, "component", "holder.components")
	callerFlags(flags, &want.Caller)
	required(cmd, "pool")
}

// completed fills in what the flags left open; the holder is left to the license.
func (c *cli) completed(want seat.Request) seat.Request {
	want.Caller = c.caller(want.Caller)
	return want
}
