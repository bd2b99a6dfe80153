package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
)

// Exit statuses. They are documented in docs/cli.md and never change meaning.
const (
	exitDone        = 0
	exitFailed      = int(client.Failed)
	exitUsage       = int(client.Usage)
	exitDenied      = int(client.Denied)
	exitTampered    = 4
	exitGains       = 10                      // plan diff: something changes, and no license loses
	exitLoses       = 11                      // plan diff: at least one license loses
	exitUnknown     = 5                       // a document that the pinned root set does not vouch for
	exitWithdrawn   = 6                       // a document signed with a withdrawn key
	exitUnavailable = int(client.Unavailable) // EX_TEMPFAIL of sysexits.h
)

// An exit is an error with an exit status. Without a reason, the process ends silently,
// because everything was already printed.
type exit struct {
	status int
	reason error
}

func (e *exit) Error() string {
	if e.reason == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.reason.Error()
}

func (e *exit) Unwrap() error { return e.reason }

func exitf(status int, format string, args ...any) error {
	return &exit{status: status, reason: fmt.Errorf(format, args...)}
}

// usageError returns an error that describes what is wrong with the command line and where to
// find help.
func usageError(cmd *cobra.Command, format string, args ...any) error {
	return exitf(exitUsage, "%s\nsee: %s --help", fmt.Sprintf(format, args...), cmd.CommandPath())
}

// report prints an error, once, and returns the exit status.
func (c *cli) report(err error) int {
	if err == nil {
		return exitDone
	}
	status := exitFailed
	var e *exit
	var p *client.Problem
	var here *licensing.Error // from a command that works on the database directly
	switch {
	case errors.As(err, &e):
		status = e.status
		if e.reason == nil {
			return status
		}
	case errors.As(err, &p), client.KindOf(err) != client.Failed:
		status = int(client.KindOf(err))
	case errors.Is(err, context.Canceled):
		return exitFailed
	case errors.As(err, &here) && here.Field != "" && c.command != nil:
		p = &client.Problem{Code: string(here.Code), Detail: err.Error(), Field: here.Field, Typed: typed(c.command, here.Field)}
		err = p // reported like a server's error
	}
	if c.flags.output != "json" {
		c.sayf("copyhold: %v", err)
		return status
	}
	if p == nil && !errors.As(err, &p) {
		p = &client.Problem{Detail: err.Error()}
	}
	_ = json.NewEncoder(c.program.Stderr).Encode(p) // there is nowhere else to report it
	return status
}

// exactly accepts one argument per name; its errors show the names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usageError(cmd, "missing %s", names[len(args)])
		}
		if len(args) > len(names) {
			return usageError(cmd, "unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// atLeast accepts one or more arguments of the same kind.
func atLeast(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError(cmd, "missing %s", name)
		}
		return nil
	}
}

// showGroup runs a command that only groups others: it prints the help.
func showGroup(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(cmd, "unknown command %q", args[0])
	}
	return cmd.Help()
}

// setHelp makes it an error to request help for a command that does not exist, so that a
// script can find out whether this program has a command.
func (c *cli) setHelp(root *cobra.Command) {
	show := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if rest := cmd.Flags().Args(); cmd.HasSubCommands() && len(rest) > 0 {
			c.noHelp = usageError(cmd, "unknown command %q", rest[0])
			return
		}
		show(cmd, args)
	})
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]", Short: "Help about any command", Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageError(root, "unknown command %q", strings.Join(args, " "))
			}
			return found.Help()
		},
	})
}

// group returns a command that only groups others.
func group(use, short, example string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs, RunE: showGroup}
	cmd.AddCommand(children...)
	return cmd
}
