package catalog

import (
	"context"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// Counted usage is stored at the scale that the license's terms set. If a change of the license
// raises the scale of a meter, the same transaction converts the counted usage. Recording usage
// locks the license, so none is recorded in between.

// A rescaling is the totals of a meter that a change must convert to another scale.
type rescaling struct {
	store.MeterKey
	from, to int
	times    int64
}

// rescalings returns the totals of a license that must be converted after a change, or an error if
// one cannot be.
func rescalings(ctx context.Context, tx *store.Tx, before, after licensing.Terms) ([]rescaling, error) {
	if err := licensing.CheckScales(before.Meters, after.Meters); err != nil {
		return nil, err
	}
	same := true
	for name, m := range after.Meters {
		was, had := before.Meters[name]
		same = same && had && was.Scale == m.Scale
	}
	if same {
		return nil, nil
	}
	counted, err := tx.UsageScales(ctx, after.Env, after.License)
	if err != nil {
		return nil, err
	}
	var all []rescaling
	for _, u := range counted {
		m, planned := after.Meters[u.Meter]
		was, had := before.Meters[u.Meter]
		scale := u.Scale
		if scale < 0 && had {
			scale = was.Scale
		}
		if !planned || scale < 0 || scale == m.Scale {
			continue
		}
		// The license had this meter at some time, according to the totals.
		if err := licensing.CheckScale(u.Meter, scale, m.Scale); err != nil {
			return nil, err
		}
		if most, ok := licensing.Rescale(u.Most, scale, m.Scale); !ok || most > licensing.MaxQuantity {
			return nil, licensing.Errorf(licensing.Conflict, "meter %s: %s have been used, which is too much to count with %s",
				u.Meter, licensing.FormatQuantity(u.Most, scale), licensing.Counted(m.Scale, "decimal place")).At("scale")
		}
		times, _ := licensing.Rescale(1, scale, m.Scale)
		all = append(all, rescaling{store.MeterKey{Env: after.Env, License: after.License, Meter: u.Meter}, scale, m.Scale, times})
	}
	return all, nil
}

// rescale converts the counted usage of a license's meters to the scales in the terms after a
// change. The caller must have locked the license.
func rescale(ctx context.Context, tx *ledger.Tx, before, after licensing.Terms) error {
	all, err := rescalings(ctx, tx.Tx, before, after)
	if err != nil {
		return err
	}
	for name, was := range before.Meters {
		if m, kept := after.Meters[name]; kept && m.Scale == was.Scale {
			continue
		}
		k := store.MeterKey{Env: after.Env, License: after.License, Meter: name}
		if err := tx.NoteUsageScale(ctx, k, was.Scale); err != nil {
			return err
		}
	}
	for _, r := range all {
		if err := tx.RescaleUsage(ctx, r.MeterKey, r.from, r.to, r.times); err != nil {
			return err
		}
	}
	return nil
}
