package cli

import (
	"net/http"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
)

func fencedColumns() []column {
	return []column{{head: "FENCED PLAN", path: "plan"}, {head: "POOL", path: "pool"}, {head: "NO NEW GRANTS BEFORE", path: "until"}}
}

func (c *cli) fenceCommand() *cobra.Command {
	return group("fence", "Show or end the wait for leases that a restore may have lost", "  copyhold fence show",
		c.fenceShowCommand(), c.fenceEndCommand())
}

func (c *cli) fenceShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show which pools grant nothing new after a restore, and until when",
		Long: `After a restore or a rollback, the server may not know all the leases that it granted.
Holders keep their leases. A pool grants nothing new until the longest lease that it
could have granted has expired. Licenses issued since the restore do not wait.`,
		Example: "  copyhold fence show\n  copyhold fence show --environment staging --output json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/fence"})
			if err != nil {
				return err
			}
			return c.printFence(a, "")
		},
	}
}

func (c *cli) fenceEndCommand() *cobra.Command {
	var reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "end --reason TEXT",
		Short: "Declare that no lease was lost; two people must do this",
		Long: `End records your declaration that no lease was lost. A second person must confirm it
within a day; pools then grant new leases again. Two tokens count as two people unless
one created the other. Both declarations are in the log.

If leases were lost after all, their holders keep them, and more units can be in use
than were sold until those leases expire.`,
		Example: "  copyhold fence end --reason 'the server was off since the backup'",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.confirm(yes, "If leases were lost after all, more units can be in use than were sold. Declare that none were lost?"); err != nil {
				return err
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/fence/declaration", Body: map[string]any{"reason": reason}})
			if err != nil {
				return err
			}
			return c.printFence(a, "fence.")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "evidence that no lease was lost; recorded in the log")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	required(cmd, "reason")
	return cmd
}

// printFence prints the fence that an answer has under prefix.
func (c *cli) printFence(a client.Answer, prefix string) error {
	if c.asJSON() {
		return c.printJSON(a.Body)
	}
	var r record
	if err := readRecord(a.Body, &r); err != nil {
		return err
	}
	if ended, _ := r.at("ended").(bool); ended {
		return c.done(nil, "the fence has ended; pools grant new leases again")
	}
	if fenced, _ := r.at(prefix + "fenced").(bool); !fenced {
		return c.done(nil, "no pools are waiting for leases that a restore may have lost")
	}
	c.printFields(r,
		column{head: "FENCED SINCE", path: prefix + "since"}, column{head: "UNTIL", path: prefix + "until"}, column{head: "REASON", path: prefix + "reason"},
		column{head: "DECLARED BY", path: prefix + "declared.by"}, column{head: "DECLARED AT", path: prefix + "declared.at"},
		column{head: "CONFIRM BEFORE", path: prefix + "declared.until"}, column{head: "DECLARED REASON", path: prefix + "declared.reason"})
	c.printSection(r, prefix+"pools", fencedColumns()...)
	return nil
}
