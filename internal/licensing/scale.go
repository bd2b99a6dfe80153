package licensing

import (
	"maps"
	"slices"
)

// The scale of a meter is the number of decimal places of its amounts. It may rise,
// because every earlier amount is a whole number at the higher scale too. It
// never falls, because recorded amounts, and amounts that programs have not sent
// yet, can have decimals that would be lost.

// CheckScales refuses terms that count a meter with fewer decimal places than the
// earlier terms.
func CheckScales(before, after map[string]Meter) error {
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if m, kept := after[name]; kept {
			if err := CheckScale(name, before[name].Scale, m.Scale); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckScale refuses a scale of the meter called name that is below its earlier
// scale.
func CheckScale(name string, was, is int) error {
	if is >= was {
		return nil
	}
	return Errorf(Conflict, "meter %s has %s and would have %d, but recorded usage, and usage that programs have yet to send, can have more decimals; keep scale: %d, or rename the meter",
		name, Counted(was, "decimal place"), is, was).At("scale")
}

// Scaled returns l with the amounts of its meters' exceptions at the scales of t, so
// that each states its own. An amount that is not a whole number at that scale is kept.
func (t Terms) Scaled(l License) License {
	l.Exceptions = t.ScaledExceptions(l.Exceptions)
	l.Scheduled = slices.Clone(l.Scheduled)
	for i, c := range l.Scheduled {
		if c.Plan != "" && c.Plan != l.Plan {
			break // its amounts and later ones belong to another plan
		}
		l.Scheduled[i].Except = t.ScaledExceptions(c.Except)
	}
	return l
}

// ScaledExceptions does the same as Scaled for exceptions.
func (t Terms) ScaledExceptions(all []Exception) []Exception {
	all = slices.Clone(all)
	for i, e := range all {
		m, known := t.Meters[e.Meter]
		if !known {
			continue
		}
		if adjust, err := e.at(m.Scale); err == nil {
			all[i].Adjust, all[i].Scale = adjust, &m.Scale
		}
	}
	return all
}

// at returns m with its amounts at a higher scale, for comparing. Limits that are out of
// range at that scale become NoLimit.
func (m Meter) at(scale int) Meter {
	raise := func(n int64) int64 {
		if up, ok := Rescale(n, m.Scale, scale); ok {
			return up
		}
		return NoLimit
	}
	m.Quota, m.Soft.Amount, m.Hard.Amount = raise(m.Quota), raise(m.Soft.Amount), raise(m.Hard.Amount)
	m.Scale = scale
	return m
}
