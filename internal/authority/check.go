package authority

import (
	"context"
	"slices"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A CheckRequest asks what would be decided. Exactly one of Feature, Pool and
// Meter is named.
type CheckRequest struct {
	Feature  string
	Pool     string
	Meter    string
	Units    int64  // of a pool, 0 is 1
	Quantity string // of a meter, empty is 1
	Holder   Holder // of a pool: who holds already is not asked again
	Nonce    string
	Caller   licensing.Caller // its Instance is that of Holder
}

// Checked is a decision that changed nothing. Reply is it signed, when the
// request had a nonce.
type Checked struct {
	Decision license.Decision
	Reply    string
}

// Check says what would be decided now, and changes nothing. What an acquire
// would be refused with, as Unavailable behind a fence, is its error too.
func (a *Authority) Check(ctx context.Context, p access.Principal, q CheckRequest) (Checked, error) {
	if named := btoi(q.Feature != "") + btoi(q.Pool != "") + btoi(q.Meter != ""); named != 1 {
		return Checked{}, licensing.Errorf(licensing.Invalid, "name one of feature, pool and meter")
	}
	if q.Units < 0 || q.Units > licensing.MaxUnits {
		return Checked{}, licensing.Errorf(licensing.Invalid, "units %d are not between 1 and %d", q.Units, licensing.MaxUnits).At("units")
	}
	if err := checkNames(text{"feature", q.Feature}, text{"pool", q.Pool}, text{"meter", q.Meter}); err != nil {
		return Checked{}, err
	}
	if err := checkHolder(q.Holder.Kind, q.Holder.ID, q.Holder.Components); err != nil {
		return Checked{}, err
	}
	if err := checkCaller(q.Caller); err != nil {
		return Checked{}, err
	}
	if err := checkNonce(q.Nonce); err != nil {
		return Checked{}, err
	}
	a.seen.note(store.LicenseKey{Env: p.Env, ID: p.License}, q.Caller, a.db.Latest())
	var c Checked
	var t *compiled
	var now time.Time
	err := a.view(ctx, func(tx *store.Tx) error {
		k := licenseKey{p.Env, p.License}
		all, err := a.terms(ctx, tx, []licenseKey{k})
		if err != nil {
			return err
		}
		if t = all[k]; t == nil {
			return licensing.Errorf(licensing.NotFound, "no license %s", p.License)
		}
		now = tx.Now()
		c.Decision, err = a.check(ctx, tx, t, q)
		return err
	})
	if err != nil {
		return Checked{}, err
	}
	a.metrics.Decision(string(p.Env), string(t.Product), measured(t.Features, q.Feature)+measured(t.Pools, q.Pool)+measured(t.Meters, q.Meter), string(c.Decision.Outcome), c.Decision.Code)
	c.Reply, err = a.reply(&t.Terms, question{nonce: q.Nonce}, c.Decision, now)
	return c, err
}

func (a *Authority) check(ctx context.Context, tx *store.Tx, t *compiled, q CheckRequest) (license.Decision, error) {
	if d := t.InForce(tx.Now()); d.Outcome != license.Allowed {
		return d, nil
	}
	switch {
	case q.Feature != "":
		return t.Feature(q.Feature, tx.Now()), nil
	case q.Pool != "":
		return a.checkPool(ctx, tx, t, q)
	}
	return a.checkMeter(ctx, tx, t, q)
}

func (a *Authority) checkPool(ctx context.Context, tx *store.Tx, t *compiled, q CheckRequest) (license.Decision, error) {
	rule, planned := t.Pools[q.Pool]
	if !planned {
		return noSuchPool(t, q.Pool), nil
	}
	k := store.PoolKey{Env: t.Env, License: t.License, Name: q.Pool}
	row, err := tx.Pool(ctx, k)
	if err != nil {
		return license.Decision{}, err
	}
	stock, units := row.Stock, max(q.Units, 1)
	var behind error // a fence
	if until, fenced := a.fencedUntil(&t.Terms, q.Pool, tx.Now()); fenced {
		behind = refusedByFence(t.License, q.Pool, until, tx.Now())
	}
	if q.Holder.ID != "" {
		held, err := tx.HolderLeases(ctx, k, q.Holder.ID)
		if err != nil {
			return license.Decision{}, err
		}
		held = slices.DeleteFunc(held, func(l *licensing.Lease) bool { return late(&rule, stock, l, tx.Now()) })
		if d, err := a.checkHeld(&rule, stock, held, q, behind); err != nil || d.Outcome != "" {
			return d, err
		}
	}
	if units > rule.Limit() {
		return rule.Admit(licensing.Stock{}, units, tx.Now()), nil
	}
	if t.OncePerMachine(rule) {
		if _, had, err := machineHad(ctx, tx, &t.Terms, rule, q.Holder.Components); err != nil || had {
			return t.TrialUsed(), err
		}
	}
	if behind != nil {
		return license.Decision{}, behind
	}
	d := rule.Admit(stock, units, tx.Now())
	if d.Code == license.CodeOK || row.Due.IsZero() || row.Due.After(tx.Now()) || a.clock.doubt() {
		return d, nil
	}
	if stock, err = a.cleared(ctx, tx, k, &rule, stock); err != nil {
		return d, err
	}
	return rule.Admit(stock, units, tx.Now()), nil
}

// cleared returns the stock of a pool as an acquire finds it, which reclaims what
// is due first.
func (a *Authority) cleared(ctx context.Context, tx *store.Tx, k store.PoolKey, rule *licensing.Pool, stock licensing.Stock) (licensing.Stock, error) {
	due, err := tx.DueLeases(ctx, k, tx.Now(), duePage)
	if err != nil {
		return stock, err
	}
	for _, l := range due {
		if l.Charge > 0 && rule.Share == licensing.ShareHolder && !rule.Endless() {
			others, err := a.notDue(ctx, tx, k, l.Holder)
			if err != nil {
				return stock, err
			}
			if heirOf(l, others, tx.Now(), a.skew) != nil {
				continue
			}
		}
		stock = rule.With(stock, -l.Charge, tx.Now())
	}
	return stock, nil
}

// notDue returns the leases of a holder that would not be reclaimed now.
func (a *Authority) notDue(ctx context.Context, tx *store.Tx, k store.PoolKey, holder string) ([]*licensing.Lease, error) {
	live, err := tx.HolderLeases(ctx, k, holder)
	if err != nil {
		return nil, err
	}
	forced, err := tx.ForcedLeases(ctx, k, holder)
	return slices.DeleteFunc(append(live, forced...), func(l *licensing.Lease) bool {
		return !l.Due.IsZero() && !l.Due.After(tx.Now())
	}), err
}

// checkHeld decides for who holds units of the pool; the decision is empty where
// those give no right to what is asked.
func (a *Authority) checkHeld(rule *licensing.Pool, stock licensing.Stock, held []*licensing.Lease, q CheckRequest, behind error) (license.Decision, error) {
	units := max(q.Units, 1)
	for _, l := range held {
		switch {
		case !rule.Endless() && l.Instance != q.Caller.Instance:
			continue
		case behind != nil && !a.proven(l):
			return license.Decision{}, behind
		case l.Units != units:
			return license.Decision{}, holdsOther(l, units)
		}
		return hasUnits(stock, rule.Capacity), nil
	}
	for _, l := range held {
		if rule.Share == licensing.ShareHolder && !rule.Endless() && l.Units == units && (behind == nil || a.proven(l)) {
			return sharesUnits(stock, rule.Capacity), nil
		}
	}
	return license.Decision{}, nil
}

func (a *Authority) checkMeter(ctx context.Context, tx *store.Tx, t *compiled, q CheckRequest) (license.Decision, error) {
	meter, planned := t.Meters[q.Meter]
	if !planned {
		return license.Decision{Outcome: license.Denied, Code: license.CodeNoSuchMeter, Rule: "plan.meters", Reason: "plan " + string(t.Plan) + " has no meter " + q.Meter}, nil
	}
	if q.Quantity == "" {
		q.Quantity = "1"
	}
	quantity, err := licensing.ParseQuantity(q.Quantity, meter.Scale)
	if err != nil {
		return license.Decision{}, err
	}
	if quantity < 0 {
		return license.Decision{}, licensing.Errorf(licensing.Invalid, "a quantity is not below zero").At("quantity")
	}
	last, err := tx.UsageTotals(ctx, store.MeterKey{Env: t.Env, License: t.License, Meter: q.Meter}, tx.Now(), 1)
	if err != nil {
		return license.Decision{}, err
	}
	var current store.UsageTotal
	if len(last) > 0 {
		current = last[0]
	}
	w, _ := t.Window(q.Meter, current.Window, tx.Now())
	used := current.Used
	if !w.Start.Equal(current.Window.Start) {
		used = 0
	}
	d, _ := meter.Consume(used, quantity, w)
	return d, nil
}
