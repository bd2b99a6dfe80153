package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/licensing"
)

// closedText is part of the error of every write to a closed database.
const closedText = "this database was closed by a final backup"

// closure is the time at which a final backup closed the database, as far as this process has
// noticed.
type closure struct {
	at   atomic.Int64 // microseconds; 0 while the database is open
	once sync.Once
	done chan struct{}
}

func (c *closure) note(us int64) {
	c.once.Do(func() {
		c.at.Store(us)
		close(c.done)
	})
}

// Closed returns when a final backup closed the database, as far as this process has noticed, or
// zero while it is open.
func (db *DB) Closed() time.Time { return instant(db.closed.at.Load()) }

// Closing is closed when this process notices that the database is closed.
func (db *DB) Closing() <-chan struct{} { return db.closed.done }

// LookClosed reads whether another process has closed the database.
func (db *DB) LookClosed(ctx context.Context) error {
	if !db.Closed().IsZero() {
		return nil
	}
	return db.View(ctx, func(tx *Tx) error {
		at, err := tx.Closed(ctx)
		if err == nil && !at.IsZero() {
			db.closed.note(micros(at))
		}
		return err
	})
}

// Closed returns when a final backup closed the database, or zero while it is open.
func (tx *Tx) Closed(ctx context.Context) (time.Time, error) {
	var us int64
	_, err := tx.row(ctx, `SELECT closed_at FROM deployment WHERE env = ''`, nil, &us)
	return instant(us), err
}

// CloseForGood runs fn in the last transaction that ever writes to the database. Afterwards the
// engine itself refuses every write except to the clock, from any program. Transactions that other
// processes have begun end first.
func (db *DB) CloseForGood(ctx context.Context, fn func(*Tx) error) error {
	var us int64
	err := db.Update(ctx, func(tx *Tx) error {
		us = micros(tx.Now())
		if err := fn(tx); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE deployment SET closed_at = $1 WHERE env = ''`, us); err != nil {
			return err
		}
		tables, err := tx.Tables(ctx)
		if err != nil {
			return err
		}
		for _, table := range tables {
			if table == clockTable {
				continue
			}
			for _, text := range db.engine.Seal(table, closedText) {
				if _, err := tx.exec(ctx, text); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		db.closed.note(us)
	}
	return err
}

// Reopen marks a database as open that was restored from a final backup.
func (tx *Tx) Reopen(ctx context.Context) error {
	_, err := tx.exec(ctx, `UPDATE deployment SET closed_at = 0 WHERE env = ''`)
	return err
}

// refused converts the engine's refusal of a write to a closed database into an error for the
// caller.
func (db *DB) refused(tx *Tx, err error) error {
	if err == nil || !db.engine.Sealed(err) {
		return err
	}
	db.closed.note(micros(tx.now))
	return ClosedError()
}

// ClosedError returns the error of a write to a closed database: Unavailable.
func ClosedError() error {
	return licensing.Errorf(licensing.Unavailable,
		closedText+": it accepts no more writes; use the server that was restored from the backup").After(closedRetry)
}

// closedRetry is how long a program should wait before it checks its list of servers again.
const closedRetry = 30 * time.Second
