package store

import (
	"context"
	"database/sql"
	"io/fs"
	"slices"

	"github.com/pressly/goose/v3"
)

// Examined describes a database that has not been opened yet.
type Examined struct {
	Begun  bool // a server has begun a deployment in it
	Behind int  // migrations that the next Open will run
	Ahead  int  // migrations of a later version, which this version tolerates
}

// Examine reads the state of a connected database and changes nothing. It fails if Open would
// refuse the tables. Packages sqlite and postgres call it.
func Examine(ctx context.Context, conns *sql.DB, engine Engine) (e Examined, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return e, err
	}
	e.Behind = len(files)
	tables, err := column[string](ctx, conns, engine.Tables)
	if err != nil || !slices.Contains(tables, "deployment") {
		return e, err
	}
	ids, err := column[string](ctx, conns, "SELECT id FROM deployment WHERE env = ''")
	if err != nil {
		return e, err
	}
	e.Begun = len(ids) > 0
	applied, err := appliedTo(ctx, conns)
	if err != nil {
		return e, err
	}
	var versions []int64
	for _, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return e, err
		}
		versions = append(versions, version)
	}
	for _, v := range applied {
		if slices.Contains(versions, v) {
			e.Behind--
		} else {
			e.Ahead++
		}
	}
	return e, usable(versions, applied)
}

// column returns the only column of a query's result.
func column[T any](ctx context.Context, conns *sql.DB, query string) ([]T, error) {
	rows, err := conns.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var values []T
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, rows.Err()
}
