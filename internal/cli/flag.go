package cli

import (
	"errors"
	"time"

	"github.com/spf13/pflag"

	"copyhold.dev/internal/licensing"
)

// seconds is a flag that holds whole seconds, written as 90s, 30m, 8h, 7d or 2w.
type seconds int64

func (s *seconds) Set(text string) error {
	span, err := licensing.ParseSpan(text)
	if err != nil {
		return err
	}
	if span == 0 {
		return errors.New("a length of time is longer than 0s")
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
