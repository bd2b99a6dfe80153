package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"copyhold.dev/internal/licensing"
)

// A LogKind is what a name in the index of the log names.
type LogKind int

// These are the kinds. Their numbers are stored.
const (
	LogType LogKind = 1 + iota
	LogCustomer
	LogProduct
)

// A LogName is a name by which the index finds entries of the log.
type LogName struct {
	Kind LogKind
	Name string
}

// A LogSpan is the entries from First to Last, inclusive.
type LogSpan struct{ First, Last int64 }

// maxDistances is the size at which a row of the index is full, in bytes. SQLite keeps rows of this
// size on one page.
const maxDistances = 800

// LogIndexed returns how many entries of the log the index covers.
func (tx *Tx) LogIndexed(ctx context.Context, env licensing.Env) (size int64, err error) {
	_, err = tx.row(ctx, `SELECT size FROM log_indexed WHERE env = $1`, []any{env}, &size)
	return size, err
}

var (
	lastDistances = newMultirow(`SELECT i.kind, i.name, i.first, i.entries FROM (VALUES `, 3, "tit", `) v
		CROSS JOIN log_index i WHERE i.env = v.column1 AND i.kind = v.column2 AND i.name = v.column3
		AND i.first = (SELECT MAX(m.first) FROM log_index m WHERE m.env = v.column1 AND m.kind = v.column2 AND m.name = v.column3)`)
	putDistances = newMultirow(`INSERT INTO log_index (env, kind, name, first, entries) VALUES `, 5, "",
		` ON CONFLICT (env, kind, name, first) DO UPDATE SET entries = excluded.entries`)
)

// IndexLog adds the entries from index from up to but not including to. entries has the ascending
// indexes of those with each name. If the index does not cover exactly from entries, another server
// was first, and IndexLog returns false.
func (tx *Tx) IndexLog(ctx context.Context, env licensing.Env, from, to int64, entries map[LogName][]int64) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE log_indexed SET size = $3 WHERE env = $1 AND size = $2`, env, from, to)
	if err == nil && n == 0 && from == 0 {
		n, err = tx.exec(ctx, `INSERT INTO log_indexed (env, size) VALUES ($1, $2) ON CONFLICT (env) DO NOTHING`, env, to)
	}
	if err != nil || n == 0 {
		return false, err
	}
	rows := make(map[LogName]*logDistances, len(entries))
	keys := make([]any, 0, 3*len(entries))
	for name := range entries {
		keys = append(keys, env, int64(name.Kind), name.Name)
	}
	err = tx.queryMany(ctx, &lastDistances, keys, func(r Row) error {
		var name LogName
		var d logDistances
		if err := r.Scan(&name.Kind, &name.Name, &d.first, &d.bytes); err != nil {
			return err
		}
		all, err := d.entries()
		if err != nil {
			return err
		}
		d.last = all[len(all)-1]
		rows[name] = &d
		return nil
	})
	if err != nil {
		return false, err
	}
	var changed []any
	for name, list := range entries {
		d := rows[name]
		put := func() { changed = append(changed, env, int64(name.Kind), name.Name, d.first, bytesOf(d.bytes)) }
		for _, index := range list {
			if d != nil && len(d.bytes) >= maxDistances {
				put()
				d = nil
			}
			if d == nil {
				d = &logDistances{first: index, last: index}
				continue
			}
			d.bytes = binary.AppendUvarint(d.bytes, uint64(index-d.last))
			d.last = index
		}
		put()
	}
	return true, tx.putMany(ctx, &putDistances, changed)
}

// logDistances is a row of the index.
type logDistances struct {
	first, last int64
	bytes       []byte
}

func (d logDistances) entries() ([]int64, error) {
	all := []int64{d.first}
	for at, rest := d.first, d.bytes; len(rest) > 0; all = append(all, at) {
		distance, n := binary.Uvarint(rest)
		if n <= 0 {
			return nil, fmt.Errorf("the row of the log index that begins with entry %d is damaged", d.first)
		}
		at, rest = at+int64(distance), rest[n:]
	}
	return all, nil
}

// LogNames returns the indexed names of a kind that begin with prefix. Its cost is one lookup per
// name, regardless of the number of entries.
func (tx *Tx) LogNames(ctx context.Context, env licensing.Env, kind LogKind, prefix string) ([]string, error) {
	rows, err := tx.query(ctx, `
		WITH RECURSIVE found (name) AS (
			SELECT MIN(name) FROM log_index WHERE env = $1 AND kind = $2 AND name >= $3
			UNION ALL
			SELECT (SELECT MIN(name) FROM log_index WHERE env = $1 AND kind = $2 AND name > found.name)
			FROM found WHERE SUBSTR(found.name, 1, LENGTH($3)) = $3
		)
		SELECT name FROM found WHERE SUBSTR(name, 1, LENGTH($3)) = $3`, env, int64(kind), prefix)
	return collect(rows, err, func(r Row) (name string, err error) {
		return name, r.Scan(&name)
	})
}

// LogNamed returns entries with a name whose index is below before, newest first: those in up to
// limit rows of the index. more reports whether there can be others.
func (tx *Tx) LogNamed(ctx context.Context, env licensing.Env, name LogName, before int64, limit int) (found []LogSpan, more bool, err error) {
	rows, err := tx.query(ctx, `SELECT first, entries FROM log_index
		WHERE env = $1 AND kind = $2 AND name = $3 AND first < $4 ORDER BY first DESC LIMIT $5`, env, int64(name.Kind), name.Name, before, limit)
	list, err := collect(rows, err, func(r Row) (all []int64, err error) {
		var d logDistances
		if err := r.Scan(&d.first, &d.bytes); err != nil {
			return nil, err
		}
		return d.entries()
	})
	for _, all := range list {
		for _, index := range slices.Backward(all) {
			if index < before {
				found = append(found, LogSpan{index, index})
			}
		}
	}
	return found, len(list) == limit, err
}

// LogOf returns up to limit rows of the log that mention a license and begin below before, newest
// first. more reports whether there can be others.
func (tx *Tx) LogOf(ctx context.Context, env licensing.Env, id licensing.LicenseID, before int64, limit int) (found []LogSpan, more bool, err error) {
	rows, err := tx.query(ctx, `SELECT p.first, p.entries FROM log_license l JOIN log_place p ON p.env = l.env AND p.first = l.first
		WHERE l.env = $1 AND l.license = $2 AND l.first < $3 ORDER BY l.first DESC LIMIT $4`, env, id, before, limit)
	found, err = collect(rows, err, func(r Row) (s LogSpan, err error) {
		err = r.Scan(&s.First, &s.Last)
		s.Last += s.First - 1
		return s, err
	})
	return found, len(found) == limit, err
}

// LogTime returns the time of the row that contains the entry at index, or the zero time if the row
// is gone.
func (tx *Tx) LogTime(ctx context.Context, env licensing.Env, index int64) (time.Time, error) {
	var at int64
	_, err := tx.row(ctx, `SELECT COALESCE(r.at, 0) FROM log_place p LEFT JOIN log_row r ON r.env = p.env AND r.id = p.row_id
		WHERE p.env = $1 AND p.first <= $2 ORDER BY p.first DESC LIMIT 1`, []any{env, index}, &at)
	return instant(at), err
}
