package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/config"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/sqlite"
)

// databaseFile is the name of the embedded database in the data folder.
const databaseFile = "copyhold.db"

// A deployment is a database with everything needed to work on it. Its authority is not started.
type deployment struct {
	db          *store.DB
	authority   *authority.Authority
	instruments *metrics.Metrics
	record      *os.File // of signed documents; may be nil
}

// Close closes the database and the record.
func (d *deployment) Close() error {
	if d.record == nil {
		return d.db.Close()
	}
	return errors.Join(d.db.Close(), d.record.Close())
}

// openDeployment opens the configured deployment, and creates what is missing: the data
// folder, the database and, for a new database, the sealing key.
func (c *cli) openDeployment(ctx context.Context, settings config.Config, log *slog.Logger) (*deployment, error) {
	if err := os.MkdirAll(settings.Data, 0o700); err != nil {
		return nil, fmt.Errorf("creating the data folder: %w", err)
	}
	db, err := openDatabase(ctx, settings)
	if err != nil {
		return nil, err
	}
	d := &deployment{db: db, instruments: metrics.New(time.Now)}
	if err := c.unseal(ctx, d, settings, log); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// unseal sets d's authority. It creates a sealing key only if the database contains nothing
// sealed: otherwise a new key could open nothing, but would look like the right one.
func (c *cli) unseal(ctx context.Context, d *deployment, settings config.Config, log *slog.Logger) error {
	begun := false
	err := d.db.View(ctx, func(tx *store.Tx) (err error) {
		_, begun, err = tx.Deployment(ctx)
		return err
	})
	if err != nil {
		return err
	}
	source := c.sealingSource(settings)
	sealing, err := source.Load(!begun)
	if errors.Is(err, fs.ErrNotExist) {
		return lostKey(source)
	}
	if err != nil {
		return err
	}
	ring := signing.NewRing(sealing)
	if settings.Record != "" {
		if d.record, err = os.OpenFile(settings.Record, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
			return fmt.Errorf("opening the record of signed documents: %w", err)
		}
		ring.RecordTo(d.record)
	}
	d.authority = authority.New(ledger.Config{
		DB: d.db, Ring: ring, Dir: settings.Data, Log: log, Metrics: d.instruments,
		Cache: cache.Budget(settings.Memory.Cache) << 20,
	})
	return nil
}

// lostKey returns the error for a database without its sealing key.
func lostKey(source signing.SealingSource) error {
	return fmt.Errorf("the sealing key of this database is missing: put your copy in %s, or name its file with COPYHOLD_SEALING_KEY_FILE", source.File)
}

// openDatabase opens PostgreSQL by URL or SQLite by path.
func openDatabase(ctx context.Context, settings config.Config) (*store.DB, error) {
	if settings.Postgres() {
		return postgres.Open(ctx, settings.Database.Reveal(), settings.DatabasePassword.Reveal())
	}
	return sqlite.Open(ctx, sqliteFile(settings))
}

// sqliteFile returns the path of the SQLite database.
func sqliteFile(settings config.Config) string {
	return cmp.Or(settings.Database.Reveal(), filepath.Join(settings.Data, databaseFile))
}

// examineDatabase examines the database that openDatabase would open, and changes nothing.
func examineDatabase(ctx context.Context, settings config.Config) (store.Examined, error) {
	if settings.Postgres() {
		return postgres.Examine(ctx, settings.Database.Reveal(), settings.DatabasePassword.Reveal())
	}
	return sqlite.Examine(ctx, sqliteFile(settings))
}

// openAlone is like openDatabase, for a command that must be the only process on the database.
func openAlone(ctx context.Context, settings config.Config) (*store.DB, error) {
	if settings.Postgres() {
		return postgres.OpenAlone(ctx, settings.Database.Reveal(), settings.DatabasePassword.Reveal())
	}
	return openDatabase(ctx, settings) // only one process can open SQLite
}
