package store

import (
	"bytes"
	"context"
	"embed"
	"io/fs"
	"path"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables up to date, one process at a time.
func (db *DB) migrate(ctx context.Context) error {
	return db.migrating(ctx, func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
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

// ddl is a folder of migrations whose text is turned into an engine's.
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

// rewritten is a file with another text. Its info still has the first size,
// which readers take as a hint.
type rewritten struct {
	*bytes.Reader
	info fs.FileInfo
}

func (r rewritten) Stat() (fs.FileInfo, error) { return r.info, nil }
func (r rewritten) Close() error               { return nil }
