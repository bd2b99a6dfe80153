package authority

import (
	"context"
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
}

// Checked is a decision that changed nothing. Reply is it signed, when the
// request had a nonce.
type Checked struct {
	Decision license.Decision
	Reply    string
}

// Check says what would be decided now, and changes nothing.
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
	if err := checkNonce(q.Nonce); err != nil {
		return Checked{}, err
	}
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
	if q.Holder.ID != "" {
		held, err := tx.HolderLeases(ctx, k, q.Holder.ID)
		if err != nil {
			return license.Decision{}, err
		}
		if len(held) > 0 && (rule.Endless() || rule.Share == licensing.ShareHolder) {
			return license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "lease.holder", Reason: "held already", Held: row.Held, Capacity: rule.Capacity}, nil
		}
	}
	stock, units := row.Stock, max(q.Units, 1)
	d := rule.Admit(stock, units, tx.Now())
	if d.Code == license.CodeOK || row.Due.IsZero() || row.Due.After(tx.Now()) {
		return d, nil
	}
	due, err := tx.DueLeases(ctx, k, tx.Now(), duePage)
	if err != nil {
		return d, err
	}
	for _, l := range due {
		stock = rule.With(stock, -l.Charge, tx.Now())
	}
	return rule.Admit(stock, units, tx.Now()), nil
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
