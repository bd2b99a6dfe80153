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

// LintAnswer says what is wrong with plan files.
type LintAnswer struct {
	OK       bool             `json:"ok" doc:"There is no error; there may be warnings"`
	Findings []policy.Finding `json:"findings" nullable:"false"`
}

// A PlanSummary is a plan with a revision of it: the one in force on a channel, or
// one that was asked for.
type PlanSummary struct {
	Product   licensing.ProductName `json:"product"`
	Name      licensing.PlanName    `json:"plan"`
	Channel   string                `json:"channel,omitempty" doc:"The channel that points to the revision."`
	Revision  licensing.RevisionID  `json:"revision"`
	Licenses  int64                 `json:"licenses" doc:"Licenses granted by the revision."`
	AppliedAt time.Time             `json:"applied_at"`
	AppliedBy string                `json:"applied_by"`
}

// A PlanDetail is a plan with everything that is known of it.
type PlanDetail struct {
	PlanSummary
	Text      string           `json:"text" doc:"The plan file it was read from."`
	Content   licensing.Plan   `json:"content" doc:"The plan as it was read."`
	Bounds    licensing.Bounds `json:"bounds" doc:"What its numbers promise in the worst case."`
	Channels  []PlanChannel    `json:"channels"`
	Revisions []PlanRevision   `json:"revisions" doc:"The latest first."`
	Moves     []PlanMove       `json:"moves" doc:"Licenses that moved to a revision together; the latest 10, newest first."`
}

// A PlanChannel is where a channel points, since when.
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
