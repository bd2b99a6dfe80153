package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A PlanMove is licenses that move to a revision of their plan. It is stored with the
// revision, and goes on after a crash where it was.
type PlanMove struct {
	ID       licensing.MoveID     `json:"id"`
	Plan     licensing.PlanName   `json:"plan"`
	Channel  string               `json:"channel"`
	Revision licensing.RevisionID `json:"revision"`
	Total    int64                `json:"total" doc:"Licenses to move when it began."`
	Moved    int64                `json:"moved"`
	Refused  int64                `json:"refused,omitempty" doc:"Licenses that have changed since and no longer fit: they stay where they are, and the log says why."`
	By       string               `json:"by"`
	At       time.Time            `json:"at"`
	DoneAt   time.Time            `json:"done_at,omitzero"`
}
