package v1

import "copyhold.dev/internal/audit"

// ConsistencyAnswer proves that the log only grew.
type ConsistencyAnswer struct {
	audit.Consistency
	Text string `json:"proof" doc:"The same proof in the form that C2SP witnesses receive"`
}
