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
)

// A UsedMeter is what was used of a meter in a period, with what its plan
// grants now. Quantities are written in the meter's unit.
type UsedMeter struct {
	License licensing.LicenseID `json:"license"`
	catalog.LicenseName
	Meter       string           `json:"meter"`
	Unit        string           `json:"unit,omitempty"`
	Used        string           `json:"used"`
	Quota       string           `json:"quota,omitempty" doc:"Absent when the license has the meter no more."`
	Events      int64            `json:"events"`
	PeriodStart time.Time        `json:"period_start"`
	PeriodEnd   time.Time        `json:"period_end,omitzero" doc:"Absent when the period has no end."`
	SpentAt     time.Time        `json:"spent_at,omitzero" doc:"When the quota was spent. Absent once it was raised above what is used."`
	Last        licensing.Caller `json:"last,omitzero" doc:"What recorded last, as it said of itself."`
}

// UsageFilter selects usage; empty fields select all. Past includes the periods
// that have ended.
type UsageFilter struct {
	License  licensing.LicenseID
	Customer licensing.CustomerID
	Meter    string
	Past     bool
}

// ListUsage returns what was used, as far as p sees it, by license, meter and period.
func (a *Authority) ListUsage(ctx context.Context, p access.Principal, f UsageFilter, of request.PageOf) (request.Page[UsedMeter], error) {
	var found request.Page[UsedMeter]
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
		found = request.Page[UsedMeter]{Items: make([]UsedMeter, len(last.Items)), Next: last.Next}
		for i, t := range last.Items {
			found.Items[i] = usedMeter(t, terms[store.LicenseRef{Env: t.Env, ID: t.License}], names[store.LicenseRef{Env: t.Env, ID: t.License}], tx.Now())
		}
		return nil
	})
	return found, err
}

func licensesOf(totals []store.UsageTotal) []store.LicenseRef {
	var keys []store.LicenseRef
	for _, t := range totals { // in the order of licenses
		if k := (store.LicenseRef{Env: t.Env, ID: t.License}); len(keys) == 0 || keys[len(keys)-1] != k {
			keys = append(keys, k)
		}
	}
	return keys
}

func usedMeter(t store.UsageTotal, terms *granting.Compiled, of store.LicenseName, now time.Time) UsedMeter {
	u := UsedMeter{License: t.License, LicenseName: catalog.LicenseName(of), Meter: t.Meter, Events: t.Events, PeriodStart: t.Window.Start, PeriodEnd: t.Window.End, SpentAt: t.HardAt, Last: t.Caller}
	scale := t.Scale
	if terms != nil {
		if m, has := terms.Meters[t.Meter]; has {
			scale, u.Unit, u.Quota = m.Scale, m.Unit, licensing.FormatQuantity(m.Quota, m.Scale)
			if t.Window.Contains(now) && !m.Spent(t.Used) {
				u.SpentAt = time.Time{} // the quota was raised since
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
	return "", "", time.Time{}, licensing.Errorf(licensing.Invalid, "the cursor is not one of this list").At("cursor")
}
