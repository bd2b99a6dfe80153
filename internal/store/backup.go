package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pressly/goose/v3"

	"copyhold.dev/internal/licensing"
)

// clockTable is the only table that may contain rows in an empty database.
const clockTable = "clock"

// Schema returns the version of the tables.
func (db *DB) Schema(ctx context.Context) (version int64, err error) {
	err = db.migrating(ctx, func(p *goose.Provider) error {
		version, err = p.GetDBVersion(ctx)
		return err
	})
	return version, err
}

// Tables returns the names of all tables in their order of creation.
func (tx *Tx) Tables(ctx context.Context) ([]string, error) {
	rows, err := tx.query(ctx, tx.db.engine.Tables)
	if err != nil {
		return nil, err
	}
	var names []string
	return names, each(rows, func(rows Row) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
}

// DumpTable calls emit with the names of a table's columns and then with each row, both as JSON
// lists. A row contains integers, text, null, and bytes as objects with one member, base64. The
// line is valid only until the next call.
func (tx *Tx) DumpTable(ctx context.Context, table string, emit func(line []byte) error) error {
	rows, err := tx.query(ctx, "SELECT * FROM "+table)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	head, err := json.Marshal(columns)
	if err == nil {
		err = emit(head)
	}
	if err != nil {
		return err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	return each(rows, func(rows Row) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			values[i] = portable(v)
		}
		line, err := json.Marshal(values)
		if err != nil {
			return fmt.Errorf("encoding a row of %s: %w", table, err)
		}
		return emit(line)
	})
}

// portableBytes are bytes, or text that JSON cannot represent.
type portableBytes struct {
	Base64 []byte `json:"base64"`
	Text   bool   `json:"text,omitempty"`
}

func portable(v any) any {
	switch v := v.(type) {
	case []byte:
		return portableBytes{Base64: v}
	case string:
		if !utf8.ValidString(v) {
			return portableBytes{[]byte(v), true}
		}
	}
	return v
}

// A TableLoader inserts the output of DumpTable into a table of the same name.
type TableLoader struct {
	tx      *Tx
	insert  multirow
	columns int
	pending []any
}

// LoadTable returns a loader for an existing table. head is the emitted line with the table's
// columns.
func (tx *Tx) LoadTable(ctx context.Context, table string, head []byte) (*TableLoader, error) {
	tables, err := tx.Tables(ctx)
	if err != nil {
		return nil, err
	}
	var columns []string
	if err := json.Unmarshal(head, &columns); err != nil || len(columns) == 0 {
		return nil, licensing.Errorf(licensing.Invalid, "table %s has no columns", table)
	}
	for _, name := range append(slices.Clone(columns), table) {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
			return nil, licensing.Errorf(licensing.Invalid, "%q is not the name of a table or column", name)
		}
	}
	if !slices.Contains(tables, table) {
		return nil, licensing.Errorf(licensing.Invalid, "table %s does not exist", table)
	}
	return &TableLoader{
		tx: tx, columns: len(columns),
		insert: newMultirow("INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES ", len(columns), "", ""),
	}, nil
}

// Row adds an emitted row.
func (l *TableLoader) Row(ctx context.Context, line []byte) error {
	var row []json.RawMessage
	if err := json.Unmarshal(line, &row); err != nil || len(row) != l.columns {
		return licensing.Errorf(licensing.Invalid, "a row does not have %d columns", l.columns)
	}
	for _, text := range row {
		v, err := native(text)
		if err != nil {
			return err
		}
		l.pending = append(l.pending, v)
	}
	if len(l.pending) < maxChunk*l.columns {
		return nil
	}
	return l.Flush(ctx)
}

// Flush inserts the added rows.
func (l *TableLoader) Flush(ctx context.Context) error {
	_, err := l.tx.execMany(ctx, &l.insert, l.pending)
	l.pending = l.pending[:0]
	return err
}

func native(text json.RawMessage) (any, error) {
	switch text[0] {
	case 'n':
		return nil, nil
	case '"':
		var s string
		err := json.Unmarshal(text, &s)
		return s, err
	case '{':
		var b portableBytes
		if err := json.Unmarshal(text, &b); err != nil {
			return nil, err
		}
		if b.Text {
			return string(b.Base64), nil
		}
		return append([]byte{}, b.Base64...), nil
	}
	var n int64
	if err := json.Unmarshal(text, &n); err != nil {
		return nil, licensing.Errorf(licensing.Invalid, "a value is not an integer, text or bytes")
	}
	return n, nil
}

// Restore runs fn in one transaction on an empty database, to fill it with rows of tables at
// version schema. The tables themselves are always those of this program. Migrations only add, so
// new columns get their defaults. The error is Conflict if the database is not empty. If fn fails,
// nothing is kept. Restore calls fn once.
func (db *DB) Restore(ctx context.Context, schema int64, fn func(*Tx) error) error {
	if err := db.View(ctx, func(tx *Tx) error { return tx.requireEmpty(ctx) }); err != nil {
		return err
	}
	err := db.migrating(ctx, func(p *goose.Provider) error {
		latest, err := p.GetDBVersion(ctx)
		if err != nil {
			return err
		}
		if schema > latest {
			return licensing.Errorf(licensing.Invalid, "the backup has tables of version %d, but this program supports versions up to %d: use the program that made the backup", schema, latest)
		}
		return nil
	})
	if err != nil {
		return err
	}
	called := false
	err = db.update(ctx, transaction{unstored: true, fn: func(tx *Tx) error {
		if called {
			return licensing.Errorf(licensing.Conflict, "another process is using the database")
		}
		called = true
		tx.uncounted()
		if err := tx.requireEmpty(ctx); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, "DELETE FROM "+clockTable); err != nil {
			return err
		}
		return fn(tx)
	}})
	if err != nil {
		return err
	}
	// The time continues from the later one of the backup's time and this machine's time.
	if err := db.View(ctx, func(tx *Tx) error { return tx.loadMark(ctx) }); err != nil {
		return err
	}
	return db.StoreClock(ctx)
}

func (tx *Tx) requireEmpty(ctx context.Context) error {
	tables, err := tx.Tables(ctx)
	if err != nil {
		return err
	}
	for _, name := range tables {
		if name == clockTable {
			continue
		}
		var one int64
		some, err := tx.row(ctx, "SELECT 1 FROM "+name+" LIMIT 1", nil, &one)
		if err != nil {
			return err
		}
		if some {
			return licensing.Errorf(licensing.Conflict, "the database is not empty: table %s has rows", name)
		}
	}
	return nil
}
