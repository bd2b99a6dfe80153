package licensing

import (
	"cmp"
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// An Addon is what can be bought on top of a plan, once or several times.
//
// The merge is deterministic and does not depend on the order in which add-ons
// were bought. Booleans are ORed. An Adjustment that adds is added once for each
// unit bought; one that sets raises the number to at least its amount. If several
// add-ons set a text, the add-on whose name sorts last wins. Raising happens before adding.
type Addon struct {
	Features map[string]AddonFeature `json:"features,omitempty"`
	Pools    map[string]Adjustment   `json:"pools,omitempty"`
	Meters   map[string]Adjustment   `json:"meters,omitempty"`
}

// An AddonFeature is a value and, for numbers, the way to merge it.
type AddonFeature struct {
	Value license.Value `json:"value"`
	Add   bool          `json:"add,omitempty"`
}

// A Grant is a quantity of one add-on bought for a license. If From or Until is
// zero, the license's own date counts.
type Grant struct {
	Addon    string    `json:"addon"`
	Quantity int64     `json:"quantity"`
	From     time.Time `json:"from,omitzero"`
	Until    time.Time `json:"until,omitzero"`
}

// Check refuses a grant without a name, a quantity or a sensible span.
func (g Grant) Check() error {
	if err := CheckName("add-on", g.Addon); err != nil {
		return err
	}
	if g.Quantity < 1 || g.Quantity > 1_000_000 {
		return Errorf(Invalid, "add-on %s: quantity %d is not between 1 and 1000000", g.Addon, g.Quantity).At("addons")
	}
	return checkSpan("add-on "+g.Addon, g.From, g.Until)
}

func checkSpan(what string, from, until time.Time) error {
	if !from.IsZero() && !until.IsZero() && !from.Before(until) {
		return Errorf(Invalid, "%s ends at %s, which is not after its start at %s", what, stamp(until), stamp(from)).At("until")
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// addons merges the grants in force at the builder's time.
func (b *builder) addons(grants []Grant) error {
	held := make([]Grant, 0, len(grants))
	for _, g := range grants {
		if !b.during(g.From, g.Until) {
			continue
		}
		if _, known := b.plan.Addons[g.Addon]; !known {
			return Errorf(Conflict, "plan %s has no add-on %s", b.plan.Name, g.Addon).At("addons")
		}
		held = append(held, g)
	}
	slices.SortStableFunc(held, func(a, c Grant) int { return cmp.Compare(a.Addon, c.Addon) })
	for _, adding := range []bool{false, true} {
		for _, g := range held {
			if err := b.addon(b.plan.Addons[g.Addon], g, adding); err != nil {
				return err
			}
		}
	}
	return nil
}

// addon merges the parts of a that raise, or the parts that add.
func (b *builder) addon(a Addon, g Grant, adding bool) error {
	for name, f := range a.Features {
		if f.Add != adding {
			continue
		}
		v, err := f.over(b.features[name], g.Quantity)
		if err != nil {
			return Errorf(CodeOf(err), "add-on %s, feature %s: %w", g.Addon, name, err)
		}
		b.features[name] = v
	}
	for name, adj := range a.Pools {
		if adj.Add == adding {
			if err := b.adjustPool(name, adj.raising(g.Quantity)); err != nil {
				return Errorf(CodeOf(err), "add-on %s: %w", g.Addon, err)
			}
		}
	}
	for name, adj := range a.Meters {
		if adj.Add == adding {
			if err := b.adjustMeter(name, adj.raising(g.Quantity)); err != nil {
				return Errorf(CodeOf(err), "add-on %s: %w", g.Addon, err)
			}
		}
	}
	return nil
}

// over returns had with f merged quantity times. If had is zero, the plan does
// not have the feature.
func (f AddonFeature) over(had license.Value, quantity int64) (license.Value, error) {
	if had.IsZero() && !f.Add {
		return f.Value, nil
	}
	if on, ok := f.Value.Bool(); ok {
		was, same := had.Bool()
		if !same {
			return had, Errorf(Conflict, "the plan's %v is not on or off", had)
		}
		return license.BoolValue(was || on), nil
	}
	if n, ok := f.Value.Int(); ok {
		was, same := had.Int()
		if !same && !had.IsZero() {
			return had, Errorf(Conflict, "the plan's %v is not a number", had)
		}
		if !f.Add {
			return license.IntValue(max(was, n)), nil
		}
		sum, err := addTimes(was, n, quantity)
		return license.IntValue(sum), err
	}
	if _, same := had.Text(); !same {
		return had, Errorf(Conflict, "the plan's %v is not a text", had)
	}
	return f.Value, nil
}
