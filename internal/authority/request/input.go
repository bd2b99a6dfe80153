package request

import (
	"strings"
	"unicode"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/sdk/license"
)

const (
	// MaxText is the maximum length, in bytes, of ids and names that callers choose.
	MaxText = 200
	// MaxComponents and maxBinding limit the description of a machine: its number of components,
	// and its size in bytes of a document that is bound to it.
	MaxComponents = 32
	maxBinding    = 8 << 10
)

// A Text is text that a caller chose, with the field of the request that contains it.
type Text struct{ Field, Value string }

// CheckNames refuses text that cannot be the name of anything. A space in any script would also
// break the storage of request ids, which are joined by spaces.
func CheckNames(names ...Text) error {
	for _, n := range names {
		if strings.ContainsFunc(n.Value, unicode.IsSpace) {
			return licensing.Errorf(licensing.Invalid, "%s contains spaces", n.Field).At(n.Field)
		}
	}
	return CheckTexts(names...)
}

// CheckTexts refuses text that is not one line of visible characters. Two texts that differ only in
// invisible characters look the same. Control characters reach terminals, and not every database
// accepts them.
func CheckTexts(texts ...Text) error {
	for _, t := range texts {
		if len(t.Value) > MaxText {
			return licensing.Errorf(licensing.Invalid, "%s is longer than %d bytes", t.Field, MaxText).At(t.Field)
		}
		if r, found := license.Invisible(t.Value); found {
			return licensing.Errorf(licensing.Invalid, "%s contains U+%04X, an invisible or replacement character", t.Field, r).At(t.Field)
		}
	}
	return nil
}

// CheckDisplays refuses text that cannot be a display name.
func CheckDisplays(names ...Text) error {
	for _, n := range names {
		if err := policy.CheckDisplay(n.Field, n.Value); err != nil {
			return err
		}
	}
	return nil
}

// OrEmpty returns the text of a change, or "" if the change does not set it.
func OrEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// CheckCaller refuses text that cannot identify a caller.
func CheckCaller(c licensing.Caller) error {
	if c == (licensing.Caller{}) {
		return nil
	}
	if err := CheckNames(Text{"instance", c.Instance}); err != nil {
		return err
	}
	return CheckTexts(Text{"service", c.Service}, Text{"version", c.Version}, Text{"region", c.Region})
}

// checkMember refuses text that cannot be the name of a document member (license.Unmarshal) next to
// the others.
func checkMember(name string, others []string) error {
	const longest = 128
	if name == "" || len(name) > longest || strings.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' }) {
		return licensing.Errorf(licensing.Invalid, "component %q: a name must be 1 to %d printable ASCII characters", name, longest).At("holder.components")
	}
	for _, other := range others {
		if strings.EqualFold(name, other) {
			return licensing.Errorf(licensing.Invalid, "components %q and %q differ only by case", other, name).At("holder.components")
		}
	}
	return nil
}

// memberLen returns the maximum number of bytes that a member takes in a document.
func memberLen(name, value string) int {
	escaped := func(s string) int { return len(s) + strings.Count(s, `"`) + strings.Count(s, `\`) }
	return len(`"":"",`) + escaped(name) + escaped(value)
}
