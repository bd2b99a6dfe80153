package licensing

import (
	"fmt"

	"copyhold.dev/sdk/license"
)

// allow returns a decision that allows something, with its rule and reason.
func allow(code, rule, reason string, args ...any) license.Decision {
	return license.Decision{Outcome: license.Allowed, Code: code, Rule: rule, Reason: textOf(reason, args...)}
}

// deny returns a decision that denies something, with its rule and reason.
func deny(code, rule, reason string, args ...any) license.Decision {
	return license.Decision{Outcome: license.Denied, Code: code, Rule: rule, Reason: textOf(reason, args...)}
}

// textOf is fmt.Sprintf, except that it returns a text without arguments as it is.
func textOf(text string, args ...any) string {
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}
