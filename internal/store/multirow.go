package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
)

// maxChunk is the most rows that one statement takes; up to step rows each
// number has its own text, and above it each multiple of step.
const (
	maxChunk = 64
	step     = 8
	sizes    = step + maxChunk/step - 1
)

// A multirow is the text of one statement over many rows: a VALUES list between a
// head and a tail, made once for each size. So there are few texts to keep
// prepared, and two statements do for any number of rows up to maxChunk.
type multirow struct {
	fixed   int // arguments before those of the rows
	columns int
	texts   [sizes]string
	locking [sizes]string // where rows are locked, on an engine that locks rows
}

// rowsOf is how many rows the text i takes.
func rowsOf(i int) int {
	if i < step {
		return i + 1
	}
	return (i - step + 2) * step
}

// sizeFor is the largest text for at most so many rows.
func sizeFor(rows int) int {
	switch {
	case rows <= step:
		return rows - 1
	case rows >= maxChunk:
		return sizes - 1
	}
	return step + rows/step - 2
}

// newMultirow makes the texts. A SELECT joins its table with CROSS JOIN, for which
// SQLite reads the list first and finds each row by its key. casts names the types of the first row's columns
// (t TEXT, i BIGINT), which PostgreSQL needs where the list is no INSERT's; the
// empty string is a list whose types follow from the table.
func newMultirow(head string, columns int, casts, tail string) multirow {
	return newFixed(0, head, columns, casts, tail)
}

// newFixed makes the texts where the head has so many arguments, the same for
// all rows.
func newFixed(fixed int, head string, columns int, casts, tail string) multirow {
	m := multirow{fixed: fixed, columns: columns}
	for i := range m.texts {
		m.texts[i] = head + values(fixed, rowsOf(i), columns, casts) + tail
	}
	return m
}

// newLocking makes the texts of a SELECT whose rows stay locked, as lock says.
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

// chunks calls fn with each text and its span of args, until fn fails.
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
			chunk = fixed[:m.fixed+n] // they lie one after the other
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

// putMany runs m over rows laid one after another in args, at the latest with
// the commit.
func (tx *Tx) putMany(ctx context.Context, m *multirow, args []any) error {
	return m.chunks(args, false, func(text string, args []any) error {
		return tx.later(ctx, &Statement{Text: text, Args: args})
	})
}

// execMany runs m over rows laid one after another in args and returns how
// many rows changed.
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

// queryMany runs m over rows laid one after another in args and calls scan
// for each row returned.
func (tx *Tx) queryMany(ctx context.Context, m *multirow, args []any, scan func(Row) error) error {
	if err := tx.askMany(ctx, m, args, scan); err != nil {
		return err
	}
	return tx.flush(ctx)
}

// askMany is queryMany whose rows come with the next statement whose outcome
// is needed.
func (tx *Tx) askMany(ctx context.Context, m *multirow, args []any, scan func(Row) error) error {
	return m.chunks(args, tx.lock() != "", func(text string, args []any) error {
		return tx.later(ctx, &Statement{Text: text, Args: args, Scan: scan})
	})
}

// each calls scan for each of rows and closes them.
func each(rows *sql.Rows, scan func(Row) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
