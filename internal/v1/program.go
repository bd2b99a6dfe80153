package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// SeenProgram is a program that has validated or checked a license lately: where it runs,
// in which version, and which of its instances was the last.
type SeenProgram struct {
	licensing.Caller
	At time.Time `json:"at"`
}
