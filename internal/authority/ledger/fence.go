package ledger

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// TokenActor and LicenseActor are prefixes of the actor names of tokens and license keys.
const (
	TokenActor   = "token:"
	LicenseActor = "license:"
)

// DeclaredFor is how long a declaration about a fence remains valid without a second person.
const DeclaredFor = 24 * time.Hour

// Fence begins an epoch, because holders may have documents that are newer than the record. kind is
// the type of the event that caused it. The fence of each environment in reasons begins at since;
// zero means the next start.
func (tx *Tx) Fence(ctx context.Context, kind string, was, epoch int64, since time.Time, reasons map[licensing.Env]string) error {
	if err := tx.BeginEpoch(ctx, kind, was, epoch, reasons); err != nil {
		return err
	}
	for env, reason := range reasons {
		if err := tx.PutFence(ctx, store.Fence{Env: env, Since: since, Epoch: epoch, Reason: reason}); err != nil {
			return err
		}
	}
	return nil
}

// BeginEpoch begins an epoch and records an event of the given type as its cause.
func (tx *Tx) BeginEpoch(ctx context.Context, kind string, was, epoch int64, reasons map[licensing.Env]string) error {
	if err := tx.SetEpoch(ctx, epoch); err != nil {
		return err
	}
	for env, reason := range reasons {
		for _, kind := range []string{kind, licensing.EpochRaised} {
			if err := tx.Note(kind, licensing.Event{Env: env}, entry.Epoch{From: was, To: epoch, Reason: reason}); err != nil {
				return err
			}
		}
	}
	return nil
}

// beginFences starts the fences that a restore left, at the first start after it.
func (l *Ledger) beginFences(ctx context.Context) error {
	return l.Update(ctx, "", SystemActor, func(tx *Tx) error {
		list, err := tx.Fences(ctx)
		if err != nil {
			return err
		}
		for _, f := range list {
			if f.Since.IsZero() {
				f.Since = tx.Now()
				if err := tx.PutFence(ctx, f); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// A Fence is the last known state of an environment's fence.
type Fence struct {
	licensing.Fence
	revisions int64 // how many revisions it has learned from
}

// LoadFences reads, for each environment, the time since which its record may be incomplete. It
// runs again while the server runs, because another server may have ended a fence, or a lost plan
// may have been applied again.
func (l *Ledger) LoadFences(ctx context.Context) error {
	fences, known := map[licensing.Env]Fence{}, *l.Fences.Load()
	err := l.View(ctx, func(tx *store.Tx) error {
		clear(fences)
		list, err := tx.Fences(ctx)
		if err != nil {
			return err
		}
		for _, row := range list {
			if fences[row.Env], err = FenceOf(ctx, tx, row, known[row.Env]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		l.Fences.Store(&fences)
	}
	return err
}

// FenceOf returns the fence of a row, with the plans that could have granted leases before it. If
// known is the same fence, its plans are reused.
func FenceOf(ctx context.Context, tx *store.Tx, row store.Fence, known Fence) (Fence, error) {
	f := Fence{Fence: licensing.Fence{Since: row.Since, Epoch: row.Epoch, Ending: row.Ending}}
	declared, _, err := tx.FenceDeclaration(ctx, row.Env, row.Epoch)
	if err != nil {
		return f, err
	}
	f.Declared = declared.EndedAt
	if f.revisions, err = tx.CountRevisions(ctx, row.Env); err != nil {
		return f, err
	}
	if known.Epoch == f.Epoch && known.Since.Equal(f.Since) && known.revisions == f.revisions {
		f.Plans, f.Products = known.Plans, known.Products
		return f, nil
	}
	for after := ""; ; {
		plans, err := tx.Plans(ctx, row.Env, "", after, request.MaxPage)
		if err != nil || len(plans) == 0 {
			return f, err
		}
		for _, plan := range plans {
			after = string(plan.Name)
			revisions, err := tx.Revisions(ctx, row.Env, plan.Name)
			if err != nil {
				return f, err
			}
			for _, r := range revisions {
				f.Learn(r.Plan)
			}
		}
	}
}

// FenceIn returns the fence of an environment, or a zero fence if there is none.
func (l *Ledger) FenceIn(env licensing.Env) licensing.Fence { return (*l.Fences.Load())[env].Fence }

// FencedSince returns the time since which the environment's record of leases may be older than the
// documents of holders. It returns zero if there was no loss.
func (l *Ledger) FencedSince(env licensing.Env) time.Time { return l.FenceIn(env).Since }

// FenceStatus returns the fence status of p's environment.
func (l *Ledger) FenceStatus(ctx context.Context, tx *store.Tx, p access.Principal) (s v1.FenceStatus, err error) {
	f := l.FenceIn(p.Env)
	none := v1.FenceStatus{Pools: []v1.FencedPool{}}
	if f.Since.IsZero() || !f.Declared.IsZero() {
		return none, nil
	}
	s = v1.FenceStatus{Fenced: true, Since: f.Since, Pools: []v1.FencedPool{}}
	for plan, pools := range f.Plans {
		for pool := range pools {
			if until := f.End(plan, pool, l.Skew); tx.Now().Before(until) {
				s.Pools = append(s.Pools, v1.FencedPool{Plan: plan, Pool: pool, Until: until})
				s.Until = later(s.Until, until)
			}
		}
	}
	if len(s.Pools) == 0 {
		return none, nil
	}
	if p.Customer != "" || p.Product != "" {
		s.Pools = []v1.FencedPool{} // they name plans that p may not see
	}
	slices.SortFunc(s.Pools, func(a, b v1.FencedPool) int {
		return cmp.Or(b.Until.Compare(a.Until), cmp.Compare(a.Plan, b.Plan), cmp.Compare(a.Pool, b.Pool))
	})
	row, err := fenceRow(ctx, tx, p.Env)
	if err != nil {
		return s, err
	}
	s.Reason = row.Reason
	d, declared, err := tx.FenceDeclaration(ctx, p.Env, row.Epoch)
	if declared && tx.Now().Before(d.DeclaredAt.Add(DeclaredFor)) {
		s.Declared = &v1.FenceDeclaration{By: d.DeclaredBy, At: d.DeclaredAt, Until: d.DeclaredAt.Add(DeclaredFor), Reason: d.Reason}
	}
	return s, err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func fenceRow(ctx context.Context, tx *store.Tx, env licensing.Env) (store.Fence, error) {
	list, err := tx.Fences(ctx)
	if err != nil {
		return store.Fence{}, err
	}
	i := slices.IndexFunc(list, func(f store.Fence) bool { return f.Env == env })
	if i < 0 {
		return store.Fence{}, notFenced(env)
	}
	return list[i], nil
}

func notFenced(env licensing.Env) error {
	return licensing.Errorf(licensing.NotFound, "no pool of %s is fenced", env)
}

// Fence returns the fence status of p's environment.
func (l *Ledger) Fence(ctx context.Context, p access.Principal) (s v1.FenceStatus, err error) {
	if err := request.Require(p, access.StatusRead); err != nil {
		return s, err
	}
	err = l.View(ctx, func(tx *store.Tx) error {
		s, err = l.FenceStatus(ctx, tx, p)
		return err
	})
	return s, err
}

// DeclareNothingLost records p's statement that no lease is missing since the loss that raised the
// fence. When a second person makes the same statement, the fence ends and ended is true. Two
// tokens count as two people if neither created the other, directly or through other tokens. A
// declaration expires after a day. The error is NotFound if there is no fence.
func (l *Ledger) DeclareNothingLost(ctx context.Context, p access.Principal, reason string) (s v1.FenceStatus, ended bool, err error) {
	if err := request.Require(p, access.FenceEnd); err != nil {
		return s, false, err
	}
	if strings.TrimSpace(reason) == "" {
		return s, false, licensing.Errorf(licensing.Invalid, "reason is empty: state the evidence that no lease was lost; it is recorded in the log").At("reason")
	}
	err = l.Update(ctx, p.Env, p.Actor, func(tx *Tx) error {
		ended = false
		if s, err = l.FenceStatus(ctx, tx.Tx, p); err == nil && !s.Fenced {
			err = notFenced(p.Env)
		}
		if err != nil {
			return err
		}
		ended, err = tx.declare(ctx, p, &s, reason)
		return err
	})
	if err != nil {
		return v1.FenceStatus{}, false, err
	}
	return s, ended, l.LoadFences(ctx)
}

// declare records p's statement about s: the first one, or the second one, which ends the fence.
func (tx *Tx) declare(ctx context.Context, p access.Principal, s *v1.FenceStatus, reason string) (ended bool, err error) {
	row, err := fenceRow(ctx, tx.Tx, p.Env)
	if err != nil {
		return false, err
	}
	d := store.FenceDeclaration{Env: p.Env, Epoch: row.Epoch, DeclaredBy: p.Actor, DeclaredAt: tx.Now(), Reason: reason}
	event := entry.Fence{Epoch: row.Epoch, By: p.Actor, Reason: reason}
	first, err := tx.standing(ctx, p.Env, s.Declared)
	if err != nil {
		return false, err
	}
	if first != nil && first.By != p.Actor {
		if err := tx.independent(ctx, p.Env, first.By, p.Actor); err != nil {
			return false, err
		}
		d.DeclaredBy, d.DeclaredAt, d.AgreedBy, d.EndedAt = first.By, first.At, p.Actor, tx.Now()
		event.By, event.AgreedBy, event.Until = first.By, p.Actor, &s.Until
		if err := tx.PutFenceDeclaration(ctx, d); err != nil {
			return false, err
		}
		return true, tx.Note(licensing.FenceEnded, licensing.Event{}, event)
	}
	s.Declared = &v1.FenceDeclaration{By: p.Actor, At: tx.Now(), Until: tx.Now().Add(DeclaredFor), Reason: reason}
	if err := tx.PutFenceDeclaration(ctx, d); err != nil {
		return false, err
	}
	return false, tx.Note(licensing.FenceDeclared, licensing.Event{}, event)
}

// standing returns d, or nil if its token was deleted or has expired.
func (tx *Tx) standing(ctx context.Context, env licensing.Env, d *v1.FenceDeclaration) (*v1.FenceDeclaration, error) {
	if d == nil {
		return nil, nil
	}
	t, found, err := tx.creator(ctx, env, d.By)
	if err != nil || !found || !t.ExpiresAt.IsZero() && !tx.Now().Before(t.ExpiresAt) {
		return nil, err
	}
	return d, nil
}

// creator returns the token of an actor and whether it exists.
func (tx *Tx) creator(ctx context.Context, env licensing.Env, actor string) (t store.Token, found bool, err error) {
	id, isToken := strings.CutPrefix(actor, TokenActor)
	for _, env := range []licensing.Env{env, access.AllEnvironments} {
		if isToken && !found && err == nil {
			t, found, err = tx.Token(ctx, env, licensing.TokenID(id))
		}
	}
	return t, found, err
}

// independent refuses two actors if one of their tokens created the other.
func (tx *Tx) independent(ctx context.Context, env licensing.Env, one, other string) error {
	for _, pair := range [][2]string{{one, other}, {other, one}} {
		made, err := tx.mayHaveMade(ctx, env, pair[0], pair[1])
		if err != nil {
			return err
		}
		if made {
			return licensing.Errorf(licensing.Forbidden, "%s and %s do not count as two people: one of these tokens created the other; a second person must use a separate token", one, other)
		}
	}
	return nil
}

// mayHaveMade reports whether the token of ancestor may have created the token of actor, directly
// or through other tokens. Deleted tokens leave a gap. Ids sort by time, so ancestor cannot have
// created an older token.
func (tx *Tx) mayHaveMade(ctx context.Context, env licensing.Env, ancestor, actor string) (bool, error) {
	for actor != ancestor {
		t, found, err := tx.creator(ctx, env, actor)
		switch {
		case err != nil:
			return false, err
		case !found:
			return strings.HasPrefix(actor, TokenActor) && actor > ancestor, nil
		}
		actor = t.CreatedBy
	}
	return true, nil
}

// FencedUntil returns the time until which a pool grants nothing to new holders after a possible
// loss, and whether there is one.
func (l *Ledger) FencedUntil(t *licensing.Terms, name string, now time.Time) (time.Time, bool) {
	return l.FenceIn(t.Env).Waits(t, name, l.Skew, now)
}
