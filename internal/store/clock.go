package store

import (
	"context"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/licensing"
)

// markEvery is how much time passes between two writes of the mark. A server that restarts with a
// clock set back can repeat at most this much time.
const markEvery = time.Second

// A mark is the latest time of any transaction. It is always current in memory, and at most
// markEvery old in the database.
type mark struct {
	latest atomic.Int64
	stored atomic.Int64
	back   atomic.Int64 // how many setbacks had occurred when the mark was read
}

// raise moves the mark to us if that is later, and returns the mark.
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

// A Judge decides what time it is. It must be safe for concurrent use.
type Judge interface {
	// Judge converts a reading of the database's clock to the time of a transaction.
	Judge(shown time.Time) time.Time
	// Latest returns the time without reading the database's clock.
	Latest() time.Time
	// Boot names this boot of this machine and returns the reading of its boot clock.
	Boot() (boot string, up time.Duration)
}

// Latest returns the current time without a transaction. The time is never before that of an
// earlier transaction. Use Latest only for work that grants no units, such as reading and signing a
// license's document.
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

// boot returns the part of the record that describes the machine that stores it.
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
	// Ignore this process's clock even if it is later, because it has not been judged yet.
	tx.db.mark.latest.Store(us)
	tx.db.mark.stored.Store(us)
	return nil
}

// ClockRecord reads the time that a server last stored.
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

// Mark returns the latest time of any transaction, in this or an earlier process, or zero if there
// was none.
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
		// A read before there is a judge leaves no trace. Its time could be mistaken for the record
		// of an earlier server.
		tx.now = instant(max(tx.db.mark.latest.Load(), micros(now)))
		return nil
	}
	tx.now = instant(tx.db.mark.raise(micros(now)))
	return nil
}

// A reading is the time that the database's clock showed, and when it was read.
type reading struct {
	shown time.Time
	asked time.Time // on this process's clock, with its monotonic part
}

// These are how long a reading is used, and its tolerated error after that time.
const (
	readingLasts = 10 * time.Second
	readingOff   = 250 * time.Millisecond
)

// errClockMoved makes a transaction run again that used a wrong time.
var errClockMoved = licensing.Errorf(licensing.Unavailable, "the database's clock has moved, or its latency is erratic; try again later")

// clock returns the database's time. If there is a recent reading, it adds the time since then, so
// as not to wait. It then reads the clock along with the transaction's first statements. If the
// time was wrong, the transaction runs again.
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

// raiseMark stores the transaction's time if the stored mark is markEvery behind, and reads the
// times of other servers.
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
		// If the commit fails, the next transaction, a second later, stores it.
		m.stored.Store(now)
		return err
	}})
	if err != nil || silent < Watched.Microseconds() {
		return err
	}
	// This server has stored no time for so long that another one may have started and continued
	// with another time. The answer must be known before the COMMIT.
	return tx.flush(ctx)
}

const (
	// Watched is how long a starting server watches for others that store the time.
	Watched = 4 * markEvery
	// markApart is how far another server's time may be ahead of a transaction's time.
	markApart = 30 * time.Second
	// markIdle is how often a server stores the time if nothing else is written and no other server
	// can be waiting for it.
	markIdle = time.Minute
)

// ReadClock reads the clock like a transaction, so that Judge receives the reading. It also stores
// the time if that is due, even if nothing else is written. A start compares its clock with the
// stored time. If the database is shared, the start also checks whether another server still stores
// the time.
func (db *DB) ReadClock(ctx context.Context) error {
	every := markIdle
	if db.Shared() {
		every = markEvery
	}
	if micros(db.Latest())-db.mark.stored.Load() < every.Microseconds() {
		if db.engine.Clock == "" {
			return (&Tx{db: db}).readClock(ctx) // without a statement
		}
		return db.View(ctx, func(*Tx) error { return nil })
	}
	return db.StoreClock(ctx)
}

// StoreClock stores the current time. It does not wait for the disk, because the next time is stored
// soon.
func (db *DB) StoreClock(ctx context.Context) error {
	return db.update(ctx, transaction{fn: func(*Tx) error { return nil }, early: db.engine.Early != "", lazy: true})
}
