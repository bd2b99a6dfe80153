package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// ReadingOff is how far the clock's last reading may be off.
const ReadingOff = readingOff

// Growing returns the statements over tables that grow, for three numbers of rows.
func Growing() map[string][]string {
	texts := map[string][]string{}
	for name, m := range growing {
		texts[name] = []string{m.texts[0], m.texts[step], m.texts[sizes-1]}
	}
	return texts
}

// PostgresPlan returns the lines of the plan that PostgreSQL makes of a text now.
func (tx *Tx) PostgresPlan(ctx context.Context, text string) (lines []string, err error) {
	params := 0
	for strings.Contains(text, fmt.Sprintf("$%d", params+1)) {
		params++
	}
	nulls := strings.TrimSuffix(strings.Repeat("NULL,", params), ",")
	for _, q := range []string{"PREPARE planned AS " + text, "EXPLAIN EXECUTE planned(" + nulls + ")", "DEALLOCATE planned"} {
		rows, err := tx.session.conn.QueryContext(ctx, q)
		if err != nil {
			return nil, err
		}
		err = each(rows, func(r Row) error {
			var line string
			err := r.Scan(&line)
			lines = append(lines, line)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// SetCommitLimit bounds how long a COMMIT may take.
func (db *DB) SetCommitLimit(d time.Duration) { db.commitLimit = d }

// SetClock has the database's clock read by another query.
func (db *DB) SetClock(query string) { db.engine.Clock = query }

// Clock is the query by which the database's clock is read.
func (db *DB) Clock() string { return db.engine.Clock }
