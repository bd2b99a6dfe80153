package authority

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/sdk/license"
)

const (
	// maxText bounds, in bytes, ids and names that callers choose.
	maxText = 200
	// maxComponents and maxBinding bound what is told of a machine: how much, and in
	// bytes of a document that is bound to it.
	maxComponents = 32
	maxBinding    = 8 << 10
)

// A text is one that a caller chose, and the part of the request it stands in.
type text struct{ field, value string }

// checkNames refuses what can't be the name of anything. A space of any script
// would also part request ids that are kept together.
func checkNames(names ...text) error {
	for _, n := range names {
		if strings.ContainsFunc(n.value, unicode.IsSpace) {
			return licensing.Errorf(licensing.Invalid, "%s has spaces", n.field).At(n.field)
		}
	}
	return checkTexts(names...)
}

// checkTexts refuses what can't be a line of text that tells one thing from another:
// two texts that differ by what nobody sees look alike, and control characters reach
// terminals and not every database.
func checkTexts(texts ...text) error {
	for _, t := range texts {
		if len(t.value) > maxText {
			return licensing.Errorf(licensing.Invalid, "%s is over %d bytes long", t.field, maxText).At(t.field)
		}
		if r, found := license.Invisible(t.value); found {
			return licensing.Errorf(licensing.Invalid, "%s has U+%04X, a character that nobody sees or that stands for a lost one", t.field, r).At(t.field)
		}
	}
	return nil
}

// checkDisplays refuses what can't be a name that people read.
func checkDisplays(names ...text) error {
	for _, n := range names {
		if err := policy.CheckDisplay(n.field, n.value); err != nil {
			return err
		}
	}
	return nil
}

// orEmpty returns what a change says, "" where it says nothing.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// checkCaller refuses what can't say who calls.
func checkCaller(c licensing.Caller) error {
	if c == (licensing.Caller{}) {
		return nil
	}
	if err := checkNames(text{"instance", c.Instance}); err != nil {
		return err
	}
	return checkTexts(text{"service", c.Service}, text{"version", c.Version}, text{"region", c.Region})
}

// checkHolder refuses what can't say who holds.
func checkHolder(kind, id string, components map[string]string) error {
	if err := checkNames(text{"holder.id", id}, text{"holder.kind", kind}); err != nil {
		return err
	}
	if len(components) > maxComponents {
		return licensing.Errorf(licensing.Invalid, "more than %d components", maxComponents).At("holder.components")
	}
	names, total := slices.Sorted(maps.Keys(components)), 0
	for n, name := range names {
		if err := checkNames(text{"holder.components", name}, text{"holder.components", components[name]}); err != nil {
			return err
		}
		if err := checkMember(name, names[:n]); err != nil {
			return err
		}
		total += memberLen(name, components[name])
	}
	if total > maxBinding {
		return licensing.Errorf(licensing.Invalid, "the components take %d bytes of a document, and %d is the most", total, maxBinding).At("holder.components")
	}
	return nil
}

// checkMember refuses what can't be the name of a member of a document (license.Unmarshal)
// beside others.
func checkMember(name string, others []string) error {
	const longest = 128
	if name == "" || len(name) > longest || strings.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' }) {
		return licensing.Errorf(licensing.Invalid, "component %q: a name is 1 to %d printable ASCII characters", name, longest).At("holder.components")
	}
	for _, other := range others {
		if strings.EqualFold(name, other) {
			return licensing.Errorf(licensing.Invalid, "components %q and %q differ by case alone", other, name).At("holder.components")
		}
	}
	return nil
}

// memberLen is how many bytes a text takes in a document, at most.
func memberLen(name, value string) int {
	escaped := func(s string) int { return len(s) + strings.Count(s, `"`) + strings.Count(s, `\`) }
	return len(`"":"",`) + escaped(name) + escaped(value)
}
