package store

import (
	"context"
	"database/sql"
	"time"
)

// A Tx is a transaction in one session. It is valid only during the function that it is passed to,
// and is not safe for concurrent use.
type Tx struct {
	db      *DB
	session *session
	writes  bool
	early   bool // COMMIT does not wait for the disk
	now     time.Time
	guessed bool         // now is based on an earlier reading, and the clock has not answered yet
	queue   []*Statement // not sent yet
	changes *tallied     // nil for none
}

// Now returns the transaction's time: the reading of the database's clock when the transaction
// began, but never before the time of an earlier transaction.
func (tx *Tx) Now() time.Time { return tx.now }

// indexed returns the clause that makes the engine use an index, if it needs one.
func (tx *Tx) indexed(index string) string {
	if tx.db.engine.Indexed == nil || index == "" {
		return ""
	}
	return tx.db.engine.Indexed(index)
}

// ForUpdate returns the suffix of a SELECT whose rows stay locked until the commit.
func (tx *Tx) ForUpdate() string { return tx.db.engine.ForUpdate }

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(ctx context.Context, text string, args ...any) (int64, error) {
	st := &Statement{Text: text, Args: args}
	if err := tx.later(ctx, st); err != nil {
		return 0, err
	}
	return st.Changed, tx.flush(ctx)
}

// query runs a statement that returns rows. The caller must close them.
func (tx *Tx) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if err := tx.flush(ctx); err != nil {
		return nil, err
	}
	return tx.session.query(ctx, text, args)
}

// row runs a statement that returns at most one row, and scans it into dest. It reports whether
// there was a row.
func (tx *Tx) row(ctx context.Context, text string, args []any, dest ...any) (found bool, err error) {
	err = tx.later(ctx, &Statement{Text: text, Args: args, Scan: func(r Row) error {
		found = true
		return r.Scan(dest...)
	}})
	if err != nil {
		return false, err
	}
	return found, tx.flush(ctx)
}

// micros converts a time for storage: microseconds of Unix time, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant converts a stored time back.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
