package catalog

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// ShowLicense returns one license that p may see, and what it currently grants.
func (c *Catalog) ShowLicense(ctx context.Context, p access.Principal, id licensing.LicenseID) (v1.ShownLicense, error) {
	var shown v1.ShownLicense
	if err := request.Require(p, access.LicenseRead); err != nil {
		return shown, err
	}
	err := c.ledger.View(ctx, func(tx *store.Tx) error {
		l, err := SeenLicense(ctx, tx, p, id)
		if err != nil {
			return err
		}
		listed, err := listedLicenses(ctx, tx, []licensing.License{l})
		if err != nil {
			return err
		}
		shown = v1.ShownLicense{ListedLicense: listed[0]}
		rev, err := RevisionOf(ctx, tx, l)
		if err != nil {
			return err
		}
		terms, err := licensing.Compile(rev, l, tx.Now())
		if err != nil {
			return nil // a license that does not fit its plan is still shown; why explains the problem
		}
		effective, err := effective(ctx, tx, terms)
		shown.Effective = &effective
		return err
	})
	return shown, err
}

// effective returns the effective grants of terms in tx.
func effective(ctx context.Context, tx *store.Tx, t licensing.Terms) (licensing.Effective, error) {
	stocks := make(map[string]licensing.Stock, len(t.Pools))
	for name := range t.Pools {
		pool, err := tx.Pool(ctx, store.PoolKey{Env: t.Env, License: t.License, Name: name})
		if err != nil {
			return licensing.Effective{}, err
		}
		stocks[name] = pool.Stock
	}
	used, err := UsedOf(ctx, tx, t)
	return t.Effective(stocks, used, tx.Now()), err
}

// listedLicenses adds the names of the customers to licenses of one environment.
func listedLicenses(ctx context.Context, tx *store.Tx, licenses []licensing.License) ([]v1.ListedLicense, error) {
	keys := make([]store.CustomerKey, len(licenses))
	for i, l := range licenses {
		keys[i] = store.CustomerKey{Env: l.Env, ID: l.Customer}
	}
	names, err := tx.CustomerNames(ctx, keys)
	listed := make([]v1.ListedLicense, len(licenses))
	for i, l := range licenses {
		listed[i] = v1.ListedLicense{License: v1.License(l), CustomerName: names[keys[i]]}
	}
	return listed, err
}

// UsedOf returns the usage of each meter in its last period.
func UsedOf(ctx context.Context, tx *store.Tx, t licensing.Terms) (map[string]licensing.Used, error) {
	used := make(map[string]licensing.Used, len(t.Meters))
	for name := range t.Meters {
		totals, err := tx.UsageTotals(ctx, store.MeterKey{Env: t.Env, License: t.License, Meter: name}, tx.Now(), 1)
		if err != nil {
			return nil, err
		}
		if len(totals) > 0 {
			used[name] = licensing.Used{Window: totals[0].Window, Total: totals[0].Used}
		}
	}
	return used, nil
}
