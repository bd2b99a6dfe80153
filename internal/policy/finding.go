package policy

import (
	"cmp"
	"fmt"
	"slices"

	"copyhold.dev/internal/licensing"
)

// A Severity is whether a finding prevents a plan from being applied.
type Severity string

// Errors stop a plan; warnings are advice for its author.
const (
	SevError   Severity = "error"
	SevWarning Severity = "warning"
)

// A Finding is one fault in a plan file. Code is stable, for programs and for
// people who look it up. Path names the field, such as pools.seats.lease.
type Finding struct {
	File     string             `json:"file"`
	Line     int                `json:"line,omitempty"`
	Column   int                `json:"column,omitempty"`
	Severity Severity           `json:"severity"`
	Code     string             `json:"code"`
	Plan     licensing.PlanName `json:"plan,omitempty"`
	Path     string             `json:"path,omitempty"`
	Message  string             `json:"message"`
}

// String writes the finding in the format that compilers use.
func (f Finding) String() string {
	where := f.Path
	if where != "" {
		where += ": "
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s%s [%s]", f.File, f.Line, f.Column, f.Severity, where, f.Message, f.Code)
}

// HasErrors reports whether any finding is an error.
func HasErrors(all []Finding) bool {
	return slices.ContainsFunc(all, func(f Finding) bool { return f.Severity == SevError })
}

// sorted orders findings by file and place, errors before warnings.
func sorted(all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Code, b.Code))
	})
	return all
}
