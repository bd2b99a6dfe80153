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
	return group("clock", "The server's time, and how to correct it after a wrong clock", "  copyhold clock show --data /var/lib/copyhold",
		c.clockShowCommand(), c.clockSetBackCommand(), c.clockAcceptCommand())
}

func (c *cli) clockShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Compare the time that a database has seen with the clock",
		Long: `Show opens the database that the settings name and prints the latest time that a
server had and what the clock says. A server's time never goes back: if it lies ahead,
a server had adopted a clock that was wrong. An embedded database opens for one process
at a time: stop the server first.`,
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
		Short: "Go on from what the clock says, after a server adopted one that ran ahead",
		Long: `Set-back is for a server whose clock ran ahead for so long that it was believed, and
is right again. Stop every server on the database first, and take a backup. What was
signed stays as good as it was: units stay with their holders until they renew, release
or their documents end; nothing is granted twice. A new epoch begins, so that what is
signed from now on replaces what was signed with the wrong time. It is recorded in the
log of every environment. See docs/clock.md.`,
		Example: "  copyhold clock set-back --data /var/lib/copyhold --reason 'the RTC battery was empty'",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd, func(db *store.DB, settings config.Config, sealing *signing.SealingKey) error {
				mark, wall, err := recovery.ClockAhead(cmd.Context(), ledger.Config{DB: db})
				if err != nil {
					return err
				}
				question := fmt.Sprintf("The record is at %s, the clock says %s. Set it back by %s.",
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
	cmd.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	required(cmd, "reason")
	return cmd
}

func (c *cli) clockAcceptCommand() *cobra.Command {
	var yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "accept --reason TEXT",
		Short: "Go on from what the clock says, after a stop of more than 30 days that nothing explains",
		Long: `Accept is for a machine that was off for more than 30 days, has booted since, and has
nothing that proves its clock: no synchronized kernel, and no second machine. A server
follows such a clock for 30 days at most. Check the date yourself, stop every server on the
database, and accept it. Units that were held keep the time that they had left, so that
nothing is granted twice even if the clock is wrong. It is recorded in the log of every
environment. See docs/clock.md.`,
		Example: "  copyhold clock accept --data /var/lib/copyhold --reason 'the plant was closed for the season'",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabaseBy(cmd, openAlone, func(db *store.DB, settings config.Config, sealing *signing.SealingKey) error {
				mark, wall, err := recovery.ClockAhead(cmd.Context(), ledger.Config{DB: db})
				if err != nil {
					return err
				}
				if wall.After(mark) {
					question := fmt.Sprintf("The record is at %s, the clock says %s. Go on from the clock.", mark.UTC().Format(time.RFC3339), wall.UTC().Format(time.RFC3339))
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
				c.printf("accepted %s; the record was at %s\n", done.To.Format(time.RFC3339), done.From.Format(time.RFC3339))
				return c.done(nil, "units that were held keep the time that they had left; start the servers")
			})
		},
	}
	serverFlags(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	required(cmd, "reason")
	return cmd
}

// withDatabase runs fn on the database that the settings name, which has to be there.
func (c *cli) withDatabase(cmd *cobra.Command, fn func(*store.DB, config.Config, *signing.SealingKey) error) error {
	return c.withDatabaseBy(cmd, openDatabase, fn)
}

// withDatabaseBy is withDatabase with the way to open it.
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
	c.printf("set back from %s to %s; epoch %d begins\n", set.From.UTC().Format(time.RFC3339), set.To.UTC().Format(time.RFC3339), set.Epoch)
	if set.Ahead > 0 {
		c.printf("%d leases were signed with the wrong time: their units stay with them until they are renewed, released or end\n", set.Ahead)
	}
	if set.Fenced {
		c.printf("newcomers wait until what may be in use has ended: copyhold status shows since when\n")
	}
	for _, id := range set.Licenses {
		c.printf("the term of %s began by the wrong time, and begins at the right one now\n", id)
	}
	return c.done(nil, "start the servers")
}
