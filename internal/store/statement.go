package store

import (
	"context"
	"errors"
	"fmt"
)

// A Row is one row that a statement returned.
type Row interface{ Scan(dest ...any) error }

// A Statement is one of several that an engine may send together.
type Statement struct {
	Text    string
	Args    []any
	Scan    func(Row) error // called for each row; nil if no rows are returned
	Changed int64           // how many rows it changed, after it has run
}

// A Refused identifies the statement that the database refused, among those sent together. Later
// statements were not run.
type Refused struct {
	Index int
	Err   error
}

func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap returns the database's error.
func (r *Refused) Unwrap() error { return r.Err }

// later runs a statement before the next one whose result is needed, or at the latest with the
// commit. Over a network, statements that are sent together wait only once. An error can therefore
// come from a later call.
func (tx *Tx) later(ctx context.Context, st *Statement) error {
	if tx.db.engine.Send == nil {
		return tx.session.run(ctx, st)
	}
	tx.queue = append(tx.queue, st)
	return nil
}

// Flush waits for the results of methods whose names begin with Ask.
func (tx *Tx) Flush(ctx context.Context) error { return tx.flush(ctx) }

// flush runs the queued statements.
func (tx *Tx) flush(ctx context.Context) error {
	if len(tx.queue) == 0 {
		return nil
	}
	list := tx.queue
	tx.queue = nil
	return tx.db.engine.Send(ctx, tx.session.conn, list)
}

// end runs the statement that ends the transaction, after all queued ones. It reports whether the
// error belongs to an earlier statement; in that case, the last one was certainly not run.
func (tx *Tx) end(ctx context.Context, text string) (before bool, err error) {
	last := len(tx.queue)
	if err := tx.later(ctx, &Statement{Text: text}); err != nil {
		return false, err
	}
	err = tx.flush(ctx)
	var refused *Refused
	return errors.As(err, &refused) && refused.Index < last, err
}

// run executes one statement.
func (s *session) run(ctx context.Context, st *Statement) error {
	if st.Scan != nil {
		rows, err := s.query(ctx, st.Text, st.Args)
		if err != nil {
			return err
		}
		return each(rows, st.Scan)
	}
	prepared, err := s.prepare(ctx, st.Text) //nolint:sqlclosecheck // the session keeps it
	if err != nil {
		return err
	}
	res, err := prepared.ExecContext(ctx, st.Args...)
	if err != nil {
		return err
	}
	if st.Changed, err = res.RowsAffected(); err != nil {
		return fmt.Errorf("counting changed rows: %w", err)
	}
	return nil
}
