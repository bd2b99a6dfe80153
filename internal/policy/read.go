package policy

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// MaxFile is the maximum size of a plan file, in bytes.
const MaxFile = 1 << 20

// A File is a plan file: its name, for findings, and its text.
type File struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// A Source is a plan, its file, and the places of its fields in the file.
type Source struct {
	Plan   licensing.Plan
	File   string
	places map[string]*yaml.Node
	root   *yaml.Node
}

// Read reads plan files. They contain YAML documents that each describe one plan. A document
// with a product and without a plan has editions and add-ons that all plans of the
// product in these files share. Read returns what it could read and every fault that it
// found. It does not return a plan with a fault.
func Read(files []File) ([]Source, []Finding) {
	docs, findings := read(files)
	return whole(docs), findings
}

// Check does the work of Read and Lint. It returns every fault of the files, also faults of a
// plan of which other parts could not be read.
func Check(files []File, kind licensing.Kind) ([]Source, []Finding) {
	docs, findings := read(files)
	for _, d := range docs {
		findings = append(findings, d.lint(kind)...)
	}
	return whole(docs), sorted(findings)
}

// whole returns the plans without a fault.
func whole(docs []document) []Source {
	sources := []Source{}
	for _, d := range docs {
		if len(d.faults) == 0 {
			sources = append(sources, d.Source)
		}
	}
	return sources
}

// read reads plans, including those with a fault, and what all plans of a product share.
func read(files []File) (plans []document, findings []Finding) {
	var docs []document
	for _, f := range files {
		d, faults := parse(f)
		docs = append(docs, d...)
		findings = append(findings, faults...)
	}
	shared := map[licensing.ProductName]licensing.Plan{}
	unread := map[licensing.ProductName]bool{}
	for _, d := range docs {
		if d.shared {
			s := shared[d.Plan.Product]
			s.Editions = merged(s.Editions, d.Plan.Editions)
			s.Addons = merged(s.Addons, d.Plan.Addons)
			shared[d.Plan.Product] = s
			unread[d.Plan.Product] = unread[d.Plan.Product] || len(d.faults) > 0
		}
	}
	type key struct {
		licensing.ProductName
		licensing.PlanName
	}
	seen := map[key]Source{}
	for _, d := range docs {
		if d.shared {
			continue
		}
		fault := func(f Finding) {
			findings = append(findings, f)
			d.faults = append(d.faults, f)
		}
		k := key{d.Plan.Product, d.Plan.Name}
		if first, twice := seen[k]; twice && k.PlanName != "" {
			fault(d.Finding(SevError, "duplicate-plan", "plan", "plan "+string(k.PlanName)+" of "+string(k.ProductName)+" is also in "+first.File+":"+strconv.Itoa(first.root.Line)))
		} else {
			seen[k] = d.Source
		}
		if unread[d.Plan.Product] {
			// Names that may be defined there are not missing here.
			d.faults = append(d.faults, Finding{Path: "editions"}, Finding{Path: "addons"})
		}
		s := shared[d.Plan.Product]
		// A plan's own edition or add-on replaces a shared one.
		d.Plan.Editions = merged(s.Editions, d.Plan.Editions)
		addons, faults := d.scaled(s.Addons)
		for _, f := range faults {
			fault(f)
		}
		d.Plan.Addons = merged(addons, d.Plan.Addons)
		plans = append(plans, d)
	}
	return plans, sorted(findings)
}

// scaled returns shared add-ons, whose quantities are whole units, in the
// scaled units of the plan's meters.
func (d document) scaled(shared map[string]licensing.Addon) (map[string]licensing.Addon, []Finding) {
	out := make(map[string]licensing.Addon, len(shared))
	var findings []Finding
	for name, a := range shared {
		a.Meters = maps.Clone(a.Meters)
		for meter, adj := range a.Meters {
			n, ok := licensing.Rescale(adj.Amount, 0, d.Plan.Meters[meter].Scale)
			if !ok || n > licensing.MaxQuantity {
				findings = append(findings, d.Finding(SevError, "bad-value", "meters."+meter+".scale",
					"shared add-on "+name+" has "+strconv.FormatInt(adj.Amount, 10)+" for this meter, which is out of range at this scale"))
			}
			adj.Amount = n
			a.Meters[meter] = adj
		}
		out[name] = a
	}
	return out, findings
}

// merged returns base with over replacing its entries, nil if both are empty.
func merged[V any](base, over map[string]V) map[string]V {
	if len(base)+len(over) == 0 {
		return nil
	}
	out := maps.Clone(base)
	if out == nil {
		out = map[string]V{}
	}
	maps.Copy(out, over)
	return out
}

// A document is one YAML document after reading.
type document struct {
	Source
	shared bool      // editions and add-ons of a product, not a plan
	faults []Finding // why it cannot be applied
}

// Finding returns a finding at a path of the source.
func (s Source) Finding(sev Severity, code, path, message string) Finding {
	n := s.root
	for p := path; p != ""; p = parent(p) {
		if found := s.places[p]; found != nil {
			n = found
			break
		}
	}
	return Finding{File: s.File, Line: n.Line, Column: n.Column, Severity: sev, Code: code, Plan: s.Plan.Name, Path: path, Message: message}
}

func parent(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '.' {
			return path[:i]
		}
	}
	return ""
}

// parse reads every document of one file.
func parse(f File) ([]document, []Finding) {
	r := &reader{file: f.Name}
	start := &yaml.Node{Line: 1, Column: 1}
	if len(f.Text) > MaxFile {
		r.fault(start, "", "too-large", "the plan file is larger than 1 MiB")
		return nil, r.findings
	}
	text, err := license.DecodeText("", []byte(f.Text))
	if wrong := (*license.TextError)(nil); errors.As(err, &wrong) {
		r.fault(&yaml.Node{Line: wrong.Line, Column: 1}, "", "not-text", wrong.Reason)
		return nil, r.findings
	}
	loader, err := yaml.NewLoader(strings.NewReader(text))
	if err != nil {
		r.fault(start, "", "yaml", err.Error())
		return nil, r.findings
	}
	var docs []document
	for {
		var n yaml.Node
		err := loader.Load(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.yaml(err)
			break
		}
		if len(n.Content) == 1 && n.Content[0].Tag != "!!null" {
			docs = append(docs, r.document(n.Content[0]))
		}
	}
	if len(docs) == 0 && r.faults == 0 {
		r.fault(start, "", "empty", "the file contains no plan")
	}
	return docs, r.findings
}

// yaml records an error of the YAML library with its place.
func (r *reader) yaml(err error) {
	var e *yaml.LoadError
	if errors.As(err, &e) {
		message := e.Message
		if e.ContextMsg != "" {
			message += ", " + e.ContextMsg
		}
		r.fault(&yaml.Node{Line: max(1, e.Mark.Line), Column: max(1, e.Mark.Column)}, "", "yaml", message)
		return
	}
	r.fault(&yaml.Node{Line: 1, Column: 1}, "", "yaml", err.Error())
}

// document reads one YAML document: a plan, or parts that a product's plans share.
func (r *reader) document(n *yaml.Node) document {
	r.plan, r.places = "", map[string]*yaml.Node{}
	before := len(r.findings)
	d := document{Source: Source{File: r.file, root: n}}
	if o := r.object(n, ""); o != nil {
		d.shared = o.fields["plan"] == nil && o.fields["term"] == nil
		if d.shared {
			d.Plan = r.sharedPlan(o)
		} else {
			d.Plan = r.readPlan(o)
		}
	}
	d.places = r.places
	d.faults = slices.Clone(r.findings[before:])
	if r.faults > maxFindings {
		d.faults = append(d.faults, Finding{}) // the list of faults is incomplete
	}
	return d
}
