package store

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/pressly/goose/v3"

	"copyhold.dev/internal/licensing"
)

//go:embed migrations/*.sql
var migrations embed.FS

// breaking divides the numbers of migrations. Servers of two versions share a database during an
// upgrade and after a rollback. A program therefore accepts tables to which a later version has
// added something. A migration that is incompatible with earlier programs gets a number from the
// next multiple of breaking on, and those programs refuse the database.
const breaking = 10000

// migrate brings the tables up to date, one process at a time.
func (db *DB) migrate(ctx context.Context) error {
	return db.migrating(ctx, func(p *goose.Provider) error {
		if _, err := p.GetDBVersion(ctx); err != nil { // it creates the version table
			return err
		}
		applied, err := appliedTo(ctx, db.sql)
		if err != nil {
			return err
		}
		if err := usable(known(p), applied); err != nil {
			return err
		}
		_, err = p.Up(ctx)
		return stopped(err)
	})
}

// known returns the numbers of this program's migrations.
func known(p *goose.Provider) (versions []int64) {
	for _, s := range p.ListSources() {
		versions = append(versions, s.Version)
	}
	return versions
}

// appliedTo returns the numbers of the migrations that a database has had.
func appliedTo(ctx context.Context, conns *sql.DB) ([]int64, error) {
	return column[int64](ctx, conns, "SELECT DISTINCT version_id FROM goose_db_version WHERE version_id > 0")
}

// usable returns nil if a program with the known migrations may use a database with the applied
// ones, and otherwise the reason why not.
func usable(known, applied []int64) error {
	newest := slices.Max(known)
	for _, v := range applied {
		if v/breaking > newest/breaking {
			return licensing.Errorf(licensing.Conflict, "the tables belong to a newer version of Copyhold (change %d; this version supports changes up to %d): "+
				"start that version again, or use this version to restore the backup from before the upgrade", v, newest)
		}
	}
	for _, v := range known {
		if !slices.Contains(applied, v) && slices.ContainsFunc(applied, func(later int64) bool { return later > v }) {
			return licensing.Errorf(licensing.Conflict, "the tables lack change %d but contain a later one: no version of Copyhold leaves them in this state. "+
				"Restore the backup from before the upgrade", v)
		}
	}
	return nil
}

// stopped explains a failed migration. Each migration is a separate transaction.
func stopped(err error) error {
	var partial *goose.PartialError
	if !errors.As(err, &partial) {
		return err
	}
	return fmt.Errorf("the upgrade stopped at change %d (%s), which was rolled back: %w. "+
		"Remove the cause and start this version again, or start the earlier version, which can still use the tables",
		partial.Failed.Source.Version, path.Base(partial.Failed.Source.Path), partial.Err)
}

// migrating runs fn while no other process migrates.
func (db *DB) migrating(ctx context.Context, fn func(*goose.Provider) error) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if db.engine.DDL != nil {
		files = ddl{files, db.engine.DDL}
	}
	run := func() error {
		p, err := goose.NewProvider(db.engine.Dialect, db.sql, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
		if err != nil {
			return err
		}
		return fn(p)
	}
	if db.engine.Locked == nil {
		return run()
	}
	return db.engine.Locked(ctx, db.sql, run)
}

// ddl is a folder of migrations whose text is converted for an engine.
type ddl struct {
	fs.FS
	rewrite func(string) string
}

func (d ddl) Open(name string) (fs.File, error) {
	if path.Ext(name) != ".sql" {
		return d.FS.Open(name)
	}
	f, err := d.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(d.FS, name)
	if err != nil {
		return nil, err
	}
	return rewritten{bytes.NewReader([]byte(d.rewrite(string(text)))), info}, nil
}

// rewritten is a file with different text. Its info still has the original size, which readers
// treat as a hint.
type rewritten struct {
	*bytes.Reader
	info fs.FileInfo
}

func (r rewritten) Stat() (fs.FileInfo, error) { return r.info, nil }
func (r rewritten) Close() error               { return nil }
