package licensing

import (
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

// An explanation describes what is, not what would be: it adds nothing to what is held or
// used. Its decision says whether one more unit would be granted. If a license is not in
// force, every part is denied for the same reason as the license.

// Excepts are the exceptions in force, by the name of the thing that they change.
type Excepts struct {
	Features map[string]Excepted
	Pools    map[string]Excepted
	Meters   map[string]Excepted
}

// note adds an exception in force, which replaces the earlier grant.
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
		add(&x.Pools, e.Pool, b.pools[e.Pool].counted(b.pools[e.Pool].Capacity))
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

// An Excepted is the exceptions in force on a feature, a pool or a meter.
type Excepted struct {
	By  []Exception // oldest first
	Was string      // what the license grants without them
}

// Words names the exceptions and what they replace. It returns "" if there are none.
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
	if len(all) == 1 {
		return "exception " + all[0] + " applies; without it, the license grants " + e.Was
	}
	return "exceptions " + strings.Join(all, ", ") + " apply; without them, the license grants " + e.Was
}

// IDs returns the ids of the exceptions.
func (e Excepted) IDs() []string {
	var ids []string
	for _, x := range e.By {
		ids = append(ids, string(x.ID))
	}
	return ids
}

// because adds the exceptions to a decision that depends on them.
func (e Excepted) because(d license.Decision) license.Decision {
	if d.Exceptions = e.IDs(); len(e.By) > 0 {
		d.Reason += "; " + e.Words()
	}
	return d
}

// ExplainFeature explains one feature at now. After the term and its graces, the
// fallback features count as long as documents grant them.
func (t Terms) ExplainFeature(name string, now time.Time) license.Decision {
	d := t.InForce(now)
	switch {
	case d.Outcome != license.Denied:
		return t.Excepted.Features[name].because(t.Feature(name, now))
	case d.State == license.StateDegraded && t.Fallback[name].At(now).On():
		f := t.Fallback[name].At(now)
		d.Outcome, d.Code, d.Rule = license.Allowed, license.CodeFallback, "plan.fallback"
		d.Reason += "; in the fallback, feature " + name + " is " + f.String()
	}
	return d
}

// ExplainPool explains the current state of a pool and decides one more unit for
// a new holder.
func (t Terms) ExplainPool(name string, s PoolState, now time.Time) license.Decision {
	p := t.Pools[name]
	if d := t.InForce(now); d.Outcome == license.Denied {
		d.Held, d.Capacity = s.Held, p.Capacity
		return d
	}
	s.Settled = true // a question changes nothing
	v := Admit(&t, s, Known{Looked: true}, Ask{Pool: name, Units: 1}, now)
	if v.Err == nil {
		return t.Excepted.Pools[name].because(p.stands(v.Decision, s.Stock))
	}
	until, _ := s.Fence.Waits(&t, name, s.Skew, now)
	return license.Decision{
		Outcome: license.Unavailable, Code: license.CodeUnavailable, Rule: "pool.fence", Reason: v.Err.Error(), Next: "new leases are granted again", NextAt: until.Unix(),
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

// Attributed adds to a denial the exceptions that changed the pool's capacity or the
// meter's quota.
func (t Terms) Attributed(name string, d license.Decision) license.Decision {
	switch d.Code {
	case license.CodePoolFull, license.CodeQueueFull, license.CodeTooManyUnits, license.CodeFallback, license.CodeQuotaSpent:
		if d.Exceptions = t.Excepted.Pools[name].IDs(); d.Exceptions == nil {
			d.Exceptions = t.Excepted.Meters[name].IDs()
		}
	}
	return d
}

// stands returns d, the decision on one more unit, with a reason that describes the present state.
func (p Pool) stands(d license.Decision, s Stock) license.Decision {
	d.Held = s.Held
	d.Reason = p.taken(s.Held)
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

// stands returns the decision on the smallest additional amount, with a reason that describes
// the present state.
func (m Meter) stands(total int64, w Window) license.Decision {
	if m.room(total) > 0 {
		return m.used(total, w)
	}
	d := m.spent(total, 0, w)
	d.Reason = FormatQuantity(total, m.Scale) + " of " + m.amount(m.most()) + " used; none left"
	if d.Code == license.CodeFallback {
		d.Reason += "; the fallback features apply"
	}
	return d
}
