package policy

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// Lint checks plans across fields: names that nothing defines, numbers that break
// a stated bound, settings without effect.
// Kind is the kind of the environment that the plans are for. Development accepts
// documents of seconds without a warning.
func Lint(sources []Source, kind licensing.Kind) []Finding {
	findings := []Finding{}
	for _, s := range sources {
		findings = append(findings, document{Source: s}.lint(kind)...)
	}
	return sorted(findings)
}

// lint is Lint for one document. It ignores parts that could not be read.
func (d document) lint(kind licensing.Kind) []Finding {
	l := &linter{Source: d.Source, misread: d.faults}
	l.term()
	l.editions()
	l.fallback()
	l.addons()
	l.pools()
	l.meters()
	l.documents(kind)
	l.size()
	return l.findings
}

type linter struct {
	Source
	misread  []Finding
	findings []Finding
}

// read reports whether everything at or below the paths was read.
func (l *linter) read(paths ...string) bool {
	for _, path := range paths {
		for p := path; p != ""; p = parent(p) {
			if slices.ContainsFunc(l.misread, func(f Finding) bool { return f.Path == p || f.Path == "" }) {
				return false
			}
		}
		if touches(l.misread, path) {
			return false
		}
	}
	return true
}

func (l *linter) wrong(code, path, format string, args ...any) {
	l.findings = append(l.findings, l.Finding(SevError, code, path, fmt.Sprintf(format, args...)))
}

func (l *linter) warn(code, path, format string, args ...any) {
	l.findings = append(l.findings, l.Finding(SevWarning, code, path, fmt.Sprintf(format, args...)))
}

func (l *linter) term() {
	t := l.Plan.Term
	if !l.read("term") {
		return
	}
	if t.Trial && l.Plan.Documents.Grace > 0 && l.read("documents") {
		l.wrong("trial-grace", "documents.grace", "a trial takes no offline grace")
	}
	if t.Trial && t.Renewal == licensing.RenewFromNow {
		l.warn("trial-renewal", "term.renewal", "a trial is never renewed")
	}
	if t.Once == licensing.OnceMachine && l.read("pools") && !slices.ContainsFunc(slices.Collect(maps.Values(l.Plan.Pools)), func(p licensing.Pool) bool {
		return licensing.Terms{Rule: t}.OncePerMachine(p)
	}) {
		l.wrong("once-machine", "term.once", "a trial with once: machine needs a pool {holder: machine, lease: none, match: …} to recognize machines")
	}
	if !t.Perpetual && !t.Maintenance.IsZero() {
		l.warn("maintenance-term", "term.maintenance", "maintenance is usually set only for a perpetual term; in this plan the right to every release also ends with the term")
	}
}

func (l *linter) editions() {
	p := l.Plan
	if !l.read("edition", "editions") {
		return
	}
	if _, known := p.Editions[p.Edition]; p.Edition != "" && !known {
		l.wrong("unknown-edition", "edition", "edition %s is not defined here or shared by product %s", p.Edition, p.Product)
	}
	if p.Edition == "" && l.places["editions"] != nil {
		l.warn("no-edition", "editions", "editions are defined but none is selected; add edition: NAME")
	}
}

// granted returns the features that the plan, its add-ons or its editions
// can grant. A license may select a different edition from the plan's.
func granted(p licensing.Plan) map[string]license.Value {
	all := map[string]license.Value{}
	for _, a := range p.Addons {
		for name, f := range a.Features {
			all[name] = f.Value
		}
	}
	for _, e := range p.Editions {
		for name, r := range e.Features {
			all[name] = r.Value
		}
	}
	for name, r := range p.Editions[p.Edition].Features {
		all[name] = r.Value
	}
	for name, r := range p.Features {
		all[name] = r.Value
	}
	return all
}

func (l *linter) fallback() {
	full := granted(l.Plan)
	if !l.read("features", "edition", "editions", "addons") {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(l.Plan.Fallback)) {
		less, path := l.Plan.Fallback[name], "fallback."+name
		more, known := full[name]
		switch {
		case !l.read(path):
		case !known:
			l.wrong("unknown-feature", path, "the plan never grants feature %s, so a fallback for it has no effect", name)
		case !alike(less, more):
			l.wrong("feature-type", path, "%v does not have the type of the plan's %v", less, more)
		case wider(less, more):
			l.warn("wider-fallback", path, "the fallback grants %v, which is more than the plan's %v", less, more)
		}
	}
	if len(l.Plan.Fallback) > 0 && l.Plan.Documents.Fallback == 0 && l.read("documents") {
		l.warn("fallback-never", "documents.fallback", "the fallback has no effect because documents.fallback is zero")
	}
}

// alike reports whether both values are switches, numbers or texts.
func alike(a, b license.Value) bool {
	_, aBool := a.Bool()
	_, bBool := b.Bool()
	_, aInt := a.Int()
	_, bInt := b.Int()
	return aBool == bBool && aInt == bInt
}

// wider reports whether a grants more than b, if the two are comparable.
func wider(a, b license.Value) bool {
	on, isBool := a.Bool()
	n, isInt := a.Int()
	was, _ := b.Bool()
	of, _ := b.Int()
	return isBool && on && !was || isInt && n > of
}

func (l *linter) addons() {
	own := granted(licensing.Plan{Editions: l.Plan.Editions, Edition: l.Plan.Edition, Features: l.Plan.Features})
	texts := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(l.Plan.Addons)) {
		a, path := l.Plan.Addons[name], "addons."+name
		if !l.read(path) {
			continue
		}
		if len(a.Features)+len(a.Pools)+len(a.Meters) == 0 {
			l.warn("empty-addon", path, "the add-on changes nothing")
		}
		for _, f := range slices.Sorted(maps.Keys(a.Features)) {
			v := a.Features[f].Value
			if has, known := own[f]; known && !alike(v, has) && l.read("features."+f, "edition", "editions") {
				l.wrong("feature-type", path+".features."+f, "%v does not have the type of the plan's %v", v, has)
			}
			if _, isText := v.Text(); !isText {
				continue
			}
			if other := texts[f]; other != "" {
				l.warn("text-conflict", path+".features."+f, "add-on %s sets this text too; the add-on whose name sorts last wins", other)
			}
			texts[f] = name
		}
		l.targets(a.Pools, l.Plan.Pools, path+".pools.", "pool")
		l.targetsMeters(a.Meters, path+".meters.")
	}
}

// targets refuses adjustments of pools that the plan does not have. A shared
// add-on may be meant for another plan, so for those it only warns.
func (l *linter) targets(adjust map[string]licensing.Adjustment, pools map[string]licensing.Pool, path, what string) {
	for _, name := range slices.Sorted(maps.Keys(adjust)) {
		if _, known := pools[name]; !known && l.read("pools."+name) {
			l.unknownTarget(path+name, what, name)
		}
	}
}

func (l *linter) targetsMeters(adjust map[string]licensing.Adjustment, path string) {
	for _, name := range slices.Sorted(maps.Keys(adjust)) {
		if _, known := l.Plan.Meters[name]; !known && l.read("meters."+name) {
			l.unknownTarget(path+name, "meter", name)
		}
	}
}

func (l *linter) unknownTarget(path, what, name string) {
	if l.places[path] == nil {
		l.warn("unknown-"+what, path, "this shared add-on cannot be bought for this plan, which has no %s %s", what, name)
		return
	}
	l.wrong("unknown-"+what, path, "the plan has no %s %s", what, name)
}

func (l *linter) pools() {
	for _, name := range slices.Sorted(maps.Keys(l.Plan.Pools)) {
		p, path := l.Plan.Pools[name], "pools."+name
		if !l.read(path) {
			continue
		}
		if p.Full == licensing.FullQueue && p.Endless() {
			l.wrong("queue-endless", path+".full", "leases without end never expire, so a queue could wait forever; give the pool a lease length or use full: deny")
		}
		if p.Full == licensing.FullFallback && len(l.Plan.Fallback) == 0 && l.read("fallback") {
			l.wrong("no-fallback", path+".full", "full: fallback needs fallback features; add fallback")
		}
		if !p.Overdraft.IsZero() && p.Overdraft.For == 0 {
			l.warn("overdraft-endless", path+".overdraft", "an overdraft without for never ends and is the same as a higher capacity")
		}
		if p.Capacity == 0 && !l.raised(name) && l.read("addons") {
			l.warn("capacity-zero", path+".capacity", "the pool never grants a unit, because its capacity is 0 and no add-on raises it")
		}
		if p.Match.Of > 0 && p.Match.Need*2 <= p.Match.Of {
			l.warn("weak-match", path+".match", "%d of %d is not a majority; different machines of the same model may match", p.Match.Need, p.Match.Of)
		}
		if p.Match.Of > 1 && p.Match.Need == p.Match.Of {
			l.warn("brittle-match", path+".match", "all %d of %d must match; replacing any part makes it a different machine", p.Match.Need, p.Match.Of)
		}
		l.reach(p, path)
	}
}

// reach compares a pool's times with the term's.
func (l *linter) reach(p licensing.Pool, path string) {
	term, fixed := l.Plan.Term.Length.Span()
	if !l.read("term") || !fixed || l.Plan.Term.Perpetual {
		return
	}
	if p.Borrow > term {
		l.warn("borrow-beyond-term", path+".borrow", "%v is longer than the term of %v; a lease ends with the term", p.Borrow, term)
	}
	if l.Plan.Term.Trial && p.Grace > 0 {
		l.wrong("trial-grace", path+".grace", "a trial takes no offline grace")
	}
}

// raised reports whether an add-on gives a pool units.
func (l *linter) raised(pool string) bool {
	for _, a := range l.Plan.Addons {
		if a.Pools[pool].Amount > 0 {
			return true
		}
	}
	return false
}

func (l *linter) meters() {
	for _, name := range slices.Sorted(maps.Keys(l.Plan.Meters)) {
		m, path := l.Plan.Meters[name], "meters."+name
		if !l.read(path) {
			continue
		}
		if m.Full == licensing.FullFallback && len(l.Plan.Fallback) == 0 && l.read("fallback") {
			l.wrong("no-fallback", path+".full", "full: fallback needs fallback features; add fallback")
		}
		if m.Overage && m.Hard.IsZero() {
			l.warn("overage-endless", path+".overage", "overage is unlimited without hard")
		}
		if m.Overage && m.HardLimit() <= m.Quota {
			l.wrong("overage-never", path+".hard", "overage is allowed, but the hard limit %s is not above the quota %s",
				licensing.FormatQuantity(m.HardLimit(), m.Scale), licensing.FormatQuantity(m.Quota, m.Scale))
		}
		if !m.Overage && m.HardLimit() < m.Quota {
			l.warn("quota-unreachable", path+".hard", "the hard limit %s ends use before the quota %s",
				licensing.FormatQuantity(m.HardLimit(), m.Scale), licensing.FormatQuantity(m.Quota, m.Scale))
		}
		if !m.Overage && !m.Hard.IsZero() && m.HardLimit() == m.Quota && m.Hard != (licensing.Limit{Percent: 100}) && m.Hard != (licensing.Limit{Amount: m.Quota}) {
			l.warn("hard-unreachable", path+".hard", "hard has no effect: nothing beyond the quota can be used without overage: allow")
		}
	}
}

func (l *linter) documents(kind licensing.Kind) {
	p := l.Plan
	if !l.read("documents") {
		return
	}
	bounds := p.Bounds(licensing.Skew.Duration())
	if l.read("pools", "revocation_bound") && p.RevocationBound > 0 && bounds.Revocation > p.RevocationBound {
		l.wrong("revocation-bound", "revocation_bound", "a client that is never online keeps full function for %v after a revocation (%s), which is more than the stated %v", bounds.Revocation, bounds.Cause, p.RevocationBound)
	}
	if d := p.Documents; kind != licensing.Development && d.Life < 3600 {
		l.warn("short-documents", "documents.life", "documents of %v make every client depend on the server; use them only for development", d.Life)
	}
	if total := p.Documents.Life + p.Documents.Grace + p.Documents.Fallback; total.Duration() > licensing.MaxDocument || total > 1<<33 {
		l.wrong("long-documents", "documents", "life, grace and fallback together exceed twenty years")
	}
}

// size refuses plans if some license could get a document that is too large. It checks each edition
// alone, and with one add-on. The combination of several add-ons is checked when they are
// granted.
func (l *linter) size() {
	if !l.read("edition", "editions", "features", "fallback", "addons", "pools", "meters") {
		return
	}
	rev := licensing.Revision{Plan: l.Plan}
	editions := slices.Sorted(maps.Keys(l.Plan.Editions))
	if len(editions) == 0 {
		editions = []string{""}
	}
	fits := func(path, edition string, addons ...licensing.Grant) bool {
		granted := licensing.License{Product: l.Plan.Product, Plan: l.Plan.Name, Edition: edition, Addons: addons}
		// Any time works, because the size does not depend on the clock.
		size, err := licensing.LargestDocument(rev, granted, time.Unix(0, 0).UTC())
		if err != nil {
			return false // another finding has the reason
		}
		if err = size.Check(); err != nil {
			l.wrong("document-size", path, "%v", err)
		}
		return err == nil
	}
	for _, edition := range editions {
		path := "features"
		if edition != "" {
			path = "editions." + edition
		}
		if !fits(path, edition) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(l.Plan.Addons)) {
			fits("addons."+name, edition, licensing.Grant{Addon: name, Quantity: 1})
		}
	}
}
