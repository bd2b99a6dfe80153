package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// Kept says that servers went on at From with a time of which nothing explained
// the last part, By. What was held before From stays held for that much longer,
// the last of it until Until.
type Kept struct {
	From  time.Time
	By    time.Duration
	Until time.Time
}

// Kept returns what is kept longer because of a time that nothing explained; zero
// if nothing is.
func (tx *Tx) Kept(ctx context.Context) (Kept, error) {
	var from, by, until int64
	_, err := tx.row(ctx, `SELECT kept_from, kept_by, kept_until FROM clock WHERE env = ''`, nil, &from, &by, &until)
	if err != nil || until <= micros(tx.now) {
		return Kept{}, err
	}
	return Kept{instant(from), time.Duration(by) * time.Microsecond, instant(until)}, nil
}

// ErrClockMoved is that another server has gone on with another time meanwhile.
var ErrClockMoved = licensing.Errorf(licensing.Conflict, "another server has gone on with another time")

// MoveClock goes on at to, a time that nothing explains beyond line, in a
// transaction that runs fn. Everything that ends by the passing of time and
// keeps units from others ends as much later. It says so for as long as
// something is kept, and at least for a time of length least. ErrClockMoved if
// another server's time has come to lie beyond line. No other transaction that
// writes may run in this process, unless the engine has one writer, nor in another.
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

// shiftHeld has everything that is held after line, or waits, end later by shift.
// What is due at line is due.
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

// ExplainClock undoes what MoveClock did to keep units, in a transaction that runs
// fn: the time was right after all. What was renewed since keeps its end. It does
// nothing, and reports false, if another server has done it.
func (db *DB) ExplainClock(ctx context.Context, k Kept, fn func(*Tx) error) (done bool, err error) {
	err = db.Update(ctx, func(tx *Tx) error {
		from, by := micros(k.From), k.By.Microseconds()
		changed, err := tx.exec(ctx, `UPDATE clock SET kept_from = 0, kept_by = 0, kept_until = 0 WHERE env = '' AND kept_from = $1 AND kept_by = $2`, from, by)
		if done = changed > 0; err != nil || !done {
			return err
		}
		// Pools first, as batches lock them.
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
