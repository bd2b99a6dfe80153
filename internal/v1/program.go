package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// SeenProgram is a program that has recently validated or checked a license: where it runs,
// its version, and which of its instances was the last.
type SeenProgram struct {
	licensing.Caller
	At time.Time `json:"at"`
}
