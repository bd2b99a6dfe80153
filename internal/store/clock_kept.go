package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// Kept records that the servers continued at From with a time whose last part, By, had no
// explanation. Units in use before From are kept that much longer, the last of them until Until.
type Kept struct {
	From  time.Time
	By    time.Duration
	Until time.Time
}

// Kept returns the current extension because of an unexplained time, or zero if there is none.
func (tx *Tx) Kept(ctx context.Context) (Kept, error) {
	var from, by, until int64
	_, err := tx.row(ctx, `SELECT kept_from, kept_by, kept_until FROM clock WHERE env = ''`, nil, &from, &by, &until)
	if err != nil || until <= micros(tx.now) {
		return Kept{}, err
	}
	return Kept{instant(from), time.Duration(by) * time.Microsecond, instant(until)}, nil
}

// ErrClockMoved means that another server has continued with a different time.
var ErrClockMoved = licensing.Errorf(licensing.Conflict, "another server has continued with a different time")

// MoveClock continues at the time to, of which nothing explains the part after line, in a
// transaction that runs fn. Every end that keeps units from others moves by that part. The record
// of this remains as long as anything is kept, and at least for the duration least. The error is
// ErrClockMoved if another server's time is now after line. Unless the engine has only one writer,
// no other write transaction may run in this process, nor in any other.
func (db *DB) MoveClock(ctx context.Context, line, to time.Time, least time.Duration, fn func(*Tx) error) error {
	shift := to.Sub(line)
	move := func(tx *Tx) error {
		tx.now = to
		boot, up := db.boot()
		moved, err := tx.exec(ctx, `UPDATE clock SET at = $1, boot = $2, up = $3, kept_from = $1, kept_by = $4
			WHERE env = '' AND back = $5 AND at <= $6`,
			micros(to), boot, up, shift.Microseconds(), db.mark.back.Load(), micros(line.Add(shift/2)))
		if err != nil {
			return err
		}
		if moved == 0 {
			return ErrClockMoved
		}
		if err := tx.shiftHeld(ctx, line, shift); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE clock SET kept_until = (
			SELECT CASE WHEN COALESCE(MAX(due), 0) > $1 THEN MAX(due) ELSE $1 END FROM lease WHERE due > $2 AND (ended_at = 0 OR charge > 0))
			WHERE env = ''`, micros(to.Add(least)), micros(to))
		if err != nil {
			return err
		}
		return fn(tx)
	}
	return db.update(ctx, transaction{fn: move, committed: func() { db.mark.raise(micros(to)) }})
}

// shiftHeld delays, by shift, the end of everything that is in use or waiting after line. Whatever
// is due at line remains due.
func (tx *Tx) shiftHeld(ctx context.Context, line time.Time, shift time.Duration) error {
	by := shift.Microseconds()
	for _, s := range []struct {
		text string
		args []any
	}{
		{`UPDATE lease SET due = due + $2, expires_at = CASE WHEN ended_by = 'forced' THEN expires_at + $2 ELSE expires_at END WHERE due > $1`, []any{micros(line), by}},
		{`UPDATE fence SET since = since + $1 WHERE since > 0`, []any{by}},
		{`UPDATE ticket SET queued_at = queued_at + $1, deadline = deadline + $1, alive_until = alive_until + $1,
			offered = CASE WHEN offered > 0 THEN offered + $1 ELSE 0 END WHERE ended_at = 0`, []any{by}},
	} {
		if _, err := tx.exec(ctx, s.text, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// ExplainClock undoes the extensions of MoveClock in a transaction that runs fn, because the time
// proved to be right. Leases that were renewed since then keep their ends. If another server has
// already done this, ExplainClock does nothing and returns false.
func (db *DB) ExplainClock(ctx context.Context, k Kept, fn func(*Tx) error) (done bool, err error) {
	err = db.Update(ctx, func(tx *Tx) error {
		from, by := micros(k.From), k.By.Microseconds()
		changed, err := tx.exec(ctx, `UPDATE clock SET kept_from = 0, kept_by = 0, kept_until = 0 WHERE env = '' AND kept_from = $1 AND kept_by = $2`, from, by)
		if done = changed > 0; err != nil || !done {
			return err
		}
		// Lock pools first, like batches.
		if _, err := tx.exec(ctx, `UPDATE pool SET due = $1 WHERE due > $1`, micros(tx.now)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE lease SET due = due - $2, expires_at = CASE WHEN ended_by = 'forced' THEN expires_at - $2 ELSE expires_at END
			WHERE due > $1 AND renewed_at < $1 AND ended_at < $1`, from, by); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE fence SET since = since - $2 WHERE since > $2 AND since < $1`, from, by); err != nil {
			return err
		}
		return fn(tx)
	})
	return done, err
}
