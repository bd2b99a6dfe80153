package licensing

import (
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

// What is explained is what is, not what would be: nothing is added to what is held or
// used. A decision says whether one unit more would be granted. Of a license that is not
// in force every part is denied as the license is, for the same reason.

// Excepts is what of the terms goes by exceptions, by name.
type Excepts struct {
	Features map[string]Excepted
	Pools    map[string]Excepted
	Meters   map[string]Excepted
}

// note adds an exception in force, which replaces what was granted without it.
func (x *Excepts) note(e Exception, b *builder) {
	add := func(to *map[string]Excepted, name, was string) {
		if *to == nil {
			*to = map[string]Excepted{}
		}
		one, known := (*to)[name]
		if !known {
			one.Was = was
		}
		one.By = append(one.By, e)
		(*to)[name] = one
	}
	switch {
	case e.Pool != "":
		add(&x.Pools, e.Pool, Counted(b.pools[e.Pool].Capacity, "unit"))
	case e.Meter != "":
		add(&x.Meters, e.Meter, b.meters[e.Meter].amount(b.meters[e.Meter].Quota))
	default:
		was := b.features[e.Feature].String()
		if b.features[e.Feature].IsZero() {
			was = "nothing"
		}
		add(&x.Features, e.Feature, was)
	}
}

// An Excepted is what exceptions in force make of a feature, a pool or a meter.
type Excepted struct {
	By  []Exception // the older first
	Was string      // what the license grants without them
}

// Words names the exceptions and what they replace; "" where there is none.
func (e Excepted) Words() string {
	if len(e.By) == 0 {
		return ""
	}
	all := make([]string, len(e.By))
	for i, x := range e.By {
		all[i] = string(x.ID) + " (" + x.Reason + ")"
		if !x.Until.IsZero() {
			all[i] += " until " + stamp(x.Until)
		}
	}
	word := "exception "
	if len(all) > 1 {
		word = "exceptions "
	}
	return word + strings.Join(all, ", ") + " in force, without which the license grants " + e.Was
}

// IDs returns the ids of the exceptions.
func (e Excepted) IDs() []string {
	var ids []string
	for _, x := range e.By {
		ids = append(ids, string(x.ID))
	}
	return ids
}

// because adds the exceptions to a decision that goes by them.
func (e Excepted) because(d license.Decision) license.Decision {
	if d.Exceptions = e.IDs(); len(e.By) > 0 {
		d.Reason += "; " + e.Words()
	}
	return d
}

// ExplainFeature explains one feature at now. Once the term and its graces are over, the
// fallback features count for as long as documents grant them.
func (t Terms) ExplainFeature(name string, now time.Time) license.Decision {
	d := t.InForce(now)
	switch {
	case d.Outcome != license.Denied:
		return t.Excepted.Features[name].because(t.Feature(name, now))
	case d.State == license.StateDegraded && t.Fallback[name].At(now).On():
		f := t.Fallback[name].At(now)
		d.Outcome, d.Code, d.Rule = license.Allowed, license.CodeFallback, "plan.fallback"
		d.Reason += "; in the fallback feature " + name + " is " + f.String()
	}
	return d
}

// ExplainPool explains a pool as it is, with what is decided about one unit more for
// somebody new.
func (t Terms) ExplainPool(name string, s PoolState, now time.Time) license.Decision {
	p := t.Pools[name]
	if d := t.InForce(now); d.Outcome == license.Denied {
		d.Held, d.Capacity = s.Held, p.Capacity
		return d
	}
	s.Settled = true // nothing is done for a question
	v := Admit(&t, s, Known{Looked: true}, Ask{Pool: name, Units: 1}, now)
	if v.Err == nil {
		return t.Excepted.Pools[name].because(p.stands(v.Decision, s.Stock))
	}
	until, _ := s.Fence.Waits(&t, name, s.Skew, now)
	return license.Decision{
		Outcome: license.Unavailable, Code: license.CodeUnavailable, Rule: "pool.fence", Reason: v.Err.Error(), Next: "newcomers are served again", NextAt: until.Unix(),
		Held: s.Held, Capacity: p.Capacity, Exceptions: t.Excepted.Pools[name].IDs(),
	}
}

// ExplainMeter explains a meter of which total was used in the window.
func (t Terms) ExplainMeter(name string, total int64, w Window, now time.Time) license.Decision {
	m := t.Meters[name]
	if d := t.InForce(now); d.Outcome == license.Denied {
		d.Held, d.Capacity = total, m.Quota
		return d
	}
	return t.Excepted.Meters[name].because(m.stands(total, w))
}

// Attributed names the exceptions that a denial of a pool or a meter goes by: those of
// its capacity or its quota.
func (t Terms) Attributed(name string, d license.Decision) license.Decision {
	switch d.Code {
	case license.CodePoolFull, license.CodeQueueFull, license.CodeTooManyUnits, license.CodeFallback, license.CodeQuotaSpent:
		if d.Exceptions = t.Excepted.Pools[name].IDs(); d.Exceptions == nil {
			d.Exceptions = t.Excepted.Meters[name].IDs()
		}
	}
	return d
}

// stands is d, the decision on one unit more, in words of what is held now.
func (p Pool) stands(d license.Decision, s Stock) license.Decision {
	d.Held = s.Held
	d.Reason = FormatQuantity(s.Held, 0) + " of " + Counted(p.Capacity, "unit") + " held"
	if s.Waiting > 0 {
		d.Reason += ", " + Counted(s.Waiting, "request") + " waiting"
	}
	switch d.Code {
	case license.CodeOverdraft:
		d.Reason += "; one more is granted as overdraft"
	case license.CodeFallback:
		d.Reason += "; the next request gets the fallback features"
	case license.CodeQueued:
		d.Reason += "; the next request waits in the queue"
	case license.CodeQueueFull:
		d.Reason += "; the queue is full"
	}
	return d
}

// stands is the decision on the smallest amount more, in words of what was used.
func (m Meter) stands(total int64, w Window) license.Decision {
	if m.room(total) > 0 {
		return m.used(total, w)
	}
	d := m.spent(total, 0, w)
	d.Reason = m.amount(total) + " of " + m.amount(m.most()) + " used, nothing is left"
	if d.Code == license.CodeFallback {
		d.Reason += "; the fallback features hold"
	}
	return d
}
