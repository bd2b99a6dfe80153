package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// Effective is the combined effect of a license at one time: its plan, edition, add-ons and
// exceptions, with what is in use and what was used.
type Effective struct {
	Decision license.Decision            `json:"decision" doc:"The decision about the license itself: its status and its term."`
	Features map[string]EffectiveFeature `json:"features" doc:"The features that programs have now: the fallback set after the term has ended, and none while the license is denied."`
	Pools    map[string]EffectivePool    `json:"pools"`
	Meters   map[string]EffectiveMeter   `json:"meters"`
}

// An EffectiveFeature is a value, its end, and the value that follows.
type EffectiveFeature struct {
	Value license.Value `json:"value"`
	Until time.Time     `json:"until,omitzero" doc:"Absent if the value lasts as long as the license."`
	Then  license.Value `json:"then,omitzero" doc:"The value after that. Absent if no value follows."`
}

// An EffectivePool is a pool's size and how much of it is in use.
type EffectivePool struct {
	Holder    string `json:"holder"`
	Capacity  int64  `json:"capacity"`
	Overdraft int64  `json:"overdraft,omitempty" doc:"Units beyond the capacity."`
	Held      int64  `json:"held"`
	Waiting   int64  `json:"waiting,omitempty" doc:"Requests in the queue."`
}

// An EffectiveMeter is the usage in the current period, in the meter's unit.
type EffectiveMeter struct {
	Unit      string    `json:"unit"`
	Used      string    `json:"used"`
	Quota     string    `json:"quota"`
	PeriodEnd time.Time `json:"period_end,omitzero" doc:"Absent if the period never ends."`
}

// Effective returns the effect of the terms at now. Stocks and used may lack pools and
// meters that are not in use.
func (t Terms) Effective(stocks map[string]Stock, used map[string]Used, now time.Time) Effective {
	e := Effective{
		Decision: t.InForce(now), Features: map[string]EffectiveFeature{},
		Pools: make(map[string]EffectivePool, len(t.Pools)), Meters: make(map[string]EffectiveMeter, len(t.Meters)),
	}
	var features map[string]Feature
	switch state := e.Decision.State; {
	case state.Full():
		features = t.Features
	case state == license.StateDegraded:
		features = t.Fallback
	}
	for name, f := range features {
		switch value := f.At(now); {
		case value.IsZero():
		case value == f.Value:
			e.Features[name] = EffectiveFeature{value, f.Until, f.Then}
		default: // its end has passed
			e.Features[name] = EffectiveFeature{Value: value}
		}
	}
	for name, p := range t.Pools {
		e.Pools[name] = EffectivePool{p.Holder, p.Capacity, p.Overdraft.Of(p.Capacity), stocks[name].Held, stocks[name].Waiting}
	}
	for name, m := range t.documentMeters(now, used) {
		e.Meters[name] = EffectiveMeter{m.Unit, FormatQuantity(m.Used, m.Scale), FormatQuantity(m.Quota, m.Scale), fromUnix(m.PeriodEnd)}
	}
	return e
}

// fromUnix returns a time given in whole seconds, the zero time for 0.
func fromUnix(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(at, 0).UTC()
}
