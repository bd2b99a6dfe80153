package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/config"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
)

func (c *cli) clockCommand() *cobra.Command {
	return group("clock", "Show the server's time, or correct it after a wrong clock", "  copyhold clock show --data /var/lib/copyhold",
		c.clockShowCommand(), c.clockSetBackCommand(), c.clockAcceptCommand())
}

func (c *cli) clockShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Compare the clock with the latest time recorded in the database",
		Long: `Show opens the configured database and prints the latest time that a server recorded
and the current time of the clock. A server's time never goes back. If the recorded
time is ahead of the clock, a server accepted a wrong clock. Only one process at a time
can open an embedded database, so stop the server first.`,
		Example: "  copyhold clock show --data /var/lib/copyhold",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd, func(db *store.DB, _ config.Config, _ *signing.SealingKey) error {
				mark, wall, err := recovery.ClockAhead(cmd.Context(), ledger.Config{DB: db})
				if err != nil {
					return err
				}
				ahead := max(mark.Sub(wall).Round(time.Second), 0)
				if c.asJSON() {
					return c.printJSON(map[string]any{"record": mark.UTC(), "clock": wall.UTC(), "ahead_seconds": int64(ahead / time.Second)})
				}
				c.printFields(record{"record": mark.UTC().Format(time.RFC3339), "clock": wall.UTC().Format(time.RFC3339), "ahead": ahead.String()},
					column{head: "RECORD", path: "record"}, column{head: "CLOCK", path: "clock"}, column{head: "AHEAD", path: "ahead"})
				return nil
			})
		},
	}
	serverFlags(cmd.Flags(), "data", "database", "database_password", "sealing.key")
	return cmd
}

func (c *cli) clockSetBackCommand() *cobra.Command {
	var yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "set-back --reason TEXT",
		Short: "Set the server's time back, after a server accepted a clock that ran ahead",
		Long: `Use set-back if a server's clock ran ahead for so long that the server accepted it, and
the clock is now right again. First stop every server on the database and make a backup.
Signed documents remain valid: holders keep their units until they renew, release them
or their documents expire, and nothing is granted twice. A new epoch begins, so that new
documents replace those signed with the wrong time. The change is recorded in the log
of every environment. See docs/clock.md.`,
		Example: "  copyhold clock set-back --data /var/lib/copyhold --reason 'the RTC battery was empty'",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd, func(db *store.DB, settings config.Config, sealing *signing.SealingKey) error {
				mark, wall, err := recovery.ClockAhead(cmd.Context(), ledger.Config{DB: db})
				if err != nil {
					return err
				}
				question := fmt.Sprintf("The recorded time is %s, and the clock shows %s. The recorded time will be set back by %s.",
					mark.UTC().Format(time.RFC3339), wall.UTC().Format(time.RFC3339), mark.Sub(wall).Round(time.Second))
				if mark.After(wall) {
					if err := c.confirm(yes, question); err != nil {
						return err
					}
				}
				set, err := recovery.SetClockBack(cmd.Context(), ledger.Config{
					DB: db, Ring: signing.NewRing(sealing), Dir: settings.Data, Log: c.logger(settings.Log),
				}, reason)
				if err != nil {
					return err
				}
				return c.printSetBack(set)
			})
		},
	}
	serverFlags(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().StringVar(&reason, "reason", "", "reason to record in the log")
	required(cmd, "reason")
	return cmd
}

func (c *cli) clockAcceptCommand() *cobra.Command {
	var yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "accept --reason TEXT",
		Short: "Accept the clock after an unexplained stop of more than 30 days",
		Long: `Use accept if a machine was off for more than 30 days, has booted since, and nothing
proves its clock: the kernel's clock is not synchronized and there is no second machine.
A server follows such a clock for at most 30 days. Check the date yourself, stop every
server on the database, and then run accept. Held units keep the time they had left, so
that nothing is granted twice even if the clock is wrong. The change is recorded in the
log of every environment. See docs/clock.md.`,
		Example: "  copyhold clock accept --data /var/lib/copyhold --reason 'the plant was closed for the season'",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabaseBy(cmd, openAlone, func(db *store.DB, settings config.Config, sealing *signing.SealingKey) error {
				mark, wall, err := recovery.ClockAhead(cmd.Context(), ledger.Config{DB: db})
				if err != nil {
					return err
				}
				if wall.After(mark) {
					question := fmt.Sprintf("The recorded time is %s, and the clock shows %s. The clock will be accepted.", mark.UTC().Format(time.RFC3339), wall.UTC().Format(time.RFC3339))
					if err := c.confirm(yes, question); err != nil {
						return err
					}
				}
				done, err := recovery.AcceptClock(cmd.Context(), ledger.Config{
					DB: db, Ring: signing.NewRing(sealing), Dir: settings.Data, Log: c.logger(settings.Log),
				}, reason)
				if err != nil {
					return err
				}
				if c.asJSON() {
					return c.printJSON(done)
				}
				c.printf("accepted %s; the recorded time was %s\n", done.To.Format(time.RFC3339), done.From.Format(time.RFC3339))
				return c.done(nil, "held units keep the time they had left; start the servers")
			})
		},
	}
	serverFlags(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().StringVar(&reason, "reason", "", "reason to record in the log")
	required(cmd, "reason")
	return cmd
}

// withDatabase runs fn on the configured database, which must exist.
func (c *cli) withDatabase(cmd *cobra.Command, fn func(*store.DB, config.Config, *signing.SealingKey) error) error {
	return c.withDatabaseBy(cmd, openDatabase, fn)
}

// withDatabaseBy is like withDatabase, but uses open to open the database.
func (c *cli) withDatabaseBy(cmd *cobra.Command, open func(context.Context, config.Config) (*store.DB, error),
	fn func(*store.DB, config.Config, *signing.SealingKey) error) error {
	loaded, err := c.serverConfig(cmd.Flags())
	if err != nil {
		return err
	}
	sealing, err := c.sealingSource(loaded.Config).Load(false)
	if err != nil {
		return exitf(exitUsage, "%w", err)
	}
	if !loaded.Postgres() {
		path := loaded.Database.Reveal()
		if path == "" {
			path = filepath.Join(loaded.Data, databaseFile)
		}
		if _, err := os.Stat(path); err != nil {
			return exitf(exitUsage, "%w", err)
		}
	}
	db, err := open(cmd.Context(), loaded.Config)
	if err != nil {
		return err
	}
	return errors.Join(fn(db, loaded.Config, sealing), db.Close())
}

func (c *cli) printSetBack(set recovery.ClockSetBack) error {
	if c.asJSON() {
		return c.printJSON(set)
	}
	c.printf("set the time back from %s to %s; epoch %d begins\n", set.From.UTC().Format(time.RFC3339), set.To.UTC().Format(time.RFC3339), set.Epoch)
	if set.Ahead > 0 {
		c.printf("%d leases were signed with the wrong time; they keep their units until they are renewed or released, or expire\n", set.Ahead)
	}
	if set.Fenced {
		c.printf("new requests wait until leases that may be in use have expired; see copyhold status\n")
	}
	for _, id := range set.Licenses {
		c.printf("the term of %s started at the wrong time; its start is now corrected\n", id)
	}
	return c.done(nil, "start the servers")
}
