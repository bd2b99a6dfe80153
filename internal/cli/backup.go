package cli

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/client"
	"copyhold.dev/internal/config"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/sqlite"
)

func (c *cli) backupCommand() *cobra.Command {
	var file target
	var final, yes bool
	cmd := &cobra.Command{
		Use:   "backup --to FILE",
		Short: "Back up a running server to one encrypted file",
		Long: `Backup downloads a consistent copy of the server's whole database, encrypted to the
server's sealing key, and checks that the file is complete. It needs an owner's token
that spans environments. Keep the sealing key elsewhere: without it, nobody can open
the backup.

Use --final to move a deployment. The server completes all writes before it makes the
backup and never writes again, not even after a restart. Programs get status 503 there
and switch to their next server. A server restored from this file takes over at once,
without the wait that a restore usually needs. If the file does not arrive complete,
repeat the command.`,
		Example: `  copyhold backup --to copyhold-2026-11-22.backup --token-file /var/lib/copyhold/owner.token
  copyhold backup --final --to move.backup`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := c.client(client.ByToken)
			if err != nil {
				return err
			}
			path := "/v1/backup"
			if final {
				if err := c.confirm(yes, "The server will stop writing permanently. Only a server restored from this backup can take over. Continue?"); err != nil {
					return err
				}
				path += "?final=true"
			}
			in, err := server.Stream(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: path})
			if err != nil {
				return err
			}
			defer in.Close()
			size, err := file.copy(in)
			return c.done(err, "%s: %d bytes", file.name, size)
		},
	}
	file.flags(cmd, forOwner, "file to write")
	cmd.Flags().BoolVar(&final, "final", false, "stop all writes permanently first, so that the restored server can take over")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation of a final backup")
	required(cmd, "to")
	return cmd
}

func (c *cli) restoreCommand() *cobra.Command {
	var check bool
	var identities []string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore a backup to an empty data folder or database",
		Long: `Restore checks the whole backup (its manifest, its seal and its log), loads it into an
empty SQLite or PostgreSQL database, and names the rows that do not match the log. Stop
the server first. The sealing key of the server that was backed up must be in place: in
sealing.key in the data folder, in COPYHOLD_SEALING_KEY, or as a systemd credential.

After a final backup, the restored server takes over at once. After any other backup,
leases granted since then may be missing, so each pool grants nothing new until those
leases could have expired. To see when that is, run copyhold fence show.

With --check, restore loads the backup into a temporary database under TMPDIR and
removes it afterward. This needs as much space as the original database.

Exit status 4: the backup is damaged or was changed; with --check, also if its rows do
not match its log.`,
		Example: `  copyhold restore copyhold-2026-11-22.backup --data /var/lib/copyhold
  copyhold restore copyhold-2026-11-22.backup --check`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := os.Open(args[0])
			if err != nil {
				return exitf(exitUsage, "%w", err)
			}
			defer in.Close()
			keys, err := readIdentities(identities)
			if err != nil {
				return err
			}
			if check {
				return c.checkBackup(cmd, in, keys)
			}
			return c.restore(cmd, in, keys)
		},
	}
	serverFlags(cmd.Flags())
	cmd.Flags().BoolVar(&check, "check", false, "only check the backup, and compare its rows with its log")
	cmd.Flags().StringArrayVar(&identities, "identity", nil, "file with an age identity that opens the backup, if the sealing key does not; repeatable")
	return cmd
}

func readIdentities(files []string) ([]age.Identity, error) {
	var all []age.Identity
	for _, file := range files {
		text, err := client.ReadText(file, client.MaxSmallFile)
		if err != nil {
			return nil, exitf(exitUsage, "%w", err)
		}
		found, err := age.ParseIdentities(strings.NewReader(text))
		if err != nil {
			return nil, exitf(exitUsage, "%s does not contain an age identity", file) // age's error would quote it
		}
		all = append(all, found...)
	}
	return all, nil
}

// checkBackup restores into a temporary database: only this proves that the backup can be
// restored.
func (c *cli) checkBackup(cmd *cobra.Command, in io.Reader, identities []age.Identity) (err error) {
	loaded, err := c.serverConfig(cmd.Flags())
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "copyhold-check-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := c.restoreInto(cmd.Context(), loaded.Config, dir, in, identities,
		func() (*store.DB, error) { return sqlite.Open(cmd.Context(), filepath.Join(dir, databaseFile)) })
	if err != nil {
		return err
	}
	if err := c.printBackup(b); err != nil || len(b.Mismatches) == 0 {
		return err
	}
	return exitf(exitTampered, "the rows do not match the log")
}

func (c *cli) restore(cmd *cobra.Command, in io.Reader, identities []age.Identity) error {
	loaded, err := c.serverConfig(cmd.Flags())
	if err != nil {
		return err
	}
	b, err := c.restoreInto(cmd.Context(), loaded.Config, loaded.Data, in, identities,
		func() (*store.DB, error) { return openDatabase(cmd.Context(), loaded.Config) })
	if err != nil {
		return err
	}
	return c.printBackup(b)
}

// restoreInto restores into the empty database that open opens, and records in dir what its
// servers must know.
func (c *cli) restoreInto(ctx context.Context, settings config.Config, dir string, in io.Reader, identities []age.Identity,
	open func() (*store.DB, error)) (recovery.Backup, error) {
	sealing, err := c.sealingSource(settings).Load(false)
	if err != nil {
		return recovery.Backup{}, exitf(exitUsage, "%w", err)
	}
	if err := os.MkdirAll(filepath.Clean(dir), 0o700); err != nil {
		return recovery.Backup{}, err
	}
	db, err := open()
	if err != nil {
		return recovery.Backup{}, err
	}
	b, err := recovery.Restore(ctx, ledger.Config{
		DB: db, Ring: signing.NewRing(sealing), Dir: dir, Log: c.logger(settings.Log),
	}, in, identities...)
	if err = errors.Join(err, db.Close()); err != nil {
		return recovery.Backup{}, damagedBackup(err)
	}
	return b, nil
}

// damagedBackup distinguishes a backup that cannot be trusted from a destination that cannot
// be used.
func damagedBackup(err error) error {
	if licensing.CodeOf(err) == licensing.Invalid {
		return exitf(exitTampered, "%w", err)
	}
	return err
}

func (c *cli) printBackup(b recovery.Backup) error {
	if c.asJSON() {
		return c.printJSON(b)
	}
	var rows, size int64
	for _, chunk := range b.Chunks {
		rows, size = rows+chunk.Rows, size+chunk.Size
	}
	c.printFields(record{
		"deployment": b.Deployment, "at": b.At.UTC().Format(time.RFC3339), "engine": b.Engine,
		"rows": strconv.FormatInt(rows, 10), "size": strconv.FormatInt(size, 10) + " bytes",
	},
		column{head: "DEPLOYMENT", path: "deployment"}, column{head: "TAKEN", path: "at"}, column{head: "FROM", path: "engine"},
		column{head: "ROWS", path: "rows"}, column{head: "SIZE", path: "size"})
	for _, env := range slices.Sorted(maps.Keys(b.Mismatches)) {
		for _, m := range b.Mismatches[env] {
			c.printf("  %s: %s\n", env, m)
		}
	}
	if len(b.Mismatches) > 0 {
		return c.done(nil, "%s: some rows in the backup do not match its log", c.tint("warning"))
	}
	return c.done(nil, "%s", c.tint("ok"))
}
