package policy

import (
	"errors"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// sharedPlan reads a document with the parts that all plans of a product share.
func (r *reader) sharedPlan(o *object) licensing.Plan {
	p := licensing.Plan{Product: licensing.ProductName(r.named(o, "product"))}
	p.Editions = objects(o, "editions", "edition", r.edition)
	p.Addons = r.addons(o, nil)
	if o.fields["editions"] == nil && o.fields["addons"] == nil {
		o.missing("plan", "name the plan; only a document with shared editions or addons has no plan")
	}
	o.take("plan")
	o.done()
	return p
}

// readPlan reads a document that describes a plan.
func (r *reader) readPlan(o *object) licensing.Plan {
	p := licensing.Plan{Product: licensing.ProductName(r.named(o, "product"))}
	p.Name = licensing.PlanName(r.named(o, "plan"))
	r.plan = p.Name
	p.Title = o.text("name", string(p.Name))
	if err := CheckDisplay("name", p.Title); err != nil {
		r.refuse(o.fields["name"], "name", err)
	}
	p.Channel = o.text("channel", "stable")
	if err := licensing.CheckName("channel", p.Channel); err != nil {
		r.refuse(o.fields["channel"], "channel", err)
	}
	p.Edition = o.text("edition", "")
	p.Term = r.term(o)
	p.Features = r.features(o, "features")
	p.Fallback = r.fallback(o)
	p.Editions = objects(o, "editions", "edition", r.edition)
	p.Pools = objects(o, "pools", "pool", r.pool)
	p.Meters = objects(o, "meters", "meter", r.meter)
	p.Addons = r.addons(o, p.Meters)
	p.Documents = r.documents(o, p.Term.Trial)
	p.RevocationBound = o.span("revocation_bound", 0)
	o.done()
	return p
}

// named returns a field that must contain a name.
func (r *reader) named(o *object, field string) string {
	s := o.text(field, "")
	switch {
	case s == "" && o.fields[field] == nil:
		o.missing(field, "name the "+field)
	case s != "":
		if err := licensing.CheckName(field, s); err != nil {
			r.fault(o.fields[field], field, "bad-name", err.Error())
		}
	}
	return s
}

// open opens a field's mapping. It returns nil if the field is absent or something else.
func (r *reader) open(o *object, field string) *object {
	n := o.take(field)
	if n == nil {
		return nil
	}
	return r.object(n, join(o.path, field))
}

func (r *reader) term(o *object) licensing.TermRule {
	t := r.open(o, "term")
	if t == nil {
		if o.fields["term"] == nil {
			o.missing("term", "give the term: {length: 1y} or {perpetual: true}")
		}
		return licensing.TermRule{}
	}
	rule := licensing.TermRule{
		Length:      t.length("length"),
		Perpetual:   t.flag("perpetual", false),
		Maintenance: t.length("maintenance"),
		Start:       licensing.StartBasis(t.text("start", string(licensing.StartIssue))),
		Renewal:     licensing.RenewalBasis(t.text("renewal", string(licensing.RenewAnchored))),
		Grace:       t.span("grace", 0),
		Trial:       t.flag("trial", false),
		Once:        licensing.Once(t.text("once", "")),
	}
	t.done()
	r.check(t, rule.Check())
	return rule
}

// check records everything in an object that package licensing refuses. A field that could not be
// read has its own finding, and gets no others that follow from it.
func (r *reader) check(o *object, err error) {
	misread := slices.Clone(r.findings)
	for _, err := range licensing.Faults(err) {
		var e *licensing.Error
		fields := []string{""}
		if errors.As(err, &e) && e.Field != "" {
			fields = append([]string{e.Field}, e.Reads...)
		}
		if !slices.ContainsFunc(fields, func(f string) bool { return touches(misread, join(o.path, f)) }) {
			r.refuse(o.node, o.path, err)
		}
	}
}

// touches reports whether a finding is about something at or below a path.
func touches(findings []Finding, path string) bool {
	path = strings.TrimSuffix(path, ".")
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Path == path || strings.HasPrefix(f.Path, path+".") })
}

func (r *reader) documents(o *object, trial bool) licensing.Documents {
	d := licensing.DefaultDocuments()
	if trial {
		d.Grace = 0
	}
	n := r.open(o, "documents")
	if n == nil {
		return d
	}
	// Omitted values follow life, so that a short life needs no other settings.
	d.Life = n.span("life", d.Life)
	d.Refresh = n.span("refresh", max(1, min(d.Refresh, d.Life/7)))
	d.Stale = n.span("stale", max(d.Refresh, min(d.Stale, d.Life*2/7)))
	d.Grace = n.span("grace", d.Grace)
	d.Fallback = n.span("fallback", d.Fallback)
	n.done()
	r.check(n, d.Check())
	return d
}

func (r *reader) edition(o *object) licensing.Edition {
	e := licensing.Edition{Features: r.features(o, "features")}
	o.done()
	return e
}

func (r *reader) features(o *object, field string) map[string]licensing.FeatureRule {
	var all map[string]licensing.FeatureRule
	o.each(field, "feature", func(name string, n *yaml.Node, path string) {
		rule := licensing.FeatureRule{}
		if n.Kind != yaml.MappingNode {
			rule.Value = r.value(n, path)
		} else if f := r.object(n, path); f != nil {
			if v := f.take("value"); v != nil {
				rule.Value = r.value(v, join(path, "value"))
			} else {
				f.missing("value", "give the feature a value")
			}
			rule.For, rule.Until = f.length("for"), f.date("until")
			f.done()
		}
		put(&all, name, rule)
	})
	return all
}

func (r *reader) fallback(o *object) map[string]license.Value {
	var all map[string]license.Value
	o.each("fallback", "feature", func(name string, n *yaml.Node, path string) {
		put(&all, name, r.value(n, path))
	})
	return all
}

// value reads a feature's value: true or false, a whole number, or a text.
func (r *reader) value(n *yaml.Node, path string) license.Value {
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Style&yaml.TaggedStyle != 0:
	case quoted && n.Value == "":
		r.fault(n, path, "empty-text", "an empty text grants nothing; omit the feature")
		return license.TextValue("")
	case !quoted && (n.Value == "true" || n.Value == "false"):
		return license.BoolValue(n.Value == "true")
	case !quoted && n.Tag == "!!int":
		v := r.whole(n, path)
		if v > licensing.MaxQuantity || v < -licensing.MaxQuantity {
			r.fault(n, path, "bad-value", "a number must be within ±(2^53-1)")
		}
		return license.IntValue(v)
	case !quoted && (n.Tag == "!!float" || n.Tag == "!!bool" || looksLikeSwitch(n.Value)):
		r.fault(n, path, "wrong-type", "expects true, false, a whole number or a text; put "+n.Value+" in quotes if it is a text")
		return license.Value{}
	default:
		return license.TextValue(n.Value)
	}
	r.fault(n, path, "wrong-type", "expects true, false, a whole number or a text, not "+describe(n))
	return license.Value{}
}

// looksLikeSwitch reports whether s is a word that older YAML read as a boolean.
func looksLikeSwitch(s string) bool {
	switch s {
	case "yes", "no", "on", "off", "Yes", "No", "On", "Off", "YES", "NO", "ON", "OFF", "True", "False", "TRUE", "FALSE":
		return true
	}
	return false
}

// put sets an entry of a map, which it creates if needed.
func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}
