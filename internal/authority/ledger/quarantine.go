package ledger

import (
	"cmp"
	"context"
	"slices"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// quarantineRows limits how many rows one entry names.
const quarantineRows = 1000

// ShownQuarantines limits how many environments with quarantined rows are shown.
const ShownQuarantines = 100

// Quarantines returns the rows in quarantine that p may know about: those of its environment, and
// those of nonexistent environments. Only callers that see every customer and product get any.
func (l *Ledger) Quarantines(ctx context.Context, tx *store.Tx, p access.Principal) ([]v1.Quarantine, error) {
	if p.Customer != "" || p.Product != "" {
		return nil, nil
	}
	all, err := tx.Quarantines(ctx, ShownQuarantines)
	var seen []v1.Quarantine
	for _, q := range all {
		if q.Env == p.Env || !l.Ring.Has(q.Env) {
			seen = append(seen, v1.Quarantine{Environment: q.Env, Cause: string(q.Cause), Rows: q.Rows, Since: q.Since})
		}
	}
	return seen, err
}

// sortRows separates the waiting rows of one environment into rows that can be placed and rows that
// cannot.
func sortRows(rows []store.PendingRow, known bool) (fit, unfit []store.PendingRow, cause store.QuarantineCause) {
	if !known {
		return nil, rows, store.UnknownEnvironment
	}
	if !slices.ContainsFunc(rows, store.PendingRow.Damaged) {
		return rows, nil, ""
	}
	for _, r := range rows {
		if r.Damaged() {
			unfit = append(unfit, r)
		} else {
			fit = append(fit, r)
		}
	}
	return fit, unfit, store.DamagedRow
}

// quarantine sets rows of one environment aside and records this in its log. If the environment
// does not exist, it records this in every log.
func (s *sequencer) quarantine(ctx context.Context, known []licensing.Env, cause store.QuarantineCause, rows []store.PendingRow) error {
	env := rows[0].Env
	logs := known
	if cause != store.UnknownEnvironment {
		logs = []licensing.Env{env}
	}
	return s.ledger.Update(ctx, "", sequencerActor, func(tx *Tx) error {
		batch := NewID("qua", tx.Now())
		hash, err := tx.hashRows(ctx, rows)
		if err != nil {
			return err
		}
		if ok, err := tx.PutInQuarantine(ctx, batch, cause, rows); err != nil || !ok {
			return cmp.Or(err, errSequenced)
		}
		for _, log := range logs {
			err := tx.Note(licensing.LogQuarantined, licensing.Event{Env: log, Subject: batch}, entry.Quarantine{Environment: env, Cause: string(cause), Batch: batch, Rows: len(rows), Hash: hash})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// adopt requeues the oldest batch of rows that were quarantined before their environment was
// created. It reports whether there was one.
func (s *sequencer) adopt(ctx context.Context, env licensing.Env) (adopted bool, err error) {
	err = s.ledger.Update(ctx, env, sequencerActor, func(tx *Tx) error {
		batch, rows, err := tx.Orphans(ctx, env)
		if adopted = len(rows) > 0; err != nil || !adopted {
			return err
		}
		hash, err := tx.hashRows(ctx, rows)
		if err != nil {
			return err
		}
		if ok, err := tx.Adopt(ctx, rows); err != nil || !ok {
			return cmp.Or(err, errSequenced)
		}
		return tx.Note(licensing.LogAdopted, licensing.Event{Subject: batch},
			entry.Quarantine{Environment: env, Batch: batch, Rows: len(rows), Hash: hash})
	})
	return adopted, err
}

func (tx *Tx) hashRows(ctx context.Context, rows []store.PendingRow) (string, error) {
	raw := make([]audit.RawRow, len(rows))
	for i, r := range rows {
		body, err := tx.LogBody(ctx, r.Env, r.ID)
		if err != nil {
			return "", err
		}
		raw[i] = audit.RawRow{ID: r.ID, Body: body, Leaves: r.Leaves}
	}
	return audit.HashRows(raw), nil
}
