package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// Wall returns the current reading of the database's clock, without the mark and without judgment.
func (db *DB) Wall(ctx context.Context) (now time.Time, err error) {
	switch {
	case db.Now != nil:
		return db.Now(), nil
	case db.engine.Clock == "":
		return time.Now(), nil
	}
	err = db.attempt(ctx, db.readers, transaction{begin: db.engine.BeginRead, unjudged: true, fn: func(tx *Tx) error {
		var us int64
		_, err := tx.row(ctx, db.engine.Clock, nil, &us)
		now = instant(us)
		return err
	}})
	return now, err
}

// superseded ends a server after an operator set its time back. The server would otherwise continue
// with a time in the future.
func (db *DB) superseded() error {
	var err error = licensing.Errorf(licensing.Unavailable, "the clock was set back while this server was running: restart this server")
	db.fatalOnce.Do(func() {
		db.fatalErr.Store(&err)
		close(db.fatal)
	})
	return err
}

// SetBack runs fn in a transaction with the time to, which is before the mark, and makes that time
// the mark. No other transaction of this process may run in the meantime. A running server ends
// itself when it notices the change.
func (db *DB) SetBack(ctx context.Context, to time.Time, fn func(*Tx) error) error {
	var back int64
	err := db.Update(ctx, func(tx *Tx) error {
		tx.now = to
		boot, up := db.boot()
		if _, err := tx.row(ctx, `UPDATE clock SET at = $1, back = back + 1, boot = $2, up = $3, kept_from = 0, kept_by = 0, kept_until = 0
			WHERE env = '' RETURNING back`, []any{micros(to), boot, up}, &back); err != nil {
			return err
		}
		return fn(tx)
	})
	if err == nil {
		db.mark.back.Store(back)
		db.mark.latest.Store(micros(to))
		db.mark.stored.Store(micros(to))
	}
	return err
}

// Rewind corrects data that was stored while the clock was ahead, in a transaction of SetBack. mark
// is the latest time that the clock reached. Rewind changes only times after now and durations that
// depend on them. It changes nothing that was signed: live leases keep their ends, and can be
// recognized by a renewal time later than now. It returns the number of such live leases.
func (tx *Tx) Rewind(ctx context.Context, mark time.Time, skew time.Duration) (ahead int64, err error) {
	tx.uncounted()
	now, shift := micros(tx.now), mark.Sub(tx.now).Microseconds()
	remembered := micros(tx.now.Add(licensing.Remembered))
	for _, s := range []struct {
		text string
		args []any
	}{
		// These leases were reclaimed too early, and their documents are still valid. Their units
		// may be in use, so they count like leases that were ended by force.
		{`UPDATE pool SET held = held + (
			SELECT COALESCE(SUM(l.units), 0) FROM lease l
			WHERE l.env = pool.env AND l.license = pool.license AND l.pool = pool.name
				AND l.ended_by = $1 AND l.ended_at > $2 AND l.renewed_at <= $2 AND l.expires_at > $2 AND l.charge = 0)
		WHERE EXISTS (SELECT 1 FROM lease l
			WHERE l.env = pool.env AND l.license = pool.license AND l.pool = pool.name
				AND l.ended_by = $1 AND l.ended_at > $2 AND l.renewed_at <= $2 AND l.expires_at > $2 AND l.charge = 0)`,
			[]any{string(licensing.EndReclaimed), now}},
		{`UPDATE lease SET ended_by = $1, ended_at = $3, charge = units, due = expires_at + $4
			WHERE ended_by = $2 AND ended_at > $3 AND renewed_at <= $3 AND expires_at > $3 AND charge = 0`,
			[]any{string(licensing.EndForced), string(licensing.EndReclaimed), now, skew.Microseconds()}},
		{`UPDATE lease SET ended_at = $1, due = $2 WHERE ended_at > $1 AND charge = 0`, []any{now, remembered}},
		{`UPDATE lease SET ended_at = $1 WHERE ended_at > $1`, []any{now}},
		{`UPDATE lease SET granted_at = $1 WHERE granted_at > $1`, []any{now}},
		{`UPDATE lease SET cloned_at = $1 WHERE cloned_at > $1`, []any{now}},
		{`UPDATE pool SET due = $1 WHERE due > $1`, []any{now}},
		{`UPDATE pool SET over_since = $1 WHERE over_since > $1`, []any{now}},
		{`UPDATE request SET at = $1 WHERE at > $1`, []any{now}},
		{`UPDATE ticket SET queued_at = queued_at - $1, deadline = deadline - $1, alive_until = alive_until - $1,
			offered = CASE WHEN offered > 0 THEN offered - $1 ELSE 0 END WHERE ended_at = 0`, []any{shift}},
		{`UPDATE ticket SET ended_at = $1 WHERE ended_at > $1`, []any{now}},
		{`UPDATE usage_event SET recorded = $1 WHERE recorded > $1`, []any{now}},
		{`DELETE FROM denial WHERE minute > $1`, []any{now}}, // they are in the log
		{`DELETE FROM denial_session WHERE last_at > $1`, []any{now}},
		{`UPDATE usage_refusal SET at = $1 WHERE at > $1`, []any{now}},
		{`UPDATE token SET expires_at = CASE WHEN expires_at > 0 THEN expires_at - $2 ELSE 0 END, created_at = $1 WHERE created_at > $1`, []any{now, shift}},
		{`UPDATE token SET used_at = $1 WHERE used_at > $1`, []any{now}},
		{`UPDATE license_key SET created_at = $1 WHERE created_at > $1`, []any{now}},
		{`UPDATE revocation SET at = $1 WHERE at > $1`, []any{now}},
		{`UPDATE idempotency SET created_at = $1 WHERE created_at > $1`, []any{now}},
		{`UPDATE job SET created_at = CASE WHEN created_at > $1 THEN $1 ELSE created_at END, started_at = CASE WHEN started_at > $1 THEN $1 ELSE started_at END,
			ended_at = CASE WHEN ended_at > $1 THEN $1 ELSE ended_at END, claimed = CASE WHEN claimed > $1 THEN $1 ELSE claimed END
			WHERE created_at > $1 OR started_at > $1 OR ended_at > $1 OR claimed > $1`, []any{now}},
		{`UPDATE signing_key SET retired_at = $1 WHERE retired_at > $1`, []any{now}},
	} {
		if _, err := tx.exec(ctx, s.text, s.args...); err != nil {
			return 0, err
		}
	}
	_, err = tx.row(ctx, `SELECT COUNT(*) FROM lease WHERE ended_at = 0 AND renewed_at > $1`, []any{now}, &ahead)
	return ahead, err
}

// FirstLogAfter returns the time of the first log row after at, in any environment, or zero if
// there is none.
func (tx *Tx) FirstLogAfter(ctx context.Context, at time.Time) (time.Time, error) {
	var us int64
	_, err := tx.row(ctx, `SELECT COALESCE(MIN(at), 0) FROM log_row WHERE at > $1`, []any{micros(at)}, &us)
	return instant(us), err
}

// BegunLicenses returns the licenses of all environments whose term began after the first time, and
// at or before the second.
func (tx *Tx) BegunLicenses(ctx context.Context, after, until time.Time) ([]LicenseRef, error) {
	rows, err := tx.query(ctx, `SELECT env, id FROM license WHERE start_at > $1 AND start_at <= $2 ORDER BY env, id`, micros(after), micros(until))
	return collect(rows, err, func(r Row) (k LicenseRef, err error) {
		err = r.Scan(&k.Env, &k.ID)
		return k, err
	})
}
