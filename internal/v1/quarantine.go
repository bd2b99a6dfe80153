package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Quarantine is rows of the log that cannot get a place in the tree.
type Quarantine struct {
	Environment licensing.Env `json:"environment" doc:"The environment that the rows name. It may not exist."`
	Cause       string        `json:"cause" enum:"unknown_environment,damaged" doc:"unknown_environment: the rows are assigned positions when the environment is created. damaged: the row is missing, or its hashes do not match its entries."`
	Rows        int64         `json:"rows"`
	Since       time.Time     `json:"since"`
}
