package authority

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"copyhold.dev/internal/access"
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
	Pools      map[string]license.Decision `json:"pools" doc:"Of one unit more, asked now by somebody new."`
	Meters     map[string]license.Decision `json:"meters" doc:"Of one unit more."`
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
	if err := require(p, access.Explain); err != nil {
		return e, err
	}
	err := a.view(ctx, func(tx *store.Tx) error {
		l, err := seenLicense(ctx, tx, p, id)
		if err != nil {
			return err
		}
		rev, err := revisionOf(ctx, tx, l)
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
		return e.parts(ctx, tx, terms)
	})
	return e, err
}

// parts explains every feature, pool and meter, and what was denied lately.
func (e *Explanation) parts(ctx context.Context, tx *store.Tx, t licensing.Terms) error {
	e.Features, e.Pools, e.Meters = map[string]license.Decision{}, map[string]license.Decision{}, map[string]license.Decision{}
	for name := range t.Features {
		e.Features[name] = t.Feature(name, tx.Now())
	}
	for _, name := range slices.Sorted(maps.Keys(t.Pools)) {
		key := store.PoolKey{Env: t.Env, License: t.License, Name: name}
		row, err := tx.Pool(ctx, key)
		if err != nil {
			return err
		}
		d := t.Pools[name].Admit(row.Stock, 1, tx.Now())
		if d.Outcome == license.Allowed && d.Code != license.CodeFallback {
			d.Held = row.Held // as it is, not as it would be
		} else {
			next, err := holding(ctx, tx, key, t.Pools[name])
			if err != nil {
				return err
			}
			holders, freeAt := holdings(next)
			d.Holders, d.FreeAt = holders, unixOf(freeAt)
		}
		e.Pools[name] = d
	}
	used, err := usedOf(ctx, tx, t)
	if err != nil {
		return err
	}
	for name, m := range t.Meters {
		window, _ := t.Window(name, used[name].Window, tx.Now())
		total := used[name].Total
		if !window.Start.Equal(used[name].Window.Start) {
			total = 0
		}
		e.Meters[name], _ = m.Consume(total, 1, window)
	}
	denials, err := tx.LicenseDenials(ctx, t.Env, t.License, recentDenials)
	e.Denials = explained(denials)
	return err
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

// An ExplainedRequest is what one request led to: a lease, a place in a queue
// or a denial.
type ExplainedRequest struct {
	Request  string              `json:"request_id"`
	License  licensing.LicenseID `json:"license"`
	At       time.Time           `json:"at"`
	Pool     string              `json:"pool"`
	Holder   string              `json:"holder,omitempty"`
	Lease    licensing.LeaseID   `json:"lease,omitempty"`
	Ticket   licensing.TicketID  `json:"ticket,omitempty"`
	Call     string              `json:"call,omitempty" doc:"The server's own id of the request, as in X-Request-Id and in its log"`
	Times    int64               `json:"times,omitempty" doc:"How often it was denied in that minute."`
	Repeated bool                `json:"repeated,omitempty" doc:"It followed another of the same holder and reason in its minute: time and decision are the first one's."`
	Decision license.Decision    `json:"decision"`
	licensing.Caller
}

// repeatsKnown is how long the ids of repeated denials are looked for.
const repeatsKnown = 24 * time.Hour

// ExplainRequest says what was decided on a request, by its id; of a validation
// by its nonce. A grant is known for a day after its lease; a denial for 30
// days if it was the first of its holder, reason and minute, and for a day if it was
// among the last dozen or so that followed.
func (a *Authority) ExplainRequest(ctx context.Context, p access.Principal, request string) (ExplainedRequest, error) {
	var e ExplainedRequest
	if err := require(p, access.Explain); err != nil {
		return e, err
	}
	request = strings.TrimPrefix(request, "urn:copyhold:request:") // as problems name it
	err := a.view(ctx, func(tx *store.Tx) error {
		known, err := tx.Requests(ctx, p.Env, request)
		if err != nil {
			return err
		}
		for _, r := range known {
			if _, err := seenLicense(ctx, tx, p, r.License); unlessNotFound(err) != nil {
				return err
			} else if err == nil {
				e, err = explainGrant(ctx, tx, r)
				return err
			}
		}
		denials, err := tx.Denials(ctx, p.Env, request)
		if err != nil {
			return err
		}
		first := len(denials)
		if from, until, made := callSpan(request); first == 0 && made {
			denials, err = tx.DenialsOfCall(ctx, p.Env, request, from, until)
			if err != nil {
				return err
			}
			if len(denials) > 0 && denials[0].Call == request {
				first = len(denials)
			}
		}
		if len(denials) == 0 {
			if denials, err = tx.RepeatedDenials(ctx, p.Env, request, tx.Now().Add(-repeatsKnown)); err != nil {
				return err
			}
		}
		for _, d := range denials {
			if _, err := seenLicense(ctx, tx, p, d.License); unlessNotFound(err) != nil {
				return err
			} else if err == nil {
				e = ExplainedRequest{
					Request: request, Call: d.Call, License: d.License, At: d.At, Pool: d.Name, Holder: d.Holder, Times: d.Times, Decision: d.Decision, Caller: d.Caller,
					Repeated: first == 0,
				}
				return nil
			}
		}
		return licensing.Errorf(licensing.NotFound, "no request %s is known: a grant is for a day after its lease; a denial for 30 days if it was the first of its holder, reason and minute, and for a day among the last dozen after it", strings.ToValidUTF8(request, "?"))
	})
	return e, err
}

// explainGrant says what a request that was not denied led to.
func explainGrant(ctx context.Context, tx *store.Tx, r store.Request) (ExplainedRequest, error) {
	e := ExplainedRequest{Request: r.ID, License: r.License, At: r.At, Lease: r.Lease, Ticket: r.Ticket}
	if r.Lease == "" {
		e.Decision = license.Decision{
			Outcome: license.Denied, Code: license.CodeQueued, Rule: "pool.queue",
			Reason: "the pool was full; the request has a place in its queue",
		}
		return e, nil
	}
	e.Decision = license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "pool.capacity", Reason: "a lease was granted"}
	leases, err := tx.Leases(ctx, []store.LeaseKey{{Env: r.Env, ID: r.Lease}})
	if err != nil || len(leases) == 0 {
		return e, err
	}
	l := leases[0]
	e.Pool, e.Holder, e.Caller = l.Pool, l.Holder, l.Caller()
	e.Decision.Holders = []license.Holding{l.Holding()}
	if !l.Live() {
		e.Decision.Reason = "a lease was granted, and has been " + string(l.EndedBy) + " since"
		e.Decision.Holders = nil
	}
	return e, nil
}
