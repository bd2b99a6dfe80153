package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
)

// FilesBody is plan files to check.
type FilesBody struct {
	Files []policy.File `json:"files" minItems:"1" maxItems:"500" nullable:"false"`
}

// LintAnswer lists the faults of plan files.
type LintAnswer struct {
	OK       bool             `json:"ok" doc:"True if there are no errors; warnings are allowed"`
	Findings []policy.Finding `json:"findings" nullable:"false"`
}

// A PlanSummary is a plan with one of its revisions: the one in force on a channel, or
// a requested one.
type PlanSummary struct {
	Product   licensing.ProductName `json:"product"`
	Name      licensing.PlanName    `json:"plan"`
	Channel   string                `json:"channel,omitempty" doc:"The channel that points to the revision."`
	Revision  licensing.RevisionID  `json:"revision"`
	Licenses  int64                 `json:"licenses" doc:"The number of licenses on the revision."`
	AppliedAt time.Time             `json:"applied_at"`
	AppliedBy string                `json:"applied_by"`
}

// A PlanDetail is a plan with all its details.
type PlanDetail struct {
	PlanSummary
	Text      string           `json:"text" doc:"The text of the plan file."`
	Content   licensing.Plan   `json:"content" doc:"The contents of the plan."`
	Bounds    licensing.Bounds `json:"bounds" doc:"The worst cases that follow from the plan's numbers."`
	Channels  []PlanChannel    `json:"channels"`
	Revisions []PlanRevision   `json:"revisions" doc:"Newest first."`
	Moves     []PlanMove       `json:"moves" doc:"Groups of licenses that moved to a revision together; the latest 10, newest first."`
}

// A PlanChannel is the revision that a channel points to, and since when.
type PlanChannel struct {
	Name     string               `json:"name"`
	Revision licensing.RevisionID `json:"revision"`
	MovedAt  time.Time            `json:"moved_at"`
}

// A PlanRevision is an applied version, which never changes.
type PlanRevision struct {
	Revision  licensing.RevisionID `json:"revision"`
	AppliedAt time.Time            `json:"applied_at"`
	AppliedBy string               `json:"applied_by"`
}
