package v1

import (
	"time"

	"copyhold.dev/internal/licensing"
)

// A Quarantine is rows of the log that can't have a place in the tree.
type Quarantine struct {
	Environment licensing.Env `json:"environment" doc:"That the rows name. It need not exist."`
	Cause       string        `json:"cause" enum:"unknown_environment,damaged" doc:"unknown_environment: they get their places when it is created. damaged: the row is gone, or its hashes are not those of its entries."`
	Rows        int64         `json:"rows"`
	Since       time.Time     `json:"since"`
}
