package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Revocation ends a subject's rights early. Number is its place in the environment's list,
// starting at 1, without gaps. The highest number is the number of the list.
type Revocation struct {
	Number   int64
	Subject  string
	At       time.Time
	Until    time.Time // latest end of the documents that it revokes; zero means never
	Reason   string
	Fallback bool // the fallback set remains
}

// InsertRevocation adds r to env's list with the next number. It reports whether the subject was
// not revoked yet.
func (tx *Tx) InsertRevocation(ctx context.Context, env licensing.Env, r Revocation) (bool, error) {
	n, err := tx.exec(ctx, `
		INSERT INTO revocation (env, number, subject, at, until, reason, fallback)
		SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3, $4, $5, $6 FROM revocation WHERE env = $1
		ON CONFLICT (env, subject) DO NOTHING`,
		env, r.Subject, micros(r.At), micros(r.Until), r.Reason, flag(r.Fallback))
	return n == 1, err
}

// RevocationNumber returns the number of env's list, or 0 if nothing has ever been revoked.
func (tx *Tx) RevocationNumber(ctx context.Context, env licensing.Env) (number int64, err error) {
	_, err = tx.row(ctx, `SELECT COALESCE(MAX(number), 0) FROM revocation WHERE env = $1`, []any{env}, &number)
	return number, err
}

// Revocations returns the revocations that are still needed at now, oldest first: those whose
// documents have not all ended by their own dates.
func (tx *Tx) Revocations(ctx context.Context, env licensing.Env, now time.Time) ([]Revocation, error) {
	rows, err := tx.query(ctx, `
		SELECT number, subject, at, until, reason, fallback FROM revocation
		WHERE env = $1 AND (until = 0 OR until > $2) ORDER BY number`, env, micros(now))
	return collect(rows, err, func(r Row) (v Revocation, err error) {
		var at, until, fallback int64
		err = r.Scan(&v.Number, &v.Subject, &at, &until, &v.Reason, &fallback)
		v.At, v.Until, v.Fallback = instant(at), instant(until), fallback != 0
		return v, err
	})
}
