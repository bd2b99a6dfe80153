package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Recalled is what a recall came to so far.
type Recalled struct {
	ID       licensing.LeaseID `json:"id"`
	Recalled time.Time         `json:"recalled_at"`
	Until    time.Time         `json:"until,omitzero" doc:"When its holder stops; absent until the holder was told."`
	FreeAt   time.Time         `json:"free_at,omitzero" doc:"When its units are free at the latest, if its holder does not listen; absent for a lease without an end."`
	Why      string            `json:"why" doc:"What the units wait for"`
}
