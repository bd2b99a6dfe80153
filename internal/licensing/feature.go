package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// A FeatureRule is a feature's value in a plan or edition. For and Until give it
// an end of its own: For counts from the license's start, and Until is a date. If
// both are zero, the value lasts as long as the license.
type FeatureRule struct {
	Value license.Value `json:"value"`
	For   Length        `json:"for,omitzero"`
	Until time.Time     `json:"until,omitzero"`
}

// end returns when r ends for a license that starts at start. For has no end
// until the start is known.
func (r FeatureRule) end(start time.Time) time.Time {
	if r.For.IsZero() || start.IsZero() {
		return r.Until
	}
	return earlier(r.Until, r.For.After(start))
}

// earlier returns the earlier of two times; zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// A Feature is a compiled value. From Until on its value is Then, and a zero Then
// ends it. A zero Until means never.
type Feature struct {
	Value license.Value
	Until time.Time
	Then  license.Value
}

// At returns f's value at a time, the zero Value after it has ended.
func (f Feature) At(now time.Time) license.Value {
	if f.Until.IsZero() || now.Before(f.Until) {
		return f.Value
	}
	return f.Then
}

// An Edition is a named set of features; the market calls it a tier.
type Edition struct {
	Features map[string]FeatureRule `json:"features"`
}

// exceptionRule is the rule of a decision that an exception determines.
const exceptionRule = "license.exception"

// without denies a feature that an exception in force removes or turns off.
func (e Excepted) without(name string, v license.Value) license.Decision {
	d := deny(license.CodeFeatureAbsent, exceptionRule, "feature %s is off because of an exception", name)
	if v.IsZero() {
		d.Reason = "feature " + name + " is removed by an exception"
	}
	d.Exceptions = e.IDs()
	return d
}

// Feature decides one feature of the terms at now. A feature that is off or that
// nothing names is denied.
func (t Terms) Feature(name string, now time.Time) license.Decision {
	f, known := t.Features[name]
	v := f.At(now)
	by := t.Excepted.Features[name]
	excepted := len(by.By) > 0 && (f.Until.IsZero() || now.Before(f.Until))
	switch {
	case excepted && !v.On():
		return by.without(name, v)
	case known && v.On():
		d := allow(license.CodeOK, "feature.set", "feature %s is %v", name, v)
		if excepted {
			d.Rule, d.Exceptions = exceptionRule, by.IDs()
			d.Reason += "because of an exception"
		}
		if !f.Until.IsZero() && now.Before(f.Until) {
			d.Next, d.NextAt = "the feature changes", f.Until.Unix()
		}
		return d
	case known && v.IsZero():
		return deny(license.CodeFeatureEnded, "feature.until", "feature %s ended at %s", name, stamp(f.Until))
	case known:
		return deny(license.CodeFeatureAbsent, "feature.set", "feature %s is off in plan %s", name, t.Plan)
	}
	return deny(license.CodeFeatureAbsent, "feature.set", "plan %s does not grant feature %s", t.Plan, name)
}
