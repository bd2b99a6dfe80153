package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/seat"
)

// keeperName is the name of the hidden command that holds the seat for copyhold run.
const keeperName = "keep-seat"

func (c *cli) runCommand() *cobra.Command {
	var want seat.Request
	var onRecall string
	cmd := &cobra.Command{
		Use:   "run --pool POOL -- COMMAND [ARGUMENT...]",
		Short: "Run a command while holding a seat",
		Long: `Run takes a seat, starts the command and renews the seat while the command runs. It
releases the seat within 2 seconds after the command ends, no matter how: even if the
command or copyhold run itself is killed with SIGKILL. It passes signals on to the
command.

Run never stops a command that has started. If no server answers or the seat is lost,
the command continues and run prints a warning. If you name several servers (--url A,B),
any one that answers can renew the seat.

If an administrator recalls the seat, run sends the command the signal --on-recall. It
releases the seat after the time that the plan allows, even if the command continues.

Exit status: that of the command. Before the command has started: 1 the server refuses
the key; 2 the request is invalid; 3 the license denies it; 75 no server answered or
--wait ran out, try again; 126 the command cannot be started; 127 it was not found.`,
		Example: `  copyhold run --pool seats -- make test
  copyhold run --pool seats --wait 30m --holder job:4711 -- ./render.sh scene.blend
  copyhold run --pool cores --units 8 -- simulate --threads 8`,
		Args: atLeast("COMMAND"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := c.client(client.ByKey); err != nil {
				return err
			}
			want.RequestID, want.Instance = seat.NewRequestID(), seat.InstanceName()
			signal, err := seat.RecallSignal(onRecall)
			if err != nil {
				return client.Errorf(client.Usage, "--on-recall: %w", err)
			}
			return c.runWithSeat(cmd.Context(), args, seat.Run{
				Want: c.completed(want), OnRecall: signal, Environ: c.program.Environ, Say: func(text string) { c.sayf("copyhold: %s", text) },
				Keeper: append([]string{c.program.Args[0], keeperName}, c.flagArguments()...),
				Stdin:  c.program.Stdin, Stdout: c.program.Stdout, Stderr: c.program.Stderr, Terminal: isTerminal(c.program.Stdin),
			})
		},
	}
	c.seatFlags(cmd, &want)
	cmd.Flags().StringVar(&onRecall, "on-recall", seat.DefaultRecallSignal, "signal to send to the command on a recall: TERM, INT, HUP, QUIT, USR1, USR2 or none")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// runWithSeat runs a command with a seat, and ends with the command's exit status.
func (c *cli) runWithSeat(ctx context.Context, command []string, r seat.Run) error {
	status, err := r.Command(ctx, command)
	if err == nil && status != 0 {
		return &exit{status: status}
	}
	return err
}

// flagArguments returns the common flags as arguments for the keeper.
func (c *cli) flagArguments() []string {
	var args []string
	for name, value := range map[string]string{
		"url": c.flags.URL, "environment": c.flags.Environment, "profile": c.flags.Profile,
		"key-file": c.flags.KeyFile, "root-set": c.flags.RootSet, "ca": c.flags.CA, "timeout": c.flags.timeout.String(),
	} {
		if value != "" {
			args = append(args, "--"+name+"="+value)
		}
	}
	return args
}

func (c *cli) keeperCommand() *cobra.Command {
	return &cobra.Command{
		Use:    keeperName + " REQUEST",
		Hidden: true,
		Args:   exactly("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			seat.Outlive()
			var want seat.Request
			if err := json.Unmarshal([]byte(args[0]), &want); err != nil {
				return fmt.Errorf("reading the request: %w", err)
			}
			server, err := c.client(client.ByKey)
			if err != nil {
				return err
			}
			seat.Keep(cmd.Context(), server, want, c.program.Stdin, c.program.Stdout)
			return nil
		},
	}
}
