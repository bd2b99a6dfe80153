package authority

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"copyhold.dev/internal/licensing"
)

const (
	// maxText bounds, in bytes, ids and names that callers choose.
	maxText = 200
	// maxComponents bounds what is told of a machine.
	maxComponents = 32
)

// A text is one that a caller chose, and the part of the request it stands in.
type text struct{ field, value string }

// checkNames refuses what can't be the name of anything. A space of any script
// would also part request ids that are kept together; a control character would
// reach terminals and not every database.
func checkNames(names ...text) error {
	for _, n := range names {
		if !clean(n.value) || strings.ContainsFunc(n.value, unicode.IsSpace) {
			return licensing.Errorf(licensing.Invalid, "%s is over %d bytes long, or has spaces or control characters", n.field, maxText).At(n.field)
		}
	}
	return nil
}

// checkTexts refuses what can't be a line of text.
func checkTexts(texts ...text) error {
	for _, t := range texts {
		if !clean(t.value) {
			return licensing.Errorf(licensing.Invalid, "%s is over %d bytes long, or has control characters", t.field, maxText).At(t.field)
		}
	}
	return nil
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

func clean(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// checkHolder refuses what can't say who holds.
func checkHolder(kind, id string, components map[string]string) error {
	if err := checkNames(text{"holder.id", id}, text{"holder.kind", kind}); err != nil {
		return err
	}
	if len(components) > maxComponents {
		return licensing.Errorf(licensing.Invalid, "more than %d components", maxComponents).At("holder.components")
	}
	for _, name := range slices.Sorted(maps.Keys(components)) {
		if err := checkNames(text{"holder.components", name}, text{"holder.components", components[name]}); err != nil {
			return err
		}
	}
	return nil
}
