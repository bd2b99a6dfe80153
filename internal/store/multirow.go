package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
)

// maxChunk is the maximum number of rows in one statement. Each number of rows up to step has its
// own text, and so does each multiple of step above it.
const (
	maxChunk = 64
	step     = 8
	sizes    = step + maxChunk/step - 1
)

// A multirow is the text of one statement for many rows: a list of VALUES between a head and a
// tail, built once for each size. There are few texts to keep prepared, and two statements handle
// any number of rows up to maxChunk.
type multirow struct {
	fixed   int // arguments before those of the rows
	columns int
	texts   [sizes]string
	locking [sizes]string // variants that lock rows, for engines with row locks
}

// rowsOf returns the number of rows in text i.
func rowsOf(i int) int {
	if i < step {
		return i + 1
	}
	return (i - step + 2) * step
}

// sizeFor returns the index of the largest text with at most the given number of rows.
func sizeFor(rows int) int {
	switch {
	case rows <= step:
		return rows - 1
	case rows >= maxChunk:
		return sizes - 1
	}
	return step + rows/step - 2
}

// newMultirow builds the texts. A SELECT joins its table with CROSS JOIN, so that SQLite reads the
// list first and finds each row by its key. casts contains the types of the first row's columns (t
// for TEXT, i for BIGINT), which PostgreSQL needs if the list is not part of an INSERT. An empty
// casts means that the types follow from the table.
func newMultirow(head string, columns int, casts, tail string) multirow {
	return newFixed(0, head, columns, casts, tail)
}

// newFixed builds the texts for a head with the given number of arguments, which are the same for
// all rows.
func newFixed(fixed int, head string, columns int, casts, tail string) multirow {
	m := multirow{fixed: fixed, columns: columns}
	for i := range m.texts {
		m.texts[i] = head + values(fixed, rowsOf(i), columns, casts) + tail
	}
	return m
}

// newLocking builds the texts of a SELECT that locks its rows with the suffix lock.
func newLocking(head string, columns int, casts, tail, lock string) multirow {
	m := newMultirow(head, columns, casts, tail)
	for i, t := range m.texts {
		m.locking[i] = t + lock
	}
	return m
}

func values(n, rows, columns int, casts string) string {
	var b strings.Builder
	for r := range rows {
		if r > 0 {
			b.WriteByte(',')
		}
		for c := range columns {
			b.WriteByte(",("[btoi(c == 0)])
			n++
			if r > 0 || casts == "" {
				b.WriteByte('$')
				b.WriteString(strconv.Itoa(n))
				continue
			}
			b.WriteString("CAST($" + strconv.Itoa(n) + " AS ")
			b.WriteString([]string{"TEXT)", "BIGINT)"}[btoi(casts[c] == 'i')])
		}
		b.WriteByte(')')
	}
	return b.String()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// chunks calls fn with each text and its part of args, until fn fails.
func (m *multirow) chunks(args []any, locks bool, fn func(text string, args []any) error) error {
	fixed, args := args[:m.fixed], args[m.fixed:]
	for first := true; len(args) > 0; first = false {
		i := sizeFor(len(args) / m.columns)
		n := m.columns * rowsOf(i)
		text := m.texts[i]
		if locks && m.locking[i] != "" {
			text = m.locking[i]
		}
		chunk := args[:n]
		switch {
		case m.fixed > 0 && first:
			chunk = fixed[:m.fixed+n] // the two are adjacent
		case m.fixed > 0:
			chunk = append(slices.Clone(fixed), chunk...)
		}
		if err := fn(text, chunk); err != nil {
			return err
		}
		args = args[n:]
	}
	return nil
}

// putMany runs m for the concatenated rows in args, at the latest with the commit.
func (tx *Tx) putMany(ctx context.Context, m *multirow, args []any) error {
	return m.chunks(args, false, func(text string, args []any) error {
		return tx.later(ctx, &Statement{Text: text, Args: args})
	})
}

// execMany runs m for the concatenated rows in args and returns how many rows changed.
func (tx *Tx) execMany(ctx context.Context, m *multirow, args []any) (changed int64, err error) {
	var all []*Statement
	err = m.chunks(args, false, func(text string, args []any) error {
		all = append(all, &Statement{Text: text, Args: args})
		return tx.later(ctx, all[len(all)-1])
	})
	if err == nil {
		err = tx.flush(ctx)
	}
	for _, st := range all {
		changed += st.Changed
	}
	return changed, err
}

// queryMany runs m for the concatenated rows in args and calls scan for each returned row.
func (tx *Tx) queryMany(ctx context.Context, m *multirow, args []any, scan func(Row) error) error {
	if err := tx.askMany(ctx, m, args, scan); err != nil {
		return err
	}
	return tx.flush(ctx)
}

// askMany is queryMany, but its rows arrive with the next statement whose result is needed.
func (tx *Tx) askMany(ctx context.Context, m *multirow, args []any, scan func(Row) error) error {
	return m.chunks(args, tx.lock() != "", func(text string, args []any) error {
		return tx.later(ctx, &Statement{Text: text, Args: args, Scan: scan})
	})
}

// each calls scan for each row and closes the rows.
func each(rows *sql.Rows, scan func(Row) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
