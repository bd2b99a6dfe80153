package authority

import (
	"cmp"
	"context"
	"slices"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A Status is how an environment stands: what was sold, what ends next, and how
// long nothing needs anybody.
type Status struct {
	Environment licensing.Env        `json:"environment"`
	Status      string               `json:"status" enum:"ok,warning,critical" doc:"By the runway: warning from 30 days before a denial, critical from 7. Also warning while the clock is in doubt."`
	At          time.Time            `json:"at"`
	Runway      licensing.Runway     `json:"runway"`
	Deadlines   []licensing.Deadline `json:"deadlines" doc:"What ends next, of keys and of licenses."`
	Licenses    LicenseCounts        `json:"licenses"`
	Plans       []PlanStatus         `json:"plans"`
	Pools       []PoolStatus         `json:"pools" doc:"The pools with the largest share held, at most 20."`
	Moves       []catalog.PlanMove   `json:"moves" doc:"Licenses that are on their way to a revision of their plan."`
	Issuer      string               `json:"issuer"`
	SigningKey  string               `json:"signing_key" doc:"Whose turn it is to sign."`
	KeySet      int64                `json:"key_set"`
	Revocations int64                `json:"revocations" doc:"The number of the list of revocations."`
	Entries     int64                `json:"entries" doc:"In the log."`
	Quarantine  []ledger.Quarantine  `json:"quarantine,omitempty" doc:"Rows of the log that can't have a place in the tree. Only for tokens of every customer and product."`
	Fenced      time.Time            `json:"fenced_since,omitzero" doc:"Leases that were granted before may be missing, so newcomers wait; see fence."`
	Fence       *ledger.FenceStatus  `json:"fence,omitempty" doc:"Until when newcomers wait, and for which pools."`
	Closed      time.Time            `json:"closed_at,omitzero" doc:"When a final backup closed the database: nothing is written here any more."`
	Clock       ledger.ClockStatus   `json:"clock,omitzero" doc:"Absent while nobody has a reason to doubt the server's time."`
}

// LicenseCounts counts licenses by status. Ended are active ones whose term is over.
type LicenseCounts struct {
	Active    int64 `json:"active"`
	Suspended int64 `json:"suspended"`
	Revoked   int64 `json:"revoked"`
	Ended     int64 `json:"ended"`
}

// A PlanStatus is a plan in use with the worst case its numbers promise.
type PlanStatus struct {
	Plan     licensing.PlanName `json:"plan"`
	Licenses LicenseCounts      `json:"licenses"`
	Bounds   licensing.Bounds   `json:"bounds"`
}

// A PoolStatus is how full a pool is.
type PoolStatus struct {
	License licensing.LicenseID `json:"license"`
	catalog.LicenseName
	Pool     string `json:"pool"`
	Held     int64  `json:"held"`
	Capacity int64  `json:"capacity" doc:"What can be held now, by plan, add-ons and exceptions; 0 where the license is not in force"`
	Waiting  int64  `json:"waiting"`
	Refused  string `json:"refused,omitempty" doc:"Why nobody new gets a unit, whatever is free: suspended, revoked, not_started, term_ended, no_such_pool, or fenced (see fence)"`
}

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
func (a *Authority) Status(ctx context.Context, p access.Principal) (Status, error) {
	if err := request.Require(p, access.StatusRead); err != nil {
		return Status{}, err
	}
	filter, possible := catalog.Scoped(p, store.LicenseFilter{})
	if !possible {
		return Status{}, licensing.Errorf(licensing.Forbidden, "the token sees no license")
	}
	var s Status
	err := a.ledger.View(ctx, func(tx *store.Tx) (err error) {
		s = Status{
			Environment: p.Env, At: tx.Now(), Issuer: a.ledger.Ring.Issuer(p.Env), SigningKey: a.ledger.Ring.Active(p.Env, tx.Now()),
			KeySet: a.ledger.Ring.KeySetNumber(p.Env), Closed: a.ledger.DB.Closed(), Plans: []PlanStatus{}, Pools: []PoolStatus{}, Moves: []catalog.PlanMove{},
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
		if err := countLicenses(ctx, &s, tx, filter); err != nil {
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
		return Status{}, err
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
func countLicenses(ctx context.Context, s *Status, tx *store.Tx, f store.LicenseFilter) error {
	counts, err := tx.CountLicenses(ctx, s.Environment, f, s.At)
	if err != nil {
		return err
	}
	for _, n := range counts {
		if len(s.Plans) == 0 || s.Plans[len(s.Plans)-1].Plan != n.Plan {
			plan, err := planBounds(ctx, tx, s.Environment, n.Plan)
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

func planBounds(ctx context.Context, tx *store.Tx, env licensing.Env, name licensing.PlanName) (PlanStatus, error) {
	status := PlanStatus{Plan: name}
	plan, err := catalog.PlanInForce(ctx, tx, env, store.Plan{Name: name})
	if err != nil {
		return status, err
	}
	rev, ok, err := tx.Revision(ctx, env, name, plan.Revision)
	if ok {
		status.Bounds = rev.Plan.Bounds()
	}
	return status, err
}

func addCount(c *LicenseCounts, n store.LicenseCount) {
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
func (a *Authority) fullest(ctx context.Context, tx *store.Tx, env licensing.Env, f store.LicenseFilter) ([]PoolStatus, error) {
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
	pools := make([]PoolStatus, 0, len(rows))
	for _, row := range rows {
		of := names[store.LicenseRef{Env: row.Env, ID: row.License}]
		p := PoolStatus{License: row.License, LicenseName: catalog.LicenseName(of), Pool: row.Name, Held: row.Held, Waiting: row.Waiting}
		if t := terms[store.LicenseRef{Env: row.Env, ID: row.License}]; t != nil {
			p.Capacity, p.Refused = a.capacity(&t.Terms, row.Name, tx.Now())
		}
		pools = append(pools, p)
	}
	slices.SortStableFunc(pools, func(x, y PoolStatus) int {
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
func addMoves(ctx context.Context, s *Status, tx *store.Tx, p access.Principal) error {
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
