package request

import (
	"strings"
	"unicode"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/sdk/license"
)

const (
	// MaxText bounds, in bytes, ids and names that callers choose.
	MaxText = 200
	// MaxComponents and maxBinding bound what is told of a machine: how much, and in
	// bytes of a document that is bound to it.
	MaxComponents = 32
	maxBinding    = 8 << 10
)

// A Text is one that a caller chose, and the part of the request it stands in.
type Text struct{ Field, Value string }

// CheckNames refuses what can't be the name of anything. A space of any script
// would also part request ids that are kept together.
func CheckNames(names ...Text) error {
	for _, n := range names {
		if strings.ContainsFunc(n.Value, unicode.IsSpace) {
			return licensing.Errorf(licensing.Invalid, "%s has spaces", n.Field).At(n.Field)
		}
	}
	return CheckTexts(names...)
}

// CheckTexts refuses what can't be a line of text that tells one thing from another:
// two texts that differ by what nobody sees look alike, and control characters reach
// terminals and not every database.
func CheckTexts(texts ...Text) error {
	for _, t := range texts {
		if len(t.Value) > MaxText {
			return licensing.Errorf(licensing.Invalid, "%s is over %d bytes long", t.Field, MaxText).At(t.Field)
		}
		if r, found := license.Invisible(t.Value); found {
			return licensing.Errorf(licensing.Invalid, "%s has U+%04X, a character that nobody sees or that stands for a lost one", t.Field, r).At(t.Field)
		}
	}
	return nil
}

// CheckDisplays refuses what can't be a name that people read.
func CheckDisplays(names ...Text) error {
	for _, n := range names {
		if err := policy.CheckDisplay(n.Field, n.Value); err != nil {
			return err
		}
	}
	return nil
}

// OrEmpty returns what a change says, "" where it says nothing.
func OrEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// CheckCaller refuses what can't say who calls.
func CheckCaller(c licensing.Caller) error {
	if c == (licensing.Caller{}) {
		return nil
	}
	if err := CheckNames(Text{"instance", c.Instance}); err != nil {
		return err
	}
	return CheckTexts(Text{"service", c.Service}, Text{"version", c.Version}, Text{"region", c.Region})
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
