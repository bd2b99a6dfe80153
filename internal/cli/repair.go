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
		Short: "Correct pool and meter counters that do not match their rows",
		Long: `Repair compares the counters of every pool with its leases and tickets, and the totals
of every meter with its usage events. It shows the corrections that it would make. With
--apply, it first writes a backup and then makes them. Stop all servers that use the
database first.

Repair raises a counter that is too low at once, because this cannot grant anything
more. It lowers a counter that is too high only if the leases agree with the log and
every document of the ended leases has expired; until then it shows how long to wait.
Repair deletes nothing, and it records each change in the log of the environment. See
docs/repair.md.

Exit status 4: some counters do not match their rows, or were left uncorrected.`,
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
	cmd.Flags().BoolVar(&apply, "apply", false, "make the corrections instead of only showing them")
	file.flagsAs(cmd, "backup", forOwner, "file for the backup that --apply writes first; by default, repair asks for it")
	return cmd
}

// backUpTo writes a backup to a file. If the file has no name, it asks for one.
func (c *cli) backUpTo(file target, write func(io.Writer) error) (err error) {
	if !file.given() {
		if file.name, err = c.prompt("File for the backup that is written before counters change:", "", "--backup FILE"); err != nil {
			return err
		}
	}
	from, to := io.Pipe()
	var writing sync.WaitGroup
	writing.Go(func() { to.CloseWithError(write(to)) }) // a nil error means the end of the stream
	size, err := file.copy(from)
	from.CloseWithError(err) // stop writing if the file cannot be written
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
		c.printf("compared the counters of %s and %s with their rows\n", licensing.Counted(r.Pools, "pool"), licensing.Counted(r.Totals, "usage total"))
		c.printFixes(r)
	}
	switch {
	case left > 0 && r.Changes() > 0 && !r.Applied:
		return exitf(exitTampered, "%s can be corrected; rerun with --apply", licensing.Counted(r.Changes(), "counter"))
	case left > 0:
		return exitf(exitTampered, "%s not corrected", licensing.Counted(left, "counter"))
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
