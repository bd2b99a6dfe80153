package licensing

import (
	"fmt"

	"copyhold.dev/sdk/license"
)

// allow returns a decision that allows, by a rule, with a reason in words.
func allow(code, rule, reason string, args ...any) license.Decision {
	return license.Decision{Outcome: license.Allowed, Code: code, Rule: rule, Reason: textOf(reason, args...)}
}

// deny returns a decision that denies, by a rule, with a reason in words.
func deny(code, rule, reason string, args ...any) license.Decision {
	return license.Decision{Outcome: license.Denied, Code: code, Rule: rule, Reason: textOf(reason, args...)}
}

// textOf is fmt.Sprintf, which copies a text that has no arguments.
func textOf(text string, args ...any) string {
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}
