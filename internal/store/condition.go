package store

import (
	"fmt"
	"strings"
)

// conditions are those of a statement whose text depends on what a filter sets. There are few such
// texts, so sessions keep them prepared.
type conditions struct {
	texts []string
	args  []any
}

// add adds a condition. Its format has a verb for the number of each argument.
func (c *conditions) add(format string, args ...any) {
	numbers := make([]any, len(args))
	for i := range args {
		numbers[i] = len(c.args) + i + 1
	}
	c.args = append(c.args, args...)
	if len(args) > 0 {
		format = fmt.Sprintf(format, numbers...)
	}
	c.texts = append(c.texts, format)
}

// String returns the conditions, all of which must be true.
func (c *conditions) String() string { return strings.Join(c.texts, " AND ") }
