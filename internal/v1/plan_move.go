package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A PlanMove is a group of licenses that move to a revision of their plan. It is stored with
// the revision and resumes after a crash.
type PlanMove struct {
	ID       licensing.MoveID     `json:"id"`
	Plan     licensing.PlanName   `json:"plan"`
	Channel  string               `json:"channel"`
	Revision licensing.RevisionID `json:"revision"`
	Total    int64                `json:"total" doc:"The number of licenses to move when it started."`
	Moved    int64                `json:"moved"`
	Refused  int64                `json:"refused,omitempty" doc:"Licenses that have changed since and no longer fit. They stay on their revision, and the log has the reason."`
	By       string               `json:"by"`
	At       time.Time            `json:"at"`
	DoneAt   time.Time            `json:"done_at,omitzero"`
}
