package catalog

import (
	"context"
	"errors"
	"maps"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

const (
	// MoveBatch is how many licenses one transaction moves at most.
	MoveBatch = 50
	// weighPage is how many licenses one transaction assesses.
	weighPage = 200
)

// MoveOf returns a stored move in the form of the API.
func MoveOf(m store.PlanMove) v1.PlanMove {
	return v1.PlanMove{ID: m.ID, Plan: m.Plan, Channel: m.Channel, Revision: m.Revision, Total: m.Total,
		Moved: m.Moved, Refused: m.Refused, By: m.Actor, At: m.Created, DoneAt: m.Done}
}

// noteMove records that a move begins or has ended.
func noteMove(tx *ledger.Tx, kind string, m store.PlanMove, product licensing.ProductName) error {
	return tx.Note(kind, licensing.Event{Product: product, Subject: string(m.Plan)}, entry.Moving{Move: m.ID, Channel: m.Channel, Revision: m.Revision, Total: m.Total, Moved: m.Moved, Refused: m.Refused})
}

// runMoves continues interrupted moves until ctx ends.
func (c *Catalog) runMoves(ctx context.Context) {
	c.ledger.WhenDue(ctx, time.Second, "moves", func(ctx context.Context) (time.Time, error) { return time.Time{}, c.FinishMoves(ctx, "") })
}

// FinishMoves moves the pending licenses of one environment, or of all environments if env is
// empty, unless a job moves them. The background task calls it every second.
func (c *Catalog) FinishMoves(ctx context.Context, env licensing.Env) error {
	var open []store.PlanMove
	err := c.ledger.View(ctx, func(tx *store.Tx) (err error) {
		open, err = tx.OpenMoves(ctx, env)
		return err
	})
	for _, m := range open {
		if m.Job != "" {
			continue
		}
		_, failed := c.finishMove(ctx, m.Env, m.ID)
		err = errors.Join(err, failed)
	}
	return err
}

// finishMove continues a move until it is done. Several servers may do so at once.
func (c *Catalog) finishMove(ctx context.Context, env licensing.Env, id licensing.MoveID) (store.PlanMove, error) {
	for {
		var m store.PlanMove
		err := c.ledger.Update(ctx, env, ledger.SystemActor, func(tx *ledger.Tx) (err error) {
			m, err = StepMove(ctx, tx, id, c.Chunk())
			return err
		})
		if err != nil || !m.Done.IsZero() {
			return m, err
		}
	}
}

// Chunk returns a function that reports whether a transaction that began now has worked for as long
// as it may, so that other requests need not wait for long.
func (c *Catalog) Chunk() (enough func() bool) {
	began := c.ledger.Now()
	return func() bool { return c.ledger.Now().Sub(began) > licensing.JobChunk }
}

// StopMove ends a move early. The licenses that have not moved keep their revision.
func StopMove(ctx context.Context, tx *ledger.Tx, id licensing.MoveID) error {
	m, ok, err := tx.LockMove(ctx, tx.Env, id)
	if err != nil || !ok || !m.Done.IsZero() {
		return err
	}
	row, ok, err := tx.Plan(ctx, tx.Env, m.Plan)
	if err == nil && ok {
		_, err = endMove(ctx, tx, m, row.Product)
	}
	return err
}

// endMove stores that a move is done, and records it.
func endMove(ctx context.Context, tx *ledger.Tx, m store.PlanMove, product licensing.ProductName) (store.PlanMove, error) {
	m.Done = tx.Now()
	if err := noteMove(tx, licensing.PlanMoved, m, product); err != nil {
		return m, err
	}
	return m, tx.UpdateMove(ctx, m)
}

// StepMove moves the next licenses of a move, until enough returns true.
func StepMove(ctx context.Context, tx *ledger.Tx, id licensing.MoveID, enough func() bool) (store.PlanMove, error) {
	m, ok, err := tx.LockMove(ctx, tx.Env, id)
	if err == nil && !ok {
		err = request.NotFound("move", id)
	}
	if err != nil || !m.Done.IsZero() {
		return m, err
	}
	tx.Actor = m.Actor
	rev, ok, err := tx.RevisionOf(ctx, licensing.License{Env: tx.Env, Plan: m.Plan, Granted: m.Revision})
	if err == nil && !ok {
		err = request.NotFound("revision", m.Revision)
	}
	if err != nil {
		return m, err
	}
	licenses, err := tx.Licenses(ctx, tx.Env, m.Licenses, m.Last, MoveBatch)
	if err != nil {
		return m, err
	}
	for _, l := range licenses {
		moved, err := moveLicense(ctx, tx, l.ID, m, rev)
		if err != nil {
			return m, err
		}
		if moved {
			m.Moved++
		} else {
			m.Refused++
		}
		if m.Last = string(l.ID); enough() {
			break
		}
	}
	if len(licenses) == 0 {
		return endMove(ctx, tx, m, rev.Plan.Product)
	}
	return m, tx.UpdateMove(ctx, m)
}

// moveLicense grants a license by a revision. If the license has changed since the move was decided
// and cannot move, moveLicense records the reason and returns false.
func moveLicense(ctx context.Context, tx *ledger.Tx, id licensing.LicenseID, m store.PlanMove, rev licensing.Revision) (bool, error) {
	l, ok, err := tx.LockLicense(ctx, tx.Env, id)
	if err != nil {
		return false, err
	}
	if !ok || l.Plan != m.Plan || l.Channel != m.Channel || l.Revision != "" || l.Granted == rev.ID {
		return false, nil
	}
	held, err := tx.LockHeld(ctx, l.Env, l.ID)
	if err != nil {
		return false, err
	}
	w, err := weighLicense(ctx, tx.Tx, l, rev, tx.Skew, held)
	if err == nil && w.misfit == nil {
		w.misfit = w.allowed(m.Below, tx.Now())
	}
	if err != nil {
		return false, err
	}
	if w.misfit != nil {
		return false, tx.Note(licensing.LicenseLeft, AboutLicense(l), entry.Left{Move: m.ID, At: l.Granted, Reason: w.misfit.Error()})
	}
	if err := rescale(ctx, tx, w.before, w.after); err != nil {
		return false, err
	}
	if err := recount(ctx, tx, w.before, w.after, held); err != nil {
		return false, err
	}
	if err := allowShort(ctx, tx, w.after, w.effect.Shortages, m.Below); err != nil {
		return false, err
	}
	from := l.Granted
	l = w.after.Scaled(w.before.Scaled(l))
	l.Granted = rev.ID
	_, err = StoreLicense(ctx, tx, l, licensing.LicenseMoved, entry.Moved{Move: m.ID, From: from, To: rev.ID, Changes: w.effect.Changes})
	return true, err
}

// A weighed is the effect of another revision on a license. Misfit is the reason why the revision
// cannot grant the license.
type weighed struct {
	before, after licensing.Terms
	effect        licensing.Effect
	misfit        error
}

// weighLicense returns the effect of granting rev to a license with the given units in use. It
// changes nothing, not even held.
func weighLicense(ctx context.Context, tx *store.Tx, l licensing.License, rev licensing.Revision, skew time.Duration, held map[string]int64) (w weighed, err error) {
	was, err := RevisionOf(ctx, tx, l)
	if err == nil {
		w.before, err = licensing.Compile(was, l, tx.Now())
	}
	if err == nil {
		w.after, err = licensing.Fit(rev, w.before.Scaled(l), tx.Now())
	}
	if err == nil {
		_, err = rescalings(ctx, tx, w.before, w.after)
	}
	if code := licensing.CodeOf(err); code == licensing.Conflict || code == licensing.Invalid {
		w.misfit = err
		return w, nil
	}
	if err != nil {
		return w, err
	}
	held = maps.Clone(held)
	if err := countShared(ctx, tx, w.before, w.after, skew, held); err != nil {
		return w, err
	}
	w.effect = licensing.Compare(w.before, w.after, held, tx.Now())
	w.effect.Shortages = lowered(w.effect.Shortages, w.before, w.after)
	return w, nil
}

// allowed returns an error if below does not permit the license to use more than the revision
// grants.
func (w weighed) allowed(below licensing.Below, now time.Time) error {
	for _, s := range w.effect.Shortages {
		if _, err := below.Allow(s, w.after.Pools[s.Pool], now); err != nil {
			return err
		}
	}
	return nil
}

// lowered omits pools whose capacity the change does not reduce. If such a pool is over its
// capacity, it was so before.
func lowered(all []licensing.Shortage, before, after licensing.Terms) []licensing.Shortage {
	var kept []licensing.Shortage
	for _, s := range all {
		if s.Capacity < before.Pools[s.Pool].Capacity || sharingEnds(before, after, s.Pool) {
			kept = append(kept, s)
		}
	}
	return kept
}
