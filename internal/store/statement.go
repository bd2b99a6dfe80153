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
	Scan    func(Row) error // called for each row; nil when none are returned
	Changed int64           // how many rows it changed, once it was run
}

// A Refused says which of the statements sent together the database refused.
// Those after it were not run.
type Refused struct {
	Index int
	Err   error
}

func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap returns what the database said.
func (r *Refused) Unwrap() error { return r.Err }

// later runs a statement before the next one whose outcome is needed, and at
// the latest with the commit: over a network, what is sent together waits
// once. Its error may so come from a later call.
func (tx *Tx) later(ctx context.Context, st *Statement) error {
	if tx.db.engine.Send == nil {
		return tx.session.run(ctx, st)
	}
	tx.queue = append(tx.queue, st)
	return nil
}

// Flush waits for the answers to what was asked with methods named Ask.
func (tx *Tx) Flush(ctx context.Context) error { return tx.flush(ctx) }

// flush runs what was left for later.
func (tx *Tx) flush(ctx context.Context) error {
	if len(tx.queue) == 0 {
		return nil
	}
	list := tx.queue
	tx.queue = nil
	return tx.db.engine.Send(ctx, tx.session.conn, list)
}

// end runs the statement that ends the transaction, with all before it. It
// reports whether the error is of a statement before the last: then the last
// was surely not run.
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
