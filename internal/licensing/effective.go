package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// Effective is what a license comes to at one time: plan, edition, add-ons and exceptions
// together, and what is held and used of it.
type Effective struct {
	Decision license.Decision            `json:"decision" doc:"Of the license itself: its status and its term."`
	Features map[string]EffectiveFeature `json:"features" doc:"Those that programs have now: the fallback set once the term is over, none while the license is denied."`
	Pools    map[string]EffectivePool    `json:"pools"`
	Meters   map[string]EffectiveMeter   `json:"meters"`
}

// An EffectiveFeature is a value, until when it holds, and what it is worth afterwards.
type EffectiveFeature struct {
	Value license.Value `json:"value"`
	Until time.Time     `json:"until,omitzero" doc:"Absent: as long as the license."`
	Then  license.Value `json:"then,omitzero" doc:"Absent: nothing."`
}

// An EffectivePool is how many units there are and are in use.
type EffectivePool struct {
	Holder    string `json:"holder"`
	Capacity  int64  `json:"capacity"`
	Overdraft int64  `json:"overdraft,omitempty" doc:"Units beyond the capacity."`
	Held      int64  `json:"held"`
	Waiting   int64  `json:"waiting,omitempty" doc:"In the queue."`
}

// An EffectiveMeter is what was used in the period in course, in the meter's unit.
type EffectiveMeter struct {
	Unit      string    `json:"unit"`
	Used      string    `json:"used"`
	Quota     string    `json:"quota"`
	PeriodEnd time.Time `json:"period_end,omitzero" doc:"Absent: never."`
}

// Effective returns what the terms come to at now. Stocks and used may lack pools and
// meters of which nothing is held or was used.
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

// fromUnix returns a time of whole seconds, the zero time for 0.
func fromUnix(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(at, 0).UTC()
}
