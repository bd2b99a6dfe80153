package store

import (
	"context"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/licensing"
)

// markEvery is how much time passes between two writes of the mark. A server
// that starts again with a clock set back can repeat at most this much.
const markEvery = time.Second

// A mark is the latest time that any transaction was given: in memory always,
// in the database within markEvery.
type mark struct {
	latest atomic.Int64
	stored atomic.Int64
	back   atomic.Int64 // how often it had been set back when it was read
}

// raise moves the mark to us when that is later and returns the mark.
func (m *mark) raise(us int64) int64 {
	for {
		was := m.latest.Load()
		if us <= was {
			return was
		}
		if m.latest.CompareAndSwap(was, us) {
			return us
		}
	}
}

// A Judge decides what time it is. It is safe for concurrent use.
type Judge interface {
	// Judge turns what the database's clock shows into the time that a transaction
	// takes as its own.
	Judge(shown time.Time) time.Time
	// Latest returns the time without a reading of the database's clock.
	Latest() time.Time
	// Boot names this boot of this machine and returns what its boot clock shows.
	Boot() (boot string, up time.Duration)
}

// Latest returns the present time without a transaction, never before a time that
// a transaction was given. It is for what grants no units, for example reading and
// signing a license's document.
func (db *DB) Latest() time.Time {
	var now time.Time
	switch {
	case db.Judge != nil:
		now = db.Judge.Latest()
	case db.Now != nil:
		now = db.Now()
	default:
		now = time.Now()
	}
	return instant(max(db.mark.latest.Load(), micros(now)))
}

// boot returns what the record says of the machine that stores it.
func (db *DB) boot() (boot string, up int64) {
	if db.Judge == nil {
		return "", 0
	}
	boot, since := db.Judge.Boot()
	return boot, since.Microseconds()
}

func (tx *Tx) loadMark(ctx context.Context) error {
	var us, back int64
	if _, err := tx.row(ctx, `SELECT at, back FROM clock WHERE env = ''`, nil, &us, &back); err != nil {
		return err
	}
	tx.db.mark.back.Store(back)
	// Not the later of it and of this process's clock, which is not judged yet.
	tx.db.mark.latest.Store(us)
	tx.db.mark.stored.Store(us)
	return nil
}

// ClockRecord reads what servers last stored of the time.
func (db *DB) ClockRecord(ctx context.Context) (rec licensing.ClockRecord, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		var at, up int64
		rec = licensing.ClockRecord{}
		_, err := tx.row(ctx, `SELECT at, boot, up FROM clock WHERE env = ''`, nil, &at, &rec.Boot, &up)
		rec.At, rec.Up = instant(at), time.Duration(up)*time.Microsecond
		return err
	})
	return rec, err
}

// Mark returns the latest time that a transaction was given, of this or an
// earlier process; zero when there was none.
func (db *DB) Mark() time.Time {
	us := db.mark.latest.Load()
	if us == 0 {
		return time.Time{}
	}
	return instant(us)
}

func (tx *Tx) readClock(ctx context.Context) error {
	now, err := tx.clock(ctx)
	if err != nil {
		return err
	}
	if tx.db.Judge != nil {
		now = tx.db.Judge.Judge(now)
	} else if !tx.writes {
		// What only reads before there is a judge leaves no trace: the time that it
		// saw would pass for a record of an earlier server.
		tx.now = instant(max(tx.db.mark.latest.Load(), micros(now)))
		return nil
	}
	tx.now = instant(tx.db.mark.raise(micros(now)))
	return nil
}

// A reading is what the database's clock showed, and when it was asked.
type reading struct {
	shown time.Time
	asked time.Time // by this process's clock, with its monotonic part
}

// How long a reading tells the time, and how far it may then be off.
const (
	readingLasts = 10 * time.Second
	readingOff   = 250 * time.Millisecond
)

// errClockMoved has a transaction done again that took a time which was not the
// database's.
var errClockMoved = licensing.Errorf(licensing.Unavailable, "the database's clock has moved, or its answers take now long and now not; try again later")

// clock returns the database's time. After a reading it goes by that one and by
// the time that has passed, so as not to wait, and asks again along with what
// the transaction asks first: if it was wrong the transaction is done again.
func (tx *Tx) clock(ctx context.Context) (time.Time, error) {
	db := tx.db
	switch {
	case db.Now != nil:
		return db.Now(), nil
	case db.engine.Clock == "":
		return time.Now(), nil
	}
	asked, last := time.Now(), db.reading.Load()
	known := last != nil && asked.Sub(last.asked) < readingLasts
	var now time.Time
	if known {
		now = last.shown.Add(asked.Sub(last.asked))
		tx.guessed = true
	}
	err := tx.later(ctx, &Statement{Text: db.engine.Clock, Scan: func(r Row) error {
		var us int64
		if err := r.Scan(&us); err != nil {
			return err
		}
		tx.guessed = false
		shown := instant(us)
		db.reading.Store(&reading{shown, asked})
		if known && tx.writes && shown.Sub(now).Abs() > readingOff {
			return errClockMoved
		}
		if !known {
			now = shown
		}
		return nil
	}})
	if err == nil && !known {
		err = tx.flush(ctx)
	}
	return now, err
}

// raiseMark stores the transaction's time when the stored mark is markEvery
// behind, and learns what other servers stored.
func (tx *Tx) raiseMark(ctx context.Context) error {
	m, now := &tx.db.mark, micros(tx.now)
	silent := now - m.stored.Load()
	if silent < markEvery.Microseconds() {
		return nil
	}
	boot, up := tx.db.boot()
	err := tx.later(ctx, &Statement{Text: `
		INSERT INTO clock (env, at, back, boot, up) VALUES ('', $1, $2, $3, $4)
		ON CONFLICT (env) DO UPDATE SET
			at = CASE WHEN excluded.at > clock.at AND clock.back = excluded.back THEN excluded.at ELSE clock.at END,
			boot = CASE WHEN excluded.at > clock.at AND clock.back = excluded.back THEN excluded.boot ELSE clock.boot END,
			up = CASE WHEN excluded.at > clock.at AND clock.back = excluded.back THEN excluded.up ELSE clock.up END
		RETURNING at, back`, Args: []any{now, m.back.Load(), boot, up}, Scan: func(r Row) error {
		var us, back int64
		err := r.Scan(&us, &back)
		if err == nil && back != m.back.Load() {
			return tx.db.superseded()
		}
		m.raise(us)
		if err == nil && us-now > markApart.Microseconds() {
			return errClockMoved
		}
		// If the commit fails the next transaction a second later stores it.
		m.stored.Store(now)
		return err
	}})
	if err != nil || silent < Watched.Microseconds() {
		return err
	}
	// Nobody has heard of this server for so long that another may have started
	// and gone on with another time. Whether it did is known before the COMMIT.
	return tx.flush(ctx)
}

const (
	// Watched is how long a starting server looks for others that store the time.
	Watched = 4 * markEvery
	// markApart is how far another server's time may lie ahead of a transaction's.
	markApart = 30 * time.Second
	// markIdle is how often a server stores the time when nothing else is written
	// and no other server can wait for it.
	markIdle = time.Minute
)

// ReadClock reads the clock as a transaction does, so that Judge hears of it. It
// stores the time if that is due although nothing is written: a start compares
// its clock with what is stored, and with others on the database it looks whether
// a server still stores the time.
func (db *DB) ReadClock(ctx context.Context) error {
	every := markIdle
	if db.Shared() {
		every = markEvery
	}
	if micros(db.Latest())-db.mark.stored.Load() < every.Microseconds() {
		return db.View(ctx, func(*Tx) error { return nil })
	}
	return db.StoreClock(ctx)
}

// StoreClock stores the present time. It does not wait for the disk where the
// engine can do without: the next time is stored soon.
func (db *DB) StoreClock(ctx context.Context) error {
	_, err := db.UpdateEarly(ctx, func(*Tx) error { return nil })
	return err
}
