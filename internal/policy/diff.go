package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"copyhold.dev/internal/licensing"
)

// A Difference is one difference between two plans. Path names the field as in the
// plan's JSON. A zero From or To means that it is absent. Words describes it for people.
type Difference struct {
	Path  string          `json:"path"`
	From  any             `json:"from,omitempty"`
	To    any             `json:"to,omitempty"`
	Trend licensing.Trend `json:"trend"`
	Words string          `json:"words"`
}

// Diff returns the differences between two revisions of a plan, ordered by path.
func Diff(from, to licensing.Plan) ([]Difference, error) {
	a, err := flatten(from)
	if err != nil {
		return nil, err
	}
	b, err := flatten(to)
	if err != nil {
		return nil, err
	}
	paths := maps.Clone(a)
	maps.Copy(paths, b)
	changes := []Difference{}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		was, is := a[path], b[path]
		if was == is {
			continue
		}
		c := Difference{Path: path, From: was, To: is, Trend: trend(path, was, is)}
		c.Words = c.words()
		changes = append(changes, c)
	}
	return changes, nil
}

// words writes the difference in the same form as one of a license.
func (c Difference) words() string {
	text := func(v any) string {
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	return licensing.Difference{What: strings.ReplaceAll(c.Path, ".", " "), From: text(c.From), To: text(c.To)}.String()
}

// trend returns whether customers gain by a change, if its field shows that.
func trend(path string, was, is any) licensing.Trend {
	parts := strings.Split(path, ".")
	last := parts[len(parts)-1]
	switch {
	case parts[0] == "editions" || parts[0] == "addons" || parts[0] == "name" || parts[0] == "channel":
		return licensing.Neither
	case last == "value" || parts[0] == "fallback":
		return licensing.TrendOf(number(was), number(is))
	case slices.Contains([]string{"capacity", "quota", "units", "percent", "grace", "borrow", "life", "fallback", "length", "maintenance", "overage", "amount", "max"}, last):
		return licensing.TrendOf(number(was), number(is))
	}
	return licensing.Neither
}

// number returns the number in a value, if more is better for the customer, or nil
// if that is unknown. An absent value counts as zero.
func number(v any) *float64 {
	n := 0.0
	switch v := v.(type) {
	case nil:
	case bool:
		if v {
			n = 1
		}
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil
		}
		n = f
	case string:
		l, err := licensing.ParseLength(v)
		if err != nil {
			return nil
		}
		n = float64(l.Mean())
	}
	return &n
}

// flatten returns the scalars of a plan's canonical JSON by path, with the amounts
// of meters in the units that people know.
func flatten(p licensing.Plan) (map[string]any, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	flat := map[string]any{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		m, isMap := v.(map[string]any)
		if !isMap {
			flat[path] = v
			return
		}
		for k, inner := range m {
			walk(join(path, k), inner)
		}
	}
	walk("", tree)
	for name, m := range p.Meters {
		paths := []string{"meters." + name + ".quota", "meters." + name + ".soft.amount", "meters." + name + ".hard.amount"}
		for addon := range p.Addons {
			paths = append(paths, "addons."+addon+".meters."+name+".amount")
		}
		for _, path := range paths {
			if n, ok := flat[path].(json.Number); ok {
				if amount, err := n.Int64(); err == nil {
					flat[path] = json.Number(licensing.FormatQuantity(amount, m.Scale))
				}
			}
		}
	}
	return flat, nil
}
