package authority

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// recentDenials is how many denials the explanation of a license shows.
const recentDenials = 10

// ExplainLicense returns the current decision about a license, with its reason.
func (a *Authority) ExplainLicense(ctx context.Context, p access.Principal, id licensing.LicenseID) (v1.Explanation, error) {
	var e v1.Explanation
	if err := request.Require(p, access.Explain); err != nil {
		return e, err
	}
	err := a.ledger.View(ctx, func(tx *store.Tx) error {
		l, err := catalog.SeenLicense(ctx, tx, p, id)
		if err != nil {
			return err
		}
		rev, err := catalog.RevisionOf(ctx, tx, l)
		if err != nil {
			return err
		}
		terms, err := licensing.Compile(rev, l, tx.Now())
		if err != nil {
			return err
		}
		e = v1.Explanation{
			License: l.ID, Customer: l.Customer, Product: l.Product, Plan: l.Plan, Revision: rev.ID, At: tx.Now(),
			Decision: terms.InForce(tx.Now()), Payment: l.Payment, Bounds: rev.Plan.Bounds(a.ledger.Skew),
			Addons: l.Addons, Exceptions: l.Exceptions, Scheduled: l.Scheduled,
			Runway: licensing.FirstDenial(tx.Now(), []licensing.Deadline{terms.Deadline()}),
		}
		if e.Decision.Outcome == license.Denied {
			e.Runway = licensing.FirstDenial(tx.Now(), []licensing.Deadline{terms.Denied(tx.Now())})
		}
		return a.explainParts(ctx, tx, terms, &e)
	})
	return e, err
}

// explainParts explains every feature, pool and meter, and lists recent denials.
func (a *Authority) explainParts(ctx context.Context, tx *store.Tx, t licensing.Terms, e *v1.Explanation) error {
	e.Features, e.Pools, e.Meters = map[string]license.Decision{}, map[string]license.Decision{}, map[string]license.Decision{}
	for name := range t.Features {
		e.Features[name] = t.ExplainFeature(name, tx.Now())
	}
	for name := range t.Excepted.Features { // an exception may have removed it
		e.Features[name] = t.ExplainFeature(name, tx.Now())
	}
	for _, name := range slices.Sorted(maps.Keys(t.Pools)) {
		d, err := a.explainPool(ctx, tx, t, name)
		if err != nil {
			return err
		}
		e.Pools[name] = d
	}
	used, err := catalog.UsedOf(ctx, tx, t)
	if err != nil {
		return err
	}
	for name := range t.Meters {
		window, _ := t.Window(name, used[name].Window, tx.Now())
		total := used[name].Total
		if !window.Start.Equal(used[name].Window.Start) {
			total = 0
		}
		e.Meters[name] = t.ExplainMeter(name, total, window, tx.Now())
	}
	denials, err := tx.LicenseDenials(ctx, t.Env, t.License, recentDenials)
	e.Denials = explained(denials)
	return err
}

// explainPool explains the current state of a pool: the units in use, the holders if the pool is
// full, and how long new holders must wait after a possible loss.
func (a *Authority) explainPool(ctx context.Context, tx *store.Tx, t licensing.Terms, name string) (license.Decision, error) {
	key := store.PoolKey{Env: t.Env, License: t.License, Name: name}
	row, err := tx.Pool(ctx, key)
	if err != nil {
		return license.Decision{}, err
	}
	d := t.ExplainPool(name, licensing.PoolState{Stock: row.Stock, Fence: a.ledger.FenceIn(t.Env), Skew: a.ledger.Skew}, tx.Now())
	if d.Outcome == license.Unavailable || d.Outcome == license.Allowed && d.Code != license.CodeFallback {
		return d, nil
	}
	next, err := granting.Holding(ctx, tx, key, t.Pools[name])
	if err != nil {
		return d, err
	}
	holders, freeAt := licensing.Holdings(next)
	d.Holders, d.FreeAt = holders, granting.UnixOf(freeAt)
	return d, nil
}

func explained(denials []store.Denial) []v1.ExplainedDenial {
	all := make([]v1.ExplainedDenial, len(denials))
	for i, d := range denials {
		all[i] = v1.ExplainedDenial{
			Request: cmp.Or(d.Request, d.Call), Call: d.Call, License: d.License, Pool: d.Name, Holder: d.Holder, At: d.At, Times: d.Times, Decision: d.Decision, Caller: d.Caller,
		}
	}
	return all
}
