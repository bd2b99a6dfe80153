package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// An Exception changes one thing for one license, for a reason and optionally for a
// limited time. It names exactly one feature, pool or meter. A feature is set to
// Value, or removed if Value is zero. A pool's capacity or a meter's quota is
// adjusted, by or to units of 10^-Scale. Exceptions apply after the plan and
// add-ons, oldest first.
type Exception struct {
	ID      ExceptionID   `json:"id,omitempty"`
	Feature string        `json:"feature,omitempty"`
	Value   license.Value `json:"value,omitzero"`
	Pool    string        `json:"pool,omitempty"`
	Meter   string        `json:"meter,omitempty"`
	Adjust  Adjustment    `json:"adjust,omitzero"`
	// Scale is the number of decimal places of a meter's amount, nil for the meter's own.
	// Stored exceptions always have it, unless an earlier version stored them.
	Scale  *int      `json:"scale,omitempty"`
	From   time.Time `json:"from,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// Check refuses an exception without exactly one target, a reason or a sensible span.
func (e Exception) Check() error {
	targets := 0
	for _, t := range []string{e.Feature, e.Pool, e.Meter} {
		if t != "" {
			targets++
		}
	}
	switch {
	case targets != 1:
		return Errorf(Invalid, "an exception must name exactly one feature, pool or meter, not %d", targets).At("exception")
	case e.Reason == "":
		return Errorf(Invalid, "an exception needs a reason").At("reason")
	case e.Feature != "" && e.Adjust != Adjustment{}:
		return Errorf(Invalid, "an exception for feature %s must set a value, not an adjustment", e.Feature).At("adjust")
	case e.Feature == "" && !e.Value.IsZero():
		return Errorf(Invalid, "an exception for a pool or meter must set an adjustment, not a value").At("value")
	case e.Scale != nil && e.Meter == "":
		return Errorf(Invalid, "only an exception for a meter has a scale").At("scale")
	case e.Scale != nil && (*e.Scale < 0 || *e.Scale > MaxScale):
		return Errorf(Invalid, "scale %d is not between 0 and %d", *e.Scale, MaxScale).At("scale")
	}
	return checkSpan("the exception", e.From, e.Until)
}

// exceptions applies the exceptions in force at the builder's time.
func (b *builder) exceptions(all []Exception) error {
	for _, e := range byAge(all) {
		if !b.during(e.From, e.Until) {
			continue
		}
		b.excepted.note(e, b)
		var err error
		switch {
		case e.Pool != "":
			err = b.adjustPool(e.Pool, e.Adjust.To)
		case e.Meter != "":
			var adjust Adjustment
			if adjust, err = e.at(b.meters[e.Meter].Scale); err == nil {
				err = b.adjustMeter(e.Meter, adjust.To)
			}
		case e.Value.IsZero():
			delete(b.features, e.Feature)
		default:
			b.features[e.Feature] = e.Value
		}
		if err != nil {
			return Errorf(CodeOf(err), "exception %s: %w", e.ID, err)
		}
	}
	return nil
}

// at returns the adjustment of a meter's exception, at a scale.
func (e Exception) at(scale int) (Adjustment, error) {
	if e.Scale == nil {
		return e.Adjust, nil
	}
	n, ok := Rescale(e.Adjust.Amount, *e.Scale, scale)
	if !ok {
		return e.Adjust, Errorf(Invalid, "amount %s of meter %s cannot be expressed with %s", FormatQuantity(e.Adjust.Amount, *e.Scale), e.Meter, Counted(scale, "decimal place")).At("adjust")
	}
	return Adjustment{Add: e.Adjust.Add, Amount: n}, nil
}
