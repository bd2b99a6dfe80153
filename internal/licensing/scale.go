package licensing

import (
	"maps"
	"slices"
)

// The scale of a meter is the decimal places that its amounts are counted with.
// It may rise: every amount counted before is a whole number at the higher scale
// too. It never falls, because what was counted, and what programs have recorded
// and not sent yet, can have decimals that would be lost.

// CheckScales refuses terms that count a meter with fewer decimal places than the
// terms before them.
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

// CheckScale refuses a scale of the meter called name that is below the one it
// was counted at.
func CheckScale(name string, was, is int) error {
	if is >= was {
		return nil
	}
	return Errorf(Conflict, "meter %s counts with %s and would with %d: usage already recorded, or still to be sent by programs, has those decimals; keep scale: %d, or give the meter another name",
		name, Counted(was, "decimal place"), is, was).At("scale")
}

// Scaled returns l with the amounts of its meters' exceptions at the scales of t,
// so that each says its own. What no whole number can say at that scale stays.
func (t Terms) Scaled(l License) License {
	l.Exceptions = t.ScaledExceptions(l.Exceptions)
	l.Scheduled = slices.Clone(l.Scheduled)
	for i, c := range l.Scheduled {
		if c.Plan != "" && c.Plan != l.Plan {
			break // its amounts and those after it are of another plan
		}
		l.Scheduled[i].Except = t.ScaledExceptions(c.Except)
	}
	return l
}

// ScaledExceptions is Scaled of exceptions alone.
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

// at returns m with its amounts at a higher scale, for comparing; limits that are
// more than can be counted there are without end.
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
