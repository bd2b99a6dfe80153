package licensing

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// Terms are everything that the rules need to know about a license: its plan's
// revision, add-ons and exceptions, compiled for one moment. They are valid until
// Until, when an add-on, an exception or a feature begins or ends.
type Terms struct {
	License      LicenseID
	Env          Env
	Product      ProductName
	Customer     CustomerID
	Plan         PlanName
	Revision     RevisionID
	Edition      string
	Status       Status
	Seq          license.Seq
	Issued       time.Time
	Start        time.Time // zero: at the first use
	End          time.Time // zero: never, or unknown before the first use
	Renewed      []time.Time
	RenewalGrace Span
	Maintenance  time.Time // zero: every release
	Trial        bool
	Rule         TermRule // of the term that a renewal adds
	Features     map[string]Feature
	Fallback     map[string]Feature
	Pools        map[string]Pool
	Meters       map[string]Meter
	Documents    Documents
	Excepted     Excepts   // what the exceptions in force change
	Until        time.Time // zero: forever
}

// Compile merges a revision and a license into the terms in force at now, in
// this order: the edition's features, the plan's own, add-ons (see Addon),
// exceptions. A feature that none of them names is not granted. Compile fails with
// Conflict if the license does not fit the revision.
func Compile(rev Revision, l License, now time.Time) (Terms, error) {
	p := rev.Plan
	if l.Product != p.Product || l.Plan != p.Name {
		return Terms{}, Errorf(Conflict, "license %s is for plan %s of %s, not %s of %s", l.ID, l.Plan, l.Product, p.Name, p.Product)
	}
	if l.Edition != "" {
		if _, known := p.Editions[l.Edition]; !known {
			return Terms{}, Errorf(Conflict, "plan %s has no edition %s", p.Name, l.Edition).At("edition")
		}
		p.Edition = l.Edition
	}
	changes := changesAfter(p, l, now)
	meters, err := rev.zonedMeters()
	if err != nil {
		return Terms{}, err
	}
	built := make([]builder, len(changes)+1)
	for i, at := range append([]time.Time{now}, changes...) {
		b, err := build(p, meters, l, at)
		if err != nil {
			return Terms{}, err
		}
		built[i] = b
	}
	t := Terms{
		License: l.ID, Env: l.Env, Product: l.Product, Customer: l.Customer,
		Plan: l.Plan, Revision: rev.ID, Edition: p.Edition, Status: l.Status, Seq: l.Seq, Issued: l.Issued,
		Start: l.Start, End: l.End, Renewed: l.Renewed, RenewalGrace: p.Term.Grace, Maintenance: l.Maintenance, Trial: p.Term.Trial, Rule: p.Term,
		Features: endings(built, changes), Fallback: map[string]Feature{},
		Pools: built[0].pools, Meters: built[0].meters, Documents: p.Documents, Excepted: built[0].excepted,
	}
	if len(changes) > 0 {
		t.Until = changes[0]
	}
	for name, v := range p.Fallback {
		t.Fallback[name] = Feature{Value: v}
	}
	return t, nil
}

// A builder merges a plan and a license at one time.
type builder struct {
	plan     Plan
	at       time.Time
	features map[string]license.Value
	pools    map[string]Pool
	meters   map[string]Meter
	excepted Excepts
}

func build(p Plan, meters map[string]Meter, l License, at time.Time) (builder, error) {
	b := builder{plan: p, at: at, features: map[string]license.Value{}, pools: map[string]Pool{}, meters: map[string]Meter{}}
	for name, pool := range p.Pools {
		pool.name = name
		b.pools[name] = pool
	}
	maps.Copy(b.meters, meters)
	for name, r := range p.featureRules() {
		if b.during(time.Time{}, r.end(l.Start)) {
			b.features[name] = r.Value
		}
	}
	if err := b.addons(l.Addons); err != nil {
		return b, err
	}
	return b, b.exceptions(l.Exceptions)
}

// during reports whether the builder's time is in [from, until). A zero time is
// no bound.
func (b *builder) during(from, until time.Time) bool {
	return !b.at.Before(from) && (until.IsZero() || b.at.Before(until))
}

// adjustPool changes a pool's capacity.
func (b *builder) adjustPool(name string, to func(int64) (int64, error)) error {
	p, known := b.pools[name]
	if !known {
		return Errorf(Conflict, "plan %s has no pool %s", b.plan.Name, name)
	}
	n, err := to(p.Capacity)
	if err == nil && n > MaxUnits {
		err = Errorf(Invalid, "capacity %d is above the maximum of %d", n, MaxUnits)
	}
	if err != nil {
		return Errorf(CodeOf(err), "pool %s: %w", name, err)
	}
	p.Capacity = n
	b.pools[name] = p
	return nil
}

// adjustMeter changes a meter's quota.
func (b *builder) adjustMeter(name string, to func(int64) (int64, error)) error {
	m, known := b.meters[name]
	if !known {
		return Errorf(Conflict, "plan %s has no meter %s", b.plan.Name, name)
	}
	n, err := to(m.Quota)
	if err == nil && n > MaxQuantity {
		err = Errorf(Invalid, "quota %d is above the maximum of %d", n, int64(MaxQuantity))
	}
	if err != nil {
		return Errorf(CodeOf(err), "meter %s: %w", name, err)
	}
	m.Quota = n
	b.meters[name] = m
	return nil
}

// featureRules lays the plan's own features over its edition's.
func (p Plan) featureRules() map[string]FeatureRule {
	rules := map[string]FeatureRule{}
	maps.Copy(rules, p.Editions[p.Edition].Features)
	maps.Copy(rules, p.Features)
	return rules
}

// changesAfter returns the times after now at which the terms change, in order.
func changesAfter(p Plan, l License, now time.Time) []time.Time {
	var times []time.Time
	add := func(all ...time.Time) {
		for _, t := range all {
			if t.After(now) {
				times = append(times, t)
			}
		}
	}
	for _, r := range p.featureRules() {
		add(r.end(l.Start))
	}
	for _, g := range l.Addons {
		add(g.From, g.Until)
	}
	for _, e := range l.Exceptions {
		add(e.From, e.Until)
	}
	slices.SortFunc(times, time.Time.Compare)
	return slices.CompactFunc(times, time.Time.Equal)
}

// endings adds to each feature in force now until when its value is valid, and
// the value that follows.
func endings(built []builder, changes []time.Time) map[string]Feature {
	set := make(map[string]Feature, len(built[0].features))
	for name, v := range built[0].features {
		f := Feature{Value: v}
		for i, at := range changes {
			if then := built[i+1].features[name]; then != v {
				f.Until, f.Then = at, then
				break
			}
		}
		set[name] = f
	}
	return set
}

func byAge(all []Exception) []Exception {
	return slices.SortedStableFunc(slices.Values(all), func(a, b Exception) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
	})
}
