package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/licensing"
)

// closedText is in the error of every write to a closed database.
const closedText = "this database was closed by a final backup"

// closure is when a final backup closed the database, as far as this process
// has noticed.
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

// Closed returns when a final backup closed the database, as far as this
// process has noticed; zero while it is open.
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

// Closed returns when a final backup closed the database; zero while it is open.
func (tx *Tx) Closed(ctx context.Context) (time.Time, error) {
	var us int64
	_, err := tx.row(ctx, `SELECT closed_at FROM deployment WHERE env = ''`, nil, &us)
	return instant(us), err
}

// CloseForGood runs fn in the last transaction that ever writes to the database. The
// engine itself refuses every later write, whichever program tries it, except
// to the clock. Transactions that other processes have begun end before it.
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

// Reopen marks a database that was restored from a final backup as open.
func (tx *Tx) Reopen(ctx context.Context) error {
	_, err := tx.exec(ctx, `UPDATE deployment SET closed_at = 0 WHERE env = ''`)
	return err
}

// refused turns the engine's refusal of a write to a closed database into an
// error for its caller.
func (db *DB) refused(tx *Tx, err error) error {
	if err == nil || !db.engine.Sealed(err) {
		return err
	}
	db.closed.note(micros(tx.now))
	return ClosedError()
}

// ClosedError is what a write to a closed database fails with: Unavailable.
func ClosedError() error {
	return licensing.Errorf(licensing.Unavailable,
		closedText+": nothing is written here any more; use the server that was restored from it").After(closedRetry)
}

// closedRetry is when a program may look again whether its servers have changed.
const closedRetry = 30 * time.Second
