package authority

import (
	"cmp"
	"context"
	"slices"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

const (
	statusEnds  = 10 // licenses that end soonest
	statusPools = 20 // pools listed
	// statusLooked is how many pools are examined to find them. The stored capacity of a pool can
	// be out of date if an add-on or an exception has begun or ended since.
	statusLooked = 200
	// fenced is the reason why a pool grants nothing new after a possible loss.
	fenced = "fenced"
)

// Status returns the state of an environment, limited to what p may see.
func (a *Authority) Status(ctx context.Context, p access.Principal) (v1.Status, error) {
	if err := request.Require(p, access.StatusRead); err != nil {
		return v1.Status{}, err
	}
	filter, possible := catalog.Scoped(p, store.LicenseFilter{})
	if !possible {
		return v1.Status{}, licensing.Errorf(licensing.Forbidden, "the token may not see any license")
	}
	var s v1.Status
	err := a.ledger.View(ctx, func(tx *store.Tx) (err error) {
		s = v1.Status{
			Environment: p.Env, At: tx.Now(), Issuer: a.ledger.Ring.Issuer(p.Env), SigningKey: a.ledger.Ring.Active(p.Env, tx.Now()),
			KeySet: a.ledger.Ring.KeySetNumber(p.Env), Closed: a.ledger.DB.Closed(), Plans: []v1.PlanStatus{}, Pools: []v1.PoolStatus{}, Moves: []v1.PlanMove{},
		}
		fence, err := a.ledger.FenceStatus(ctx, tx, p)
		if err != nil {
			return err
		}
		if fence.Fenced {
			s.Fence, s.Fenced = &fence, fence.Since
		}
		if s.Clock, err = a.ledger.ClockStatus(ctx, tx); err != nil {
			return err
		}
		if s.Revocations, err = tx.RevocationNumber(ctx, p.Env); err != nil {
			return err
		}
		head, err := tx.LogHead(ctx, p.Env)
		if err != nil {
			return err
		}
		s.Entries = head.Size
		if s.Quarantine, err = a.ledger.Quarantines(ctx, tx, p); err != nil {
			return err
		}
		if err := countLicenses(ctx, &s, tx, filter, a.ledger.Skew); err != nil {
			return err
		}
		if s.Pools, err = a.fullest(ctx, tx, p.Env, filter); err != nil {
			return err
		}
		if err := addMoves(ctx, &s, tx, p); err != nil {
			return err
		}
		ends, err := termDeadlines(ctx, tx, p.Env, filter)
		s.Deadlines = append(a.keyDeadlines(p.Env), ends...)
		return err
	})
	if err != nil {
		return v1.Status{}, err
	}
	s.Runway = licensing.FirstDenial(s.At, s.Deadlines)
	s.Status = "ok"
	if days, due := licensing.Warning(s.At, s.Runway.At); !s.Runway.Never && due && days <= 7 {
		s.Status = "critical"
	} else if !s.Runway.Never && due && days <= 30 || !s.Clock.IsZero() {
		s.Status = "warning"
	}
	return s, nil
}

// countLicenses counts the licenses that match f, in total and by plan.
func countLicenses(ctx context.Context, s *v1.Status, tx *store.Tx, f store.LicenseFilter, skew time.Duration) error {
	counts, err := tx.CountLicenses(ctx, s.Environment, f, s.At)
	if err != nil {
		return err
	}
	for _, n := range counts {
		if len(s.Plans) == 0 || s.Plans[len(s.Plans)-1].Plan != n.Plan {
			plan, err := planBounds(ctx, tx, s.Environment, n.Plan, skew)
			if err != nil {
				return err
			}
			s.Plans = append(s.Plans, plan)
		}
		addCount(&s.Plans[len(s.Plans)-1].Licenses, n)
		addCount(&s.Licenses, n)
	}
	return nil
}

func planBounds(ctx context.Context, tx *store.Tx, env licensing.Env, name licensing.PlanName, skew time.Duration) (v1.PlanStatus, error) {
	status := v1.PlanStatus{Plan: name}
	plan, err := catalog.PlanInForce(ctx, tx, env, store.Plan{Name: name})
	if err != nil {
		return status, err
	}
	rev, ok, err := tx.Revision(ctx, env, name, plan.Revision)
	if ok {
		status.Bounds = rev.Plan.Bounds(skew)
	}
	return status, err
}

func addCount(c *v1.LicenseCounts, n store.LicenseCount) {
	switch {
	case n.Status == licensing.Revoked:
		c.Revoked += n.Count
	case n.Status == licensing.Suspended:
		c.Suspended += n.Count
	case n.Ended:
		c.Ended += n.Count
	default:
		c.Active += n.Count
	}
}

// fullest returns the fullest pools of the licenses that match f, with their current capacities.
// Pools whose license admits no new holders come last.
func (a *Authority) fullest(ctx context.Context, tx *store.Tx, env licensing.Env, f store.LicenseFilter) ([]v1.PoolStatus, error) {
	rows, err := tx.FullestPools(ctx, env, f, statusLooked)
	if err != nil {
		return nil, err
	}
	var keys []store.LicenseRef
	for _, row := range rows {
		if k := (store.LicenseRef{Env: row.Env, ID: row.License}); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	terms, err := a.Terms(ctx, tx, keys)
	if err != nil {
		return nil, err
	}
	names, err := tx.LicenseNames(ctx, keys)
	if err != nil {
		return nil, err
	}
	pools := make([]v1.PoolStatus, 0, len(rows))
	for _, row := range rows {
		of := names[store.LicenseRef{Env: row.Env, ID: row.License}]
		p := v1.PoolStatus{License: row.License, LicenseName: v1.LicenseName(of), Pool: row.Name, Held: row.Held, Waiting: row.Waiting}
		if t := terms[store.LicenseRef{Env: row.Env, ID: row.License}]; t != nil {
			p.Capacity, p.Refused = a.capacity(&t.Terms, row.Name, tx.Now())
		}
		pools = append(pools, p)
	}
	slices.SortStableFunc(pools, func(x, y v1.PoolStatus) int {
		if a, b := x.Capacity == 0, y.Capacity == 0; a || b {
			return cmp.Compare(granting.Btoi(a), granting.Btoi(b))
		}
		return cmp.Compare(float64(y.Held)/float64(y.Capacity), float64(x.Held)/float64(x.Capacity))
	})
	return pools[:min(len(pools), statusPools)], nil
}

// capacity returns how many units of a pool can be leased now, and why a new holder would get none.
func (a *Authority) capacity(t *licensing.Terms, name string, now time.Time) (units int64, refused string) {
	if d := t.InForce(now); d.Outcome == license.Denied {
		return 0, d.Code
	}
	rule, planned := t.Pools[name]
	if !planned {
		return 0, license.CodeNoSuchPool
	}
	if _, waits := a.ledger.FencedUntil(t, name, now); waits {
		refused = fenced
	}
	return rule.Capacity, refused
}

// addMoves lists the moves that p may see. A customer's token sees none, because a move concerns
// many customers.
func addMoves(ctx context.Context, s *v1.Status, tx *store.Tx, p access.Principal) error {
	if p.Customer != "" {
		return nil
	}
	open, err := tx.OpenMoves(ctx, s.Environment)
	if err != nil {
		return err
	}
	for _, m := range open {
		plan, _, err := tx.Plan(ctx, s.Environment, m.Plan)
		if err != nil {
			return err
		}
		if p.SeesProduct(plan.Product) {
			s.Moves = append(s.Moves, catalog.MoveOf(m))
		}
	}
	return nil
}

// termDeadlines returns when the matching licenses that end soonest go out of force.
func termDeadlines(ctx context.Context, tx *store.Tx, env licensing.Env, f store.LicenseFilter) ([]licensing.Deadline, error) {
	ending, err := tx.EndingLicenses(ctx, env, f, tx.Now(), statusEnds)
	if err != nil {
		return nil, err
	}
	var all []licensing.Deadline
	for _, l := range ending {
		rev, err := catalog.RevisionOf(ctx, tx, l)
		if err != nil {
			return nil, err
		}
		terms, err := licensing.Compile(rev, l, tx.Now())
		if err != nil {
			return nil, err
		}
		all = append(all, terms.Deadline())
	}
	return all, nil
}

// keyDeadlines returns when the keys of env end unless the root signs more keys.
func (a *Authority) keyDeadlines(env licensing.Env) []licensing.Deadline {
	keys, set := a.ledger.Ring.SignsUntil(env)
	return []licensing.Deadline{
		{Cause: licensing.RunwaySigningKey, Subject: string(env), At: keys},
		{Cause: licensing.RunwayKeySet, Subject: string(env), At: set},
	}
}
