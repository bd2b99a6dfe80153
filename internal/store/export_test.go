package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// ReadingOff is the tolerated error of the clock's last reading.
const ReadingOff = readingOff

// Growing returns the statements on growing tables, for three numbers of rows.
func Growing() map[string][]string {
	texts := map[string][]string{}
	for name, m := range growing {
		texts[name] = []string{m.texts[0], m.texts[step], m.texts[sizes-1]}
	}
	return texts
}

// PostgresPlan returns the lines of PostgreSQL's current plan for a text.
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

// SetCommitLimit limits how long a COMMIT may take.
func (db *DB) SetCommitLimit(d time.Duration) { db.commitLimit = d }

// SetClock replaces the query that reads the database's clock.
func (db *DB) SetClock(query string) { db.engine.Clock = query }

// Clock returns the query that reads the database's clock.
func (db *DB) Clock() string { return db.engine.Clock }

// Read returns how much the transaction's session has read: pages on SQLite, of a connection since
// it was opened, and rows on PostgreSQL, of this transaction.
func (tx *Tx) Read(ctx context.Context) (n int64, err error) {
	if tx.db.Shared() {
		_, err = tx.row(ctx, `SELECT CAST(COALESCE(SUM(seq_tup_read + COALESCE(idx_tup_fetch, 0)), 0) AS BIGINT) FROM pg_stat_xact_user_tables`, nil, &n)
		return n, err
	}
	err = tx.session.conn.Raw(func(conn any) error {
		for _, op := range []sqlite.DBStatusOp{sqlite.DBStatusCacheHit, sqlite.DBStatusCacheMiss} {
			pages, _, err := conn.(sqlite.DBStatus).Status(op, false)
			if err != nil {
				return err
			}
			n += int64(pages)
		}
		return nil
	})
	return n, err
}
