package policy

import (
	"strings"

	"copyhold.dev/internal/licensing"
)

func (r *reader) meter(o *object) licensing.Meter {
	m := licensing.Meter{Unit: o.text("unit", ""), Scale: int(o.whole("scale"))}
	amount := func(s string) (int64, error) { return quantity(s, m.Scale) }
	limit := func(s string) (licensing.Limit, error) {
		if strings.HasSuffix(s, "%") {
			n, err := parsePercent(s)
			return licensing.Limit{Percent: n}, err
		}
		n, err := amount(s)
		return licensing.Limit{Amount: n}, err
	}
	m.Quota = parsed(o, "quota", 0, amount)
	m.Per = licensing.Period(o.text("per", ""))
	m.Anchor = licensing.Anchor(o.text("anchor", string(licensing.AnchorLicense)))
	m.Zone = o.text("zone", "UTC")
	m.Soft = parsed(o, "soft", licensing.Limit{}, limit)
	m.Hard = parsed(o, "hard", licensing.Limit{}, limit)
	m.Overage = parsed(o, "overage", false, func(s string) (bool, error) {
		if s != "allow" && s != "deny" {
			return false, licensing.Errorf(licensing.Invalid, "%q is not allow or deny", s)
		}
		return s == "allow", nil
	})
	m.Full = licensing.Full(o.text("full", string(licensing.FullDeny)))
	o.needs(map[string]string{
		"unit":  "name the unit, such as call",
		"quota": "give the amount that a period includes",
		"per":   "give the length of a period: hour, day, month, year or term",
	})
	o.done()
	r.check(o, m.Check())
	return m
}

// quantity reads an amount of a meter that fits a document.
func quantity(s string, scale int) (int64, error) {
	n, err := licensing.ParseQuantity(s, scale)
	if err == nil && (n < 0 || n > licensing.MaxQuantity) {
		return 0, licensing.Errorf(licensing.Invalid, "%s is not between 0 and %s", s, licensing.FormatQuantity(licensing.MaxQuantity, scale))
	}
	return n, err
}
