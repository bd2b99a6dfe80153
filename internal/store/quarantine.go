package store

import (
	"context"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
)

// A QuarantineCause is the reason why a row of the log cannot be placed.
type QuarantineCause string

// These are the causes of quarantine.
const (
	UnknownEnvironment QuarantineCause = "unknown_environment" // until the environment is created
	DamagedRow         QuarantineCause = "damaged"             // the row is gone, or its hashes do not match its entries
)

// A Quarantine is the number of an environment's rows in quarantine, and since when.
type Quarantine struct {
	Env   licensing.Env
	Cause QuarantineCause
	Rows  int64
	Since time.Time
}

var (
	quarantineRows   = newMultirow(`INSERT INTO log_quarantine (env, id, batch, cause, leaves, licenses, at) VALUES `, 7, "", "")
	unquarantineRows = newMultirow(`DELETE FROM log_quarantine WHERE (env, id) IN (VALUES `, 2, "tt", ")")
	pendRows         = newMultirow(`INSERT INTO log_pending (env, id, leaves, licenses) VALUES `, 4, "", "")
)

// PutInQuarantine removes waiting rows from the queue, as one batch. It returns false if any of
// them is no longer waiting; the transaction must then be rolled back.
func (tx *Tx) PutInQuarantine(ctx context.Context, batch string, cause QuarantineCause, rows []PendingRow) (bool, error) {
	var names, all []any
	for _, r := range rows {
		names = append(names, r.Env, r.ID)
		all = append(all, r.Env, r.ID, batch, cause, bytesOf(r.Leaves), strings.Join(r.Licenses, " "), micros(tx.Now()))
	}
	n, err := tx.execMany(ctx, &unpendRows, names)
	if err != nil || n != int64(len(rows)) {
		return false, err
	}
	return true, tx.putMany(ctx, &quarantineRows, all)
}

// Adopt returns the rows of a batch to the queue. It returns false if any of them is no longer in
// quarantine; the transaction must then be rolled back.
func (tx *Tx) Adopt(ctx context.Context, rows []PendingRow) (bool, error) {
	var names, all []any
	for _, r := range rows {
		names = append(names, r.Env, r.ID)
		all = append(all, r.Env, r.ID, bytesOf(r.Leaves), strings.Join(r.Licenses, " "))
	}
	n, err := tx.execMany(ctx, &unquarantineRows, names)
	if err != nil || n != int64(len(rows)) {
		return false, err
	}
	return true, tx.putMany(ctx, &pendRows, all)
}

// bytesOf returns b, or an empty slice instead of nil.
func bytesOf(b []byte) []byte { return append([]byte{}, b...) }

// OrphanEnvs returns the environments that now have keys, and whose rows were quarantined because
// the environment did not exist.
func (tx *Tx) OrphanEnvs(ctx context.Context) ([]licensing.Env, error) {
	rows, err := tx.query(ctx, `
		SELECT DISTINCT k.env FROM signing_key k
		WHERE EXISTS (SELECT 1 FROM log_quarantine q WHERE q.env = k.env AND q.cause = $1)
		ORDER BY k.env`, UnknownEnvironment)
	return collect(rows, err, scanEnv)
}

func scanEnv(r Row) (env licensing.Env, err error) {
	err = r.Scan(&env)
	return env, err
}

// Orphans returns the oldest batch of rows that were quarantined because env did not exist, sorted
// by id, or nothing if there is no such batch.
func (tx *Tx) Orphans(ctx context.Context, env licensing.Env) (batch string, list []PendingRow, err error) {
	rows, err := tx.query(ctx, `
		SELECT batch, id, leaves, licenses FROM log_quarantine
		WHERE env = $1 AND cause = $2 AND batch = (SELECT MIN(batch) FROM log_quarantine WHERE env = $1 AND cause = $2)
		ORDER BY id`, env, UnknownEnvironment)
	list, err = collect(rows, err, func(r Row) (PendingRow, error) {
		p := PendingRow{Env: env}
		var names string
		err := r.Scan(&batch, &p.ID, &p.Leaves, &names)
		p.Licenses = strings.Fields(names)
		return p, err
	})
	return batch, list, err
}

// Quarantines counts the rows in quarantine, by environment and cause. It returns up to limit
// counts.
func (tx *Tx) Quarantines(ctx context.Context, limit int) ([]Quarantine, error) {
	rows, err := tx.query(ctx, `
		SELECT env, cause, COUNT(*), MIN(at) FROM log_quarantine
		GROUP BY env, cause ORDER BY env, cause LIMIT $1`, limit)
	return collect(rows, err, func(r Row) (q Quarantine, err error) {
		var since int64
		err = r.Scan(&q.Env, &q.Cause, &q.Rows, &since)
		q.Since = instant(since)
		return q, err
	})
}
