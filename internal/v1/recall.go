package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Recalled is the state of a recall.
type Recalled struct {
	ID       licensing.LeaseID `json:"id"`
	Recalled time.Time         `json:"recalled_at"`
	Until    time.Time         `json:"until,omitzero" doc:"When the holder must stop; absent until the holder is told."`
	FreeAt   time.Time         `json:"free_at,omitzero" doc:"The latest time at which the units are free if the holder does not react; absent for a lease without an end."`
	Why      string            `json:"why" doc:"What still has to happen before the units are free"`
}
