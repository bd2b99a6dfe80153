package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// seconds is a flag that holds whole seconds, written as 90s, 30m, 8h or 7d.
type seconds int64

func (s *seconds) Set(text string) error {
	d, err := parseLength(text)
	if err != nil {
		return err
	}
	*s = seconds(d / time.Second)
	return nil
}

func (s *seconds) String() string {
	if *s == 0 {
		return ""
	}
	return (time.Duration(*s) * time.Second).String()
}

func (s *seconds) Type() string { return "duration" }

func secondsVar(flags *pflag.FlagSet, into *int64, name, usage string) {
	flags.Var((*seconds)(into), name, usage)
}

// parseLength reads a positive length in whole seconds; d is a day of 24 hours.
func parseLength(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err != nil || n <= 0 {
			return 0, fmt.Errorf("%q is not a number of days", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d%time.Second != 0 {
		return 0, fmt.Errorf("%q is not a length in whole seconds, as 90s, 30m, 8h or 7d", text)
	}
	return d, nil
}
