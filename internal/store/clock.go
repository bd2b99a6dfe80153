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

// Latest returns the present time without a transaction: by this process's
// clock, and never before a time that a transaction was given. It is for what
// grants no units, as reading and signing a license's document.
func (db *DB) Latest() time.Time {
	now := time.Now()
	if db.Now != nil {
		now = db.Now()
	}
	if db.Judge != nil {
		now = db.Judge(now)
	}
	return instant(max(db.mark.latest.Load(), micros(now)))
}

func (tx *Tx) loadMark(ctx context.Context) error {
	var us, back int64
	if _, err := tx.row(ctx, `SELECT at, back FROM clock WHERE env = ''`, nil, &us, &back); err != nil {
		return err
	}
	tx.db.mark.back.Store(back)
	// Not the later of it and of this process's clock, which nobody has judged yet.
	tx.db.mark.latest.Store(us)
	tx.db.mark.stored.Store(us)
	return nil
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
		now = tx.db.Judge(now)
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
	if now-m.stored.Load() < markEvery.Microseconds() {
		return nil
	}
	return tx.later(ctx, &Statement{Text: `
		INSERT INTO clock (env, at, back) VALUES ('', $1, $2)
		ON CONFLICT (env) DO UPDATE SET at = CASE WHEN excluded.at > clock.at AND clock.back = excluded.back THEN excluded.at ELSE clock.at END
		RETURNING at, back`, Args: []any{now, m.back.Load()}, Scan: func(r Row) error {
		var us, back int64
		err := r.Scan(&us, &back)
		if err == nil && back != m.back.Load() {
			return tx.db.superseded()
		}
		// If the commit fails the next transaction a second later stores it.
		m.stored.Store(now)
		m.raise(us)
		return err
	}})
}

// ReadClock reads the clock as a transaction does, so that Judge hears of it.
func (db *DB) ReadClock(ctx context.Context) error {
	return db.View(ctx, func(*Tx) error { return nil })
}
