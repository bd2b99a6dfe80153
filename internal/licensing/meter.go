package licensing

import (
	"math"
	"time"

	"copyhold.dev/sdk/license"
)

// A Meter is counted, consumed units. All amounts are whole numbers of
// 10^-Scale units.
type Meter struct {
	// Unit is what is counted, for people: call, GB, page.
	Unit string `json:"unit"`
	// Scale is the decimal places of a quantity, 0 to MaxScale.
	Scale int `json:"scale"`
	// Quota is what the plan includes in each period.
	Quota int64 `json:"quota"`
	// Per is how long a period is.
	Per Period `json:"per"`
	// Anchor is where periods begin: at the license's start, or with the calendar.
	Anchor Anchor `json:"anchor"`
	// Zone is the IANA zone whose calendar and clock periods follow.
	Zone string `json:"zone"`
	// Soft is the use from which a decision warns; the zero Limit never warns.
	Soft Limit `json:"soft,omitzero"`
	// Hard is the most that can be used in a period; the zero Limit is the
	// quota without overage and no limit with it.
	Hard Limit `json:"hard,omitzero"`
	// Overage allows use beyond the quota, up to Hard.
	Overage bool `json:"overage,omitempty"`
	// Full is what happens when no more can be used: FullDeny or FullFallback.
	Full Full `json:"full"`

	// Zero means UTC; Compile loads it, so that rules read no files.
	location *time.Location
}

// A Limit is a percentage of the quota, or an amount.
type Limit struct {
	Percent int64 `json:"percent,omitempty"`
	Amount  int64 `json:"amount,omitempty"`
}

// IsZero reports whether l limits nothing.
func (l Limit) IsZero() bool { return l == Limit{} }

// of returns the amount l is of a quota, rounded down, at most an int64.
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

// NoLimit is the amount that stands for no limit.
const NoLimit = math.MaxInt64

// SoftLimit returns the use from which a decision warns, NoLimit for never.
func (m Meter) SoftLimit() int64 {
	if m.Soft.IsZero() {
		return NoLimit
	}
	return m.Soft.of(m.Quota)
}

// HardLimit returns the most that can be used in a period, NoLimit for
// overage without end.
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

// Spent reports whether nothing is left of the quota, or of a hard limit below it, once
// total was used. A quota of nothing is never spent.
func (m Meter) Spent(total int64) bool {
	quota := min(m.Quota, m.most())
	return quota > 0 && total >= quota
}

// Check refuses a meter that contradicts itself, with all that is wrong.
func (m Meter) Check() error {
	var f faults
	f.when(m.Unit == "", "unit", "needs a unit, such as call or GB")
	f.when(m.Scale < 0 || m.Scale > MaxScale, "scale", "scale %d is not between 0 and %d", m.Scale, MaxScale)
	f.when(m.Quota < 0, "quota", "quota is below zero")
	f.when(m.Soft.Percent < 0 || m.Soft.Amount < 0 || m.Soft.Percent != 0 && m.Soft.Amount != 0, "soft", "soft is a percentage or an amount, not below zero")
	f.when(m.Hard.Percent < 0 || m.Hard.Amount < 0 || m.Hard.Percent != 0 && m.Hard.Amount != 0, "hard", "hard is a percentage or an amount, not below zero")
	f.when(!m.Soft.IsZero() && m.SoftLimit() > m.HardLimit(), "soft quota scale hard overage",
		"soft limit %s is above the hard limit %s", FormatQuantity(m.SoftLimit(), m.Scale), FormatQuantity(m.HardLimit(), m.Scale))
	f.when(m.Full != FullDeny && m.Full != FullFallback, "full", "full: %q is not deny or fallback", m.Full)
	f.add(m.Per.check())
	f.when(m.Anchor != AnchorLicense && m.Anchor != AnchorCalendar, "anchor", "anchor: %q is not license or calendar", m.Anchor)
	_, err := loadZone(m.Zone)
	f.add(err)
	return f.all()
}

// Consume decides whether quantity can be used on top of total, what has been
// used in the window, and returns the new total, which is the old one when it
// cannot. Quantity is not negative. It is all or nothing: a quantity that does not
// fit leaves the total. No total passes MaxQuantity, whatever the plan allows.
func (m Meter) Consume(total, quantity int64, w Window) (license.Decision, int64) {
	if quantity > m.room(total) && quantity > 0 {
		return m.spent(total, quantity, w), total
	}
	return m.used(total+quantity, w), total + quantity
}

// most is the largest total that m takes.
func (m Meter) most() int64 { return min(m.HardLimit(), MaxQuantity) }

// room is how much m takes on top of total.
func (m Meter) room(total int64) int64 { return max(m.most()-total, 0) }

// used is the decision that allows, with a warning from the soft limit on.
func (m Meter) used(total int64, w Window) license.Decision {
	d := license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "meter.quota", Held: total, Capacity: m.Quota}
	d.Reason = m.amount(total) + " of " + m.amount(m.Quota) + " used"
	switch {
	case total > m.Quota:
		d.Code, d.Rule = license.CodeOverage, "meter.overage"
		d.Reason = m.amount(total-m.Quota) + " beyond the quota of " + m.amount(m.Quota) + " used"
	case total >= m.SoftLimit():
		d.Code, d.Rule = license.CodeSoftLimit, "meter.soft"
	}
	if m.HardLimit() != NoLimit {
		d.Next = license.CodeQuotaSpent + " beyond " + m.amount(m.most())
	}
	return m.until(d, w)
}

// spent is the decision that denies, or allows the fallback features.
func (m Meter) spent(total, quantity int64, w Window) license.Decision {
	d := license.Decision{Outcome: license.Denied, Code: license.CodeQuotaSpent, Rule: "meter.hard", Held: total, Capacity: m.Quota}
	d.Reason = m.amount(quantity) + " asked, " + m.amount(m.room(total)) + " of " + m.amount(m.most()) + " left"
	if m.Full == FullFallback {
		d.Outcome, d.Code, d.Rule = license.Allowed, license.CodeFallback, "meter.full"
		d.Reason += "; the fallback features hold"
	}
	d.Next = "a new period begins"
	return m.until(d, w)
}

// until adds when the window ends, if it does.
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

// MaxQuantity is the largest amount a document can carry: JSON numbers are
// exact up to 2^53-1 in every language.
const MaxQuantity = 1<<53 - 1

const (
	// UsageLate is how long after it happened usage can be recorded. It counts in the
	// period it happened in.
	UsageLate = 45 * 24 * time.Hour
	// UsageKnown is how long a server knows usage events by their ids. It is longer than
	// UsageLate, so an event that says when it happened never counts twice.
	UsageKnown = 60 * 24 * time.Hour
)

// A UsageStatus says what became of a usage event.
type UsageStatus string

// What becomes of usage events.
const (
	RecordedUsage  UsageStatus = "recorded"
	DuplicateUsage UsageStatus = "duplicate" // recorded before; it counts once
	DeniedUsage    UsageStatus = "denied"    // not recorded: it does not fit
	InvalidUsage   UsageStatus = "invalid"   // not recorded: it cannot be right
)
