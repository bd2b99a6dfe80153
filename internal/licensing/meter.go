package licensing

import (
	"math"
	"time"

	"copyhold.dev/sdk/license"
)

// A Meter counts units that are consumed. All amounts are whole numbers of
// 10^-Scale units.
type Meter struct {
	// Unit is the name of what is counted, such as call, GB or page.
	Unit string `json:"unit"`
	// Scale is the number of decimal places of a quantity, 0 to MaxScale.
	Scale int `json:"scale"`
	// Quota is the amount that the plan includes in each period.
	Quota int64 `json:"quota"`
	// Per is the length of a period.
	Per Period `json:"per"`
	// Anchor is where periods begin: at the license's start, or with the calendar.
	Anchor Anchor `json:"anchor"`
	// Zone is the IANA zone whose calendar and clock periods follow.
	Zone string `json:"zone"`
	// Soft is the usage from which decisions warn; the zero Limit never warns.
	Soft Limit `json:"soft,omitzero"`
	// Hard is the maximum usage in a period. The zero Limit means the quota, or no
	// limit if Overage is set.
	Hard Limit `json:"hard,omitzero"`
	// Overage allows use beyond the quota, up to Hard.
	Overage bool `json:"overage,omitempty"`
	// Full is what happens when nothing remains: FullDeny or FullFallback.
	Full Full `json:"full"`

	// Nil means UTC. Compile loads it, so that rules read no files.
	location *time.Location
}

// A Limit is a percentage of the quota, or an amount.
type Limit struct {
	Percent int64 `json:"percent,omitempty"`
	Amount  int64 `json:"amount,omitempty"`
}

// IsZero reports whether l limits nothing.
func (l Limit) IsZero() bool { return l == Limit{} }

// of returns the amount of l for a quota, rounded down and at most an int64.
func (l Limit) of(quota int64) int64 {
	if l.Percent == 0 {
		return l.Amount
	}
	n, ok := multiply(quota/100, l.Percent)
	rest := quota % 100 * l.Percent / 100
	if !ok || n > math.MaxInt64-rest {
		return math.MaxInt64
	}
	return n + rest
}

// NoLimit is the amount that means no limit.
const NoLimit = math.MaxInt64

// SoftLimit returns the usage from which decisions warn, NoLimit for never.
func (m Meter) SoftLimit() int64 {
	if m.Soft.IsZero() {
		return NoLimit
	}
	return m.Soft.of(m.Quota)
}

// HardLimit returns the maximum usage in a period, NoLimit if overage is
// unlimited.
func (m Meter) HardLimit() int64 {
	switch {
	case !m.Overage:
		if m.Hard.IsZero() {
			return m.Quota
		}
		return min(m.Quota, m.Hard.of(m.Quota))
	case m.Hard.IsZero():
		return NoLimit
	}
	return m.Hard.of(m.Quota)
}

// Spent reports whether nothing remains of the quota, or of a hard limit below it, after
// total was used. A quota of zero is never spent.
func (m Meter) Spent(total int64) bool {
	quota := min(m.Quota, m.most())
	return quota > 0 && total >= quota
}

// Check refuses a meter that contradicts itself and reports every fault.
func (m Meter) Check() error {
	var f faults
	f.when(m.Unit == "", "unit", "needs a unit, such as call or GB")
	f.when(m.Scale < 0 || m.Scale > MaxScale, "scale", "scale %d is not between 0 and %d", m.Scale, MaxScale)
	f.when(m.Quota < 0, "quota", "quota is negative")
	f.when(m.Soft.Percent < 0 || m.Soft.Amount < 0 || m.Soft.Percent != 0 && m.Soft.Amount != 0, "soft", "soft must be a percentage or an amount, not both, and not negative")
	f.when(m.Hard.Percent < 0 || m.Hard.Amount < 0 || m.Hard.Percent != 0 && m.Hard.Amount != 0, "hard", "hard must be a percentage or an amount, not both, and not negative")
	f.when(!m.Soft.IsZero() && m.SoftLimit() > m.HardLimit(), "soft quota scale hard overage",
		"soft limit %s is above the hard limit %s", FormatQuantity(m.SoftLimit(), m.Scale), FormatQuantity(m.HardLimit(), m.Scale))
	f.when(m.Full != FullDeny && m.Full != FullFallback, "full", "full: %q is not deny or fallback", m.Full)
	f.add(m.Per.check())
	f.when(m.Anchor != AnchorLicense && m.Anchor != AnchorCalendar, "anchor", "anchor: %q is not license or calendar", m.Anchor)
	_, err := loadZone(m.Zone)
	f.add(err)
	return f.all()
}

// Consume decides whether quantity can be used in addition to total, which is the usage
// in the window so far. It returns the new total, or the old one if the quantity is
// denied. Quantity is not negative. It is all or nothing: a quantity that does not
// fit leaves the total unchanged. No total exceeds MaxQuantity, whatever the plan allows.
func (m Meter) Consume(total, quantity int64, w Window) (license.Decision, int64) {
	if quantity > m.room(total) && quantity > 0 {
		return m.spent(total, quantity, w), total
	}
	return m.used(total+quantity, w), total + quantity
}

// most returns the largest total that m accepts.
func (m Meter) most() int64 { return min(m.HardLimit(), MaxQuantity) }

// room returns how much m accepts in addition to total.
func (m Meter) room(total int64) int64 { return max(m.most()-total, 0) }

// used returns the decision that allows usage, with a warning from the soft limit on.
func (m Meter) used(total int64, w Window) license.Decision {
	d := license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "meter.quota", Held: total, Capacity: m.Quota}
	d.Reason = FormatQuantity(total, m.Scale) + " of " + m.amount(m.Quota) + " used"
	switch {
	case total > m.Quota:
		d.Code, d.Rule = license.CodeOverage, "meter.overage"
		d.Reason = m.amount(total) + " used, " + FormatQuantity(total-m.Quota, m.Scale) + " beyond the quota of " + FormatQuantity(m.Quota, m.Scale)
	case total >= m.SoftLimit():
		d.Code, d.Rule = license.CodeSoftLimit, "meter.soft"
	}
	if m.HardLimit() != NoLimit {
		d.Next = license.CodeQuotaSpent + " beyond " + m.amount(m.most())
	}
	return m.until(d, w)
}

// spent returns the decision that denies usage or allows the fallback features.
func (m Meter) spent(total, quantity int64, w Window) license.Decision {
	d := license.Decision{Outcome: license.Denied, Code: license.CodeQuotaSpent, Rule: "meter.hard", Held: total, Capacity: m.Quota}
	d.Reason = m.amount(quantity) + " requested; " + FormatQuantity(m.room(total), m.Scale) + " of " + m.amount(m.most()) + " left"
	if m.Full == FullFallback {
		d.Outcome, d.Code, d.Rule = license.Allowed, license.CodeFallback, "meter.full"
		d.Reason += "; the fallback features apply"
	}
	d.Next = "a new period begins"
	return m.until(d, w)
}

// until adds the end of the window, if there is one.
func (m Meter) until(d license.Decision, w Window) license.Decision {
	if !w.End.IsZero() {
		d.NextAt = w.End.Unix()
		if d.Next == "" {
			d.Next = "a new period begins"
		}
	}
	return d
}

// amount writes n with the unit.
func (m Meter) amount(n int64) string { return measured(FormatQuantity(n, m.Scale), m.Unit) }

// MaxQuantity is the largest amount that a document can contain: JSON numbers are
// exact up to 2^53-1 in every language.
const MaxQuantity = 1<<53 - 1

const (
	// UsageLate is how long after an event its usage can be recorded. It counts in the
	// period in which the event happened.
	UsageLate = 45 * 24 * time.Hour
	// UsageKnown is how long a server remembers the ids of usage events. It is longer than
	// UsageLate, so an event that includes its time never counts twice.
	UsageKnown = 60 * 24 * time.Hour
)

// A UsageStatus is the outcome of a usage event.
type UsageStatus string

// The outcomes of usage events.
const (
	RecordedUsage  UsageStatus = "recorded"
	DuplicateUsage UsageStatus = "duplicate" // already recorded; it counts once
	DeniedUsage    UsageStatus = "denied"    // not recorded, because it does not fit
	InvalidUsage   UsageStatus = "invalid"   // not recorded, because it cannot be valid
)
