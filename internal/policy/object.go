package policy

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"

	"copyhold.dev/internal/licensing"
)

// A reader collects the findings of one file. It continues after a fault,
// so that an author sees all of them at once.
type reader struct {
	file     string
	plan     licensing.PlanName
	findings []Finding
	faults   int                   // number found so far, listed or not
	places   map[string]*yaml.Node // of the current document, by path
}

// maxFindings is the maximum number of faults listed for one file.
const maxFindings = 200

// fault records an error at a node, up to maxFindings of them.
func (r *reader) fault(n *yaml.Node, path, code, message string) {
	r.faults++
	switch {
	case len(r.findings) > maxFindings:
		return
	case len(r.findings) == maxFindings:
		path, code, message = "", "too-many", "there are more faults than this list shows"
	}
	r.findings = append(r.findings, Finding{
		File: r.file, Line: n.Line, Column: n.Column, Severity: SevError,
		Code: code, Plan: r.plan, Path: path, Message: message,
	})
}

// refuse records a refusal by package licensing at the field that it names below path.
func (r *reader) refuse(n *yaml.Node, path string, err error) {
	var e *licensing.Error
	if errors.As(err, &e) && e.Field != "" && r.places[join(path, e.Field)] != nil {
		path = join(path, e.Field)
		n = r.places[path]
	}
	r.fault(n, path, "bad-value", err.Error())
}

// An object is a YAML mapping of which the reader must request every field.
type object struct {
	r      *reader
	node   *yaml.Node
	path   string
	fields map[string]*yaml.Node
	keys   []*yaml.Node
	asked  []string
}

// object opens a mapping. If n is something else, it records a fault and returns nil.
func (r *reader) object(n *yaml.Node, path string) *object {
	if n.Kind != yaml.MappingNode {
		r.fault(n, path, "wrong-type", "expects fields, not "+describe(n))
		return nil
	}
	o := &object{r: r, node: n, path: path, fields: map[string]*yaml.Node{}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			r.fault(key, path, "wrong-type", "a field's name must be a word")
		case o.fields[key.Value] != nil:
			r.fault(key, join(path, key.Value), "duplicate-field", "is given twice")
		case value.Kind == yaml.AliasNode || value.Anchor != "" || key.Anchor != "":
			r.fault(value, join(path, key.Value), "alias", "plan files cannot use anchors and aliases; write the value out")
		case strings.ContainsFunc(value.Value, drives):
			r.fault(value, join(path, key.Value), "bad-value", "has control characters or U+FFFD, which documents and terminals do not accept")
		default:
			o.fields[key.Value] = value
			o.keys = append(o.keys, key)
			r.places[join(path, key.Value)] = value
		}
	}
	return o
}

// drives reports whether r is a control character other than a line end, or the replacement
// character, for example from an escape of half a surrogate pair.
func drives(r rune) bool { return unicode.IsControl(r) && r != '\n' || r == utf8.RuneError }

// take returns a field's node, or nil if it is absent.
func (o *object) take(name string) *yaml.Node {
	o.asked = append(o.asked, name)
	return o.fields[name]
}

// done records every field that the reader did not request.
func (o *object) done() {
	for _, key := range o.keys {
		if slices.Contains(o.asked, key.Value) {
			continue
		}
		message := "is not a known field here"
		if near := nearest(key.Value, o.asked); near != "" {
			message += "; did you mean " + near + "?"
		} else {
			known := slices.Sorted(slices.Values(o.asked))
			message += "; the known fields are " + strings.Join(known, ", ")
		}
		o.r.fault(key, join(o.path, key.Value), "unknown-field", message)
	}
}

// missing records that a required field is missing.
func (o *object) missing(name, why string) {
	o.r.fault(o.node, join(o.path, name), "missing-field", why)
}

// text returns a field's text, or the default otherwise if it is absent.
func (o *object) text(name, otherwise string) string {
	n := o.take(name)
	if n == nil {
		return otherwise
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
		o.r.fault(n, join(o.path, name), "wrong-type", "expects a text, not "+describe(n))
		return otherwise
	}
	return n.Value
}

// flag returns a field's true or false, or the default otherwise if it is absent.
func (o *object) flag(name string, otherwise bool) bool {
	n := o.take(name)
	if n == nil {
		return otherwise
	}
	if n.Tag != "!!bool" || n.Style != 0 {
		o.r.fault(n, join(o.path, name), "wrong-type", "expects true or false, not "+describe(n))
	}
	return n.Value == "true"
}

// whole returns a field's whole number, or 0 if it is absent.
func (o *object) whole(name string) int64 {
	n := o.take(name)
	if n == nil {
		return 0
	}
	return o.r.whole(n, join(o.path, name))
}

// whole reads a decimal whole number.
func (r *reader) whole(n *yaml.Node, path string) int64 {
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 || err != nil {
		r.fault(n, path, "wrong-type", "expects a whole number, not "+describe(n))
	}
	return v
}

// parsed passes a field's text to parse and records its error.
func parsed[T any](o *object, name string, otherwise T, parse func(string) (T, error)) T {
	text := o.text(name, "")
	if text == "" {
		return otherwise
	}
	v, err := parse(text)
	if err != nil {
		o.r.refuse(o.fields[name], join(o.path, name), err)
		return otherwise
	}
	return v
}

func (o *object) span(name string, otherwise licensing.Span) licensing.Span {
	return parsed(o, name, otherwise, func(s string) (licensing.Span, error) {
		if _, err := parseLength(s); err != nil {
			return 0, err
		}
		return licensing.ParseSpan(s)
	})
}

func (o *object) length(name string) licensing.Length {
	return parsed(o, name, licensing.Length{}, parseLength)
}

// maxYears limits new plans. Revisions that were applied earlier may exceed it.
const maxYears = 1000

// parseLength reads a length that is short enough for the calendar.
func parseLength(s string) (licensing.Length, error) {
	l, err := licensing.ParseLength(s)
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err == nil && l.After(begin).After(begin.AddDate(maxYears, 0, 0)) {
		return l, licensing.Errorf(licensing.Invalid, "%s is longer than 1,000 years; for a term without end use perpetual: true", s)
	}
	return l, err
}

func (o *object) date(name string) time.Time {
	return parsed(o, name, time.Time{}, licensing.ParseDate)
}

// needs records which of the required fields are missing, and what to give.
func (o *object) needs(fields map[string]string) {
	for name, why := range fields {
		if o.fields[name] == nil {
			o.missing(name, why)
		}
	}
}

// objects reads a mapping of objects whose names the author chooses, or nil if there is none.
func objects[T any](o *object, name, what string, read func(*object) T) map[string]T {
	var all map[string]T
	o.each(name, what, func(key string, n *yaml.Node, path string) {
		if inner := o.r.object(n, path); inner != nil {
			put(&all, key, read(inner))
		}
	})
	return all
}

// each calls f for every entry of a mapping whose keys the author chooses.
func (o *object) each(name, what string, f func(key string, n *yaml.Node, path string)) {
	n := o.take(name)
	if n == nil {
		return
	}
	path := join(o.path, name)
	m := o.r.object(n, path)
	if m == nil {
		return
	}
	for _, key := range m.keys {
		if err := licensing.CheckName(what, key.Value); err != nil {
			o.r.fault(key, join(path, key.Value), "bad-name", err.Error())
			continue
		}
		f(key.Value, m.fields[key.Value], join(path, key.Value))
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// describe returns what a node is, in words.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "fields"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Tag == "!!null":
		return "nothing"
	case len(n.Value) > 40:
		return strconv.Quote(n.Value[:40]) + "…"
	}
	return strconv.Quote(n.Value)
}

// nearest returns the word that is one or two typing mistakes away from s, if any.
func nearest(s string, words []string) string {
	best, least := "", 3
	for _, w := range words {
		if d := distance(s, w); d < least && d < len(w) {
			best, least = w, d
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
