package cli

import (
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"copyhold.dev/internal/licensing"
)

// seconds is a flag for a duration in whole seconds, for example 90s, 30m, 8h, 7d or 2w.
type seconds int64

func (s *seconds) Set(text string) error {
	span, err := licensing.ParseSpan(text)
	if err != nil {
		return err
	}
	if span == 0 {
		return errors.New("a duration must be longer than 0s")
	}
	*s = seconds(span.Duration() / time.Second)
	return nil
}

func (s *seconds) String() string {
	if *s == 0 {
		return ""
	}
	return (time.Duration(*s) * time.Second).String()
}

func (s *seconds) Type() string { return "length" }

func secondsVar(flags *pflag.FlagSet, into *int64, name, usage string) {
	flags.Var((*seconds)(into), name, usage)
}

// units is a flag for a number of units.
type units int64

func (u *units) Set(text string) error {
	n, err := licensing.ParseQuantity(text, 0) // 1.0 is also a whole number
	if err != nil || n < 1 {
		return errors.New("the number of units must be a whole number, at least 1")
	}
	*u = units(n)
	return nil
}

func (u *units) String() string { return strconv.FormatInt(int64(*u), 10) }

func (u *units) Type() string { return "int" }

func unitsVar(flags *pflag.FlagSet, into *int64, usage string) {
	*into = 1
	flags.Var((*units)(into), "units", usage)
}

// required marks a flag as required.
func required(cmd *cobra.Command, name string) {
	_ = cmd.MarkFlagRequired(name) // fails only for a flag that does not exist
}

// checkFlags checks the common flags and the required flags of a command.
func (c *cli) checkFlags(cmd *cobra.Command) error {
	if c.flags.output != "table" && c.flags.output != "json" {
		return usageError(cmd, "--output must be table or json, not %q", c.flags.output)
	}
	if c.flags.timeout <= 0 {
		return usageError(cmd, "--timeout must be longer than zero")
	}
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if err == nil && !f.Changed && len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 {
			err = usageError(cmd, "missing --%s", f.Name)
		}
	})
	return err
}
