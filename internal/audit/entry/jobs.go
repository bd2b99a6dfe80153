package entry

import "copyhold.dev/internal/licensing"

// A Job is the log's record of a job that was created or canceled.
type Job struct {
	Kind   licensing.JobKind `json:"kind"`
	DryRun bool              `json:"dry_run,omitempty"`
}

// A JobEnd is the log's record of a job that has ended, with what it did.
type JobEnd struct {
	Kind   licensing.JobKind   `json:"kind"`
	Status licensing.JobStatus `json:"status"`
	DryRun bool                `json:"dry_run,omitempty"`
	Total  int64               `json:"total"`
	Done   int64               `json:"done"`
	Failed int64               `json:"failed,omitempty"`
	Code   licensing.Code      `json:"code,omitempty"`
}
