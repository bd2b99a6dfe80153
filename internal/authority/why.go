package authority

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// An Explanation is what is decided about a license now, and by which rule.
type Explanation struct {
	License    licensing.LicenseID         `json:"license"`
	Customer   licensing.CustomerID        `json:"customer"`
	Product    licensing.ProductName       `json:"product"`
	Plan       licensing.PlanName          `json:"plan"`
	Revision   licensing.RevisionID        `json:"revision"`
	At         time.Time                   `json:"at"`
	Decision   license.Decision            `json:"decision" doc:"Of the license itself: its status and its term."`
	Features   map[string]license.Decision `json:"features"`
	Pools      map[string]license.Decision `json:"pools" doc:"What is held, and whether one unit more would be granted to somebody new"`
	Meters     map[string]license.Decision `json:"meters" doc:"What was used in this period, and whether any more would be recorded"`
	Addons     []licensing.Grant           `json:"addons,omitempty"`
	Exceptions []licensing.Exception       `json:"exceptions,omitempty"`
	Scheduled  []licensing.Change          `json:"scheduled,omitempty"`
	Payment    licensing.Payment           `json:"payment"`
	Denials    []ExplainedDenial           `json:"denials" doc:"The latest, newest first."`
	Bounds     licensing.Bounds            `json:"bounds"`
	Runway     licensing.Runway            `json:"runway"`
}

// An ExplainedDenial is a denial that was given, and how often it was repeated.
type ExplainedDenial struct {
	Request  string              `json:"request_id"`
	License  licensing.LicenseID `json:"license"`
	Pool     string              `json:"pool" doc:"The pool or the meter."`
	Holder   string              `json:"holder,omitempty"`
	At       time.Time           `json:"at"`
	Times    int64               `json:"times" doc:"In that minute, retries included."`
	Call     string              `json:"call,omitempty" doc:"The server's own id of the request, as in X-Request-Id and in its log"`
	Decision license.Decision    `json:"decision"`
	licensing.Caller
}

// recentDenials is how many denials an explanation of a license shows.
const recentDenials = 10

// ExplainLicense says what is decided about a license now, and why.
func (a *Authority) ExplainLicense(ctx context.Context, p access.Principal, id licensing.LicenseID) (Explanation, error) {
	var e Explanation
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
		e = Explanation{
			License: l.ID, Customer: l.Customer, Product: l.Product, Plan: l.Plan, Revision: rev.ID, At: tx.Now(),
			Decision: terms.InForce(tx.Now()), Payment: l.Payment, Bounds: rev.Plan.Bounds(),
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

// explainParts explains every feature, pool and meter, and what was denied lately.
func (a *Authority) explainParts(ctx context.Context, tx *store.Tx, t licensing.Terms, e *Explanation) error {
	e.Features, e.Pools, e.Meters = map[string]license.Decision{}, map[string]license.Decision{}, map[string]license.Decision{}
	for name := range t.Features {
		e.Features[name] = t.ExplainFeature(name, tx.Now())
	}
	for name := range t.Excepted.Features { // taken away, perhaps
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

// explainPool explains a pool as it is: what is held, by whom where nothing is left, and
// until when newcomers wait after a loss.
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

func explained(denials []store.Denial) []ExplainedDenial {
	all := make([]ExplainedDenial, len(denials))
	for i, d := range denials {
		all[i] = ExplainedDenial{
			Request: cmp.Or(d.Request, d.Call), Call: d.Call, License: d.License, Pool: d.Name, Holder: d.Holder, At: d.At, Times: d.Times, Decision: d.Decision, Caller: d.Caller,
		}
	}
	return all
}
