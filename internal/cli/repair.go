package cli

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/config"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
)

func (c *cli) repairCommand() *cobra.Command {
	var apply bool
	var file target
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Correct counters of pools and meters that are not as their rows",
		Long: `Repair compares the counters of every pool with its leases and tickets, and every
total of a meter with its usage events, and shows what it would do. With --apply it
does that, after it has written a backup. No server may run on the database.

A counter that is too low is raised at once: nothing more is granted by it. One that is
too high is lowered only where the leases and the log agree and every document of the
leases that have ended is past its end; until then repair says how long to wait. It
deletes nothing, and each change is in the log of its environment. See docs/repair.md.

Exit status 4: counters are, or stay, not as their rows.`,
		Example: `  copyhold repair --data /var/lib/copyhold
  copyhold repair --data /var/lib/copyhold --apply --backup before-repair.backup`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (file.given() || file.force) && !apply {
				return usageError(cmd, "--backup and --force have no effect without --apply")
			}
			return c.withDatabaseBy(cmd, openAlone, func(db *store.DB, settings config.Config, sealing *signing.SealingKey) error {
				configured := ledger.Config{DB: db, Ring: signing.NewRing(sealing), Dir: settings.Data, Log: c.logger(settings.Log)}
				if !apply {
					planned, err := recovery.PlanRepair(cmd.Context(), configured)
					if err != nil {
						return err
					}
					return c.printRepair(planned)
				}
				done, err := recovery.ApplyRepair(cmd.Context(), configured, func(write func(io.Writer) error) error { return c.backUpTo(file, write) })
				if err != nil {
					return err
				}
				return c.printRepair(done)
			})
		},
	}
	serverFlags(cmd.Flags())
	cmd.Flags().BoolVar(&apply, "apply", false, "correct the counters instead of showing what would be done")
	file.flagsAs(cmd, "backup", forOwner, "file for the backup that --apply writes first; default asks for it")
	return cmd
}

// backUpTo writes a backup to a file, whose name it asks for if there is none.
func (c *cli) backUpTo(file target, write func(io.Writer) error) (err error) {
	if !file.given() {
		if file.name, err = c.prompt("A backup is written before counters are changed. Which file?", "", "--backup FILE"); err != nil {
			return err
		}
	}
	from, to := io.Pipe()
	var writing sync.WaitGroup
	writing.Go(func() { to.CloseWithError(write(to)) }) // without an error it is the end
	size, err := file.copy(from)
	from.CloseWithError(err) // what can't be kept is not written on
	writing.Wait()
	if err == nil {
		c.note("%s: %d bytes", file.name, size)
	}
	return err
}

func (c *cli) printRepair(r recovery.Repair) error {
	left := r.Left()
	if !r.Applied {
		left = len(r.Fixes)
	}
	if c.asJSON() {
		if err := c.printJSON(r); err != nil {
			return err
		}
	} else {
		c.printf("counters of %s and %s compared with their rows\n", licensing.Counted(r.Pools, "pool"), licensing.Counted(r.Totals, "usage total"))
		c.printFixes(r)
	}
	switch {
	case left > 0 && r.Changes() > 0 && !r.Applied:
		return exitf(exitTampered, "%s can be corrected: repeat with --apply", licensing.Counted(r.Changes(), "counter"))
	case left > 0:
		return exitf(exitTampered, "%s left as they are", licensing.Counted(left, "counter"))
	}
	return c.done(nil, "%s", c.tint("ok"))
}

func (c *cli) printFixes(r recovery.Repair) {
	if len(r.Fixes) == 0 {
		return
	}
	rows := make([]record, len(r.Fixes))
	for i, f := range r.Fixes {
		reason := f.Reason
		if !f.Until.IsZero() {
			reason = fmt.Sprintf("%s (%s)", reason, f.Until.UTC().Format(time.RFC3339))
		}
		name := f.Pool
		if f.Meter != "" {
			name = f.Meter + " since " + f.Period.UTC().Format(time.RFC3339)
		}
		rows[i] = record{"environment": string(f.Env), "license": string(f.License), "of": name, "counter": f.Name,
			"stored": strconv.FormatInt(f.Stored, 10), "rows": strconv.FormatInt(f.Rows, 10), "to": strconv.FormatInt(f.To, 10),
			"action": string(f.Action), "reason": reason}
	}
	c.printTable(rows, column{head: "ENVIRONMENT", path: "environment"}, column{head: "LICENSE", path: "license"}, column{head: "POOL OR METER", path: "of"},
		column{head: "COUNTER", path: "counter"}, column{head: "STORED", path: "stored"}, column{head: "ROWS", path: "rows"},
		column{head: "ACTION", path: "action"}, column{head: "TO", path: "to"}, column{head: "REASON", path: "reason"})
}
