package authority

import (
	"context"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// UsageFilter selects usage. Empty fields select everything. Past includes periods that have ended.
type UsageFilter struct {
	License  licensing.LicenseID
	Customer licensing.CustomerID
	Meter    string
	Past     bool
}

// ListUsage returns the usage that p may see, by license, meter and period.
func (a *Authority) ListUsage(ctx context.Context, p access.Principal, f UsageFilter, of request.PageOf) (request.Page[v1.UsedMeter], error) {
	var found request.Page[v1.UsedMeter]
	if err := request.Require(p, access.UsageRead); err != nil {
		return found, err
	}
	after, rows, err := of.After("usage")
	if err != nil {
		return found, err
	}
	seen, possible := catalog.Scoped(p, store.LicenseFilter{Customer: f.Customer})
	if !possible {
		return found, nil
	}
	filter := store.UsageFilter{Env: p.Env, License: f.License, Customer: seen.Customer, Product: seen.Product, Meter: f.Meter, Limit: rows}
	if filter.AfterLicense, filter.AfterMeter, filter.AfterPeriod, err = splitUsage(after); err != nil {
		return found, err
	}
	err = a.ledger.DB.View(ctx, func(tx *store.Tx) error {
		if !f.Past {
			filter.Since = tx.Now()
		}
		totals, err := tx.ListUsage(ctx, filter)
		if err != nil {
			return err
		}
		keys := licensesOf(totals)
		terms, err := a.Terms(ctx, tx, keys)
		if err != nil {
			return err
		}
		names, err := tx.LicenseNames(ctx, keys)
		if err != nil {
			return err
		}
		last := request.NewPage("usage", totals, rows, usageKey)
		found = request.Page[v1.UsedMeter]{Items: make([]v1.UsedMeter, len(last.Items)), Next: last.Next}
		for i, t := range last.Items {
			found.Items[i] = usedMeter(t, terms[store.LicenseRef{Env: t.Env, ID: t.License}], names[store.LicenseRef{Env: t.Env, ID: t.License}], tx.Now())
		}
		return nil
	})
	return found, err
}

func licensesOf(totals []store.UsageTotal) []store.LicenseRef {
	var keys []store.LicenseRef
	for _, t := range totals { // sorted by license
		if k := (store.LicenseRef{Env: t.Env, ID: t.License}); len(keys) == 0 || keys[len(keys)-1] != k {
			keys = append(keys, k)
		}
	}
	return keys
}

func usedMeter(t store.UsageTotal, terms *granting.Compiled, of store.LicenseName, now time.Time) v1.UsedMeter {
	u := v1.UsedMeter{License: t.License, LicenseName: v1.LicenseName(of), Meter: t.Meter, Events: t.Events, PeriodStart: t.Window.Start, PeriodEnd: t.Window.End, SpentAt: t.HardAt, Last: t.Caller}
	scale := t.Scale
	if terms != nil {
		if m, has := terms.Meters[t.Meter]; has {
			scale, u.Unit, u.Quota = m.Scale, m.Unit, licensing.FormatQuantity(m.Quota, m.Scale)
			if t.Window.Contains(now) && !m.Spent(t.Used) {
				u.SpentAt = time.Time{} // the quota was raised afterward
			}
		}
	}
	u.Used = licensing.FormatQuantity(t.Used, scale)
	return u
}

func usageKey(t store.UsageTotal) string {
	return string(t.License) + " " + t.Meter + " " + strconv.FormatInt(t.Window.Start.UnixMicro(), 10)
}

func splitUsage(after string) (l licensing.LicenseID, meter string, period time.Time, err error) {
	if after == "" {
		return "", "", time.Time{}, nil
	}
	parts := strings.Split(after, " ")
	if len(parts) == 3 {
		var us int64
		if us, err = strconv.ParseInt(parts[2], 10, 64); err == nil {
			return licensing.LicenseID(parts[0]), parts[1], time.UnixMicro(us), nil
		}
	}
	return "", "", time.Time{}, licensing.Errorf(licensing.Invalid, "the cursor does not belong to this list").At("cursor")
}
