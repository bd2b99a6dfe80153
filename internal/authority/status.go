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
	statusEnds  = 10 // licenses that end next
	statusPools = 20 // pools listed
	// statusLooked is how many pools are looked at for them, because what is stored of a
	// capacity can be behind an add-on or an exception that began or ended since.
	statusLooked = 200
	// fenced is why a pool grants nothing new after a loss.
	fenced = "fenced"
)

// Status says how an environment stands, as far as p sees it.
func (a *Authority) Status(ctx context.Context, p access.Principal) (v1.Status, error) {
	if err := request.Require(p, access.StatusRead); err != nil {
		return v1.Status{}, err
	}
	filter, possible := catalog.Scoped(p, store.LicenseFilter{})
	if !possible {
		return v1.Status{}, licensing.Errorf(licensing.Forbidden, "the token sees no license")
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

// countLicenses counts the licenses that match f, in all and by plan.
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

// fullest returns the fullest pools of the licenses that match f, with their capacities
// as they are now; those that grant to nobody new for their license's sake are last.
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

// capacity returns what can be held of a pool now, and why nobody new gets a unit of it.
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

// addMoves lists the moves that p sees: a customer's token sees none, for they are of many.
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

// termDeadlines returns when the licenses that match f and end next are out of force.
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

// keyDeadlines returns when the keys of env end unless the root signs more.
func (a *Authority) keyDeadlines(env licensing.Env) []licensing.Deadline {
	keys, set := a.ledger.Ring.SignsUntil(env)
	return []licensing.Deadline{
		{Cause: licensing.RunwaySigningKey, Subject: string(env), At: keys},
		{Cause: licensing.RunwayKeySet, Subject: string(env), At: set},
	}
}
