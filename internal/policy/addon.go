package policy

import (
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"copyhold.dev/internal/licensing"
)

// addons reads add-ons. Meters gives the scales of the quantities. Shared add-ons
// have no meters, so their quantities are whole.
func (r *reader) addons(o *object, meters map[string]licensing.Meter) map[string]licensing.Addon {
	return objects(o, "addons", "add-on", func(a *object) (addon licensing.Addon) {
		a.each("features", "feature", func(name string, n *yaml.Node, path string) {
			f := licensing.AddonFeature{Value: r.value(n, path)}
			_, f.Add = f.Value.Int()
			f.Add = f.Add && signed(n)
			put(&addon.Features, name, f)
		})
		a.each("pools", "pool", func(name string, n *yaml.Node, path string) {
			put(&addon.Pools, name, r.adjustment(n, path, 0))
		})
		a.each("meters", "meter", func(name string, n *yaml.Node, path string) {
			put(&addon.Meters, name, r.adjustment(n, path, meters[name].Scale))
		})
		a.done()
		return addon
	})
}

// signed reports whether a number is written with a plus, which means that it is added.
func signed(n *yaml.Node) bool { return strings.HasPrefix(n.Value, "+") }

// adjustment reads +5, which adds five, or 5, which raises to five.
func (r *reader) adjustment(n *yaml.Node, path string, scale int) licensing.Adjustment {
	if n.Kind != yaml.ScalarNode {
		r.fault(n, path, "wrong-type", "expects +5 to add or 5 to raise to that number, not "+describe(n))
		return licensing.Adjustment{}
	}
	amount, err := quantity(strings.TrimPrefix(n.Value, "+"), scale)
	// Shared add-ons are scaled later, by up to 10^MaxScale.
	if err == nil && scale == 0 && amount > licensing.MaxUnits {
		err = licensing.Errorf(licensing.Invalid, "%d is above the maximum of %d", amount, int64(licensing.MaxUnits))
	}
	if err != nil {
		r.refuse(n, path, err)
	}
	return licensing.Adjustment{Add: signed(n), Amount: amount}
}
