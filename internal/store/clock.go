package store

import (
	"context"
	"sync/atomic"
	"time"
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

func (tx *Tx) clock(ctx context.Context) (time.Time, error) {
	switch {
	case tx.db.Now != nil:
		return tx.db.Now(), nil
	case tx.db.engine.Clock == "":
		return time.Now(), nil
	}
	var us int64
	_, err := tx.row(ctx, tx.db.engine.Clock, nil, &us)
	return instant(us), err
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
