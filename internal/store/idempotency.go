package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// An Answer is the stored answer to a write, under the caller's Idempotency-Key.
type Answer struct {
	Env    licensing.Env
	Token  licensing.TokenID
	Route  string
	Key    string
	Body   string // hexadecimal digest of the request's body
	Answer string // encrypted by package authority
	At     time.Time
}

// Answer returns the answer stored under a key since the time since, and whether there is one.
func (tx *Tx) Answer(ctx context.Context, env licensing.Env, token licensing.TokenID, route, key string, since time.Time) (Answer, bool, error) {
	rows, err := tx.query(ctx, `
		SELECT env, token, route, key, body, answer, created_at FROM idempotency
		WHERE env = $1 AND token = $2 AND route = $3 AND key = $4 AND created_at > $5`,
		env, token, route, key, micros(since))
	return only(collect(rows, err, func(r Row) (a Answer, err error) {
		var at int64
		err = r.Scan(&a.Env, &a.Token, &a.Route, &a.Key, &a.Body, &a.Answer, &at)
		a.At = instant(at)
		return a, err
	}))
}

// InsertAnswer stores a and replaces an answer from before since. It reports whether the key was
// free. If two requests with the same key race, only one commits.
func (tx *Tx) InsertAnswer(ctx context.Context, a Answer, since time.Time) (bool, error) {
	n, err := tx.exec(ctx, `
		INSERT INTO idempotency (env, token, route, key, body, answer, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (env, token, route, key) DO UPDATE SET
			body = excluded.body, answer = excluded.answer, created_at = excluded.created_at
		WHERE idempotency.created_at <= $8`,
		a.Env, a.Token, a.Route, a.Key, a.Body, a.Answer, micros(a.At), micros(since))
	return n == 1, err
}

// ExpiredAnswers reports whether there are answers that were stored at or before a time.
func (tx *Tx) ExpiredAnswers(ctx context.Context, before time.Time) (bool, error) {
	var at int64
	return tx.row(ctx, `SELECT created_at FROM idempotency WHERE created_at <= $1 LIMIT 1`, []any{micros(before)}, &at)
}

// DeleteAnswers deletes up to limit answers from before a time and returns how many it deleted.
func (tx *Tx) DeleteAnswers(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `
		DELETE FROM idempotency WHERE (env, token, route, key) IN (
			SELECT env, token, route, key FROM idempotency WHERE created_at <= $1 ORDER BY created_at LIMIT $2)`,
		micros(before), limit)
}
