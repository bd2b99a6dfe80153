package v1

import (
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
)

// A Job is long work that the server does in the background.
type Job struct {
	ID             licensing.JobID       `json:"id"`
	Kind           licensing.JobKind     `json:"kind"`
	Status         licensing.JobStatus   `json:"status" enum:"receiving,queued,running,succeeded,failed,canceled"`
	DryRun         bool                  `json:"dry_run,omitempty" doc:"Whether the job changes nothing."`
	Phase          string                `json:"phase,omitempty" enum:"select,check,change" doc:"What the job does, or did last: select the licenses that match its filter, check all items, or change them."`
	Total          int64                 `json:"total" doc:"The number of items; 0 until it is known."`
	Done           int64                 `json:"done" doc:"The number of items processed in this phase, including failed ones."`
	Failed         int64                 `json:"failed" doc:"The number of items that failed."`
	Canceling      bool                  `json:"canceling,omitempty" doc:"Whether a caller has canceled the job, which is about to stop."`
	WaitsFor       licensing.JobID       `json:"waits_for,omitempty" doc:"The job that must end first, because both change licenses."`
	Error          *JobError             `json:"error,omitempty" doc:"Why the job failed."`
	Impact         *Impact               `json:"impact,omitempty" doc:"What plan files change; for jobs that compare or apply them, once they have ended. Lists of jobs omit it."`
	Reconciliation *audit.Reconciliation `json:"reconciliation,omitempty" doc:"The differences between rows and the log; for jobs that look for them, once they have ended. Lists of jobs omit it."`
	By             string                `json:"by" doc:"The caller that created the job."`
	CreatedAt      time.Time             `json:"created_at"`
	StartedAt      time.Time             `json:"started_at,omitzero"`
	EndedAt        time.Time             `json:"ended_at,omitzero"`
}

// A JobError is the reason why a job, or one of its items, failed.
type JobError struct {
	Code    licensing.Code `json:"code"`
	Message string         `json:"message"`
}

// A JobResult is what became of one item of a job.
type JobResult struct {
	Line       int                 `json:"line,omitempty" doc:"The line of the file; the header is line 1."`
	License    licensing.LicenseID `json:"license,omitempty"`
	Error      *JobError           `json:"error,omitempty" doc:"Why nothing was done for this item."`
	Importable *Importable         `json:"importable,omitempty" doc:"For a dry run of an import, the license that the line would become."`
}

// An ImportJobRequest imports the licenses and keys of another system, as an
// ImportRequest does, in the background. If the job's rows do not fit in one request,
// More leaves the job open for further rows.
type ImportJobRequest struct {
	ImportRequest
	JobPart
}

// A JobPart says which part of a file a request has.
type JobPart struct {
	FirstLine int  `json:"first_line,omitempty" minimum:"2" doc:"The line of the file at which the rows of this request begin. Default: 2, after the header."`
	More      bool `json:"more,omitempty" doc:"Whether further rows will be sent to the job before it runs."`
}

// JobRowsRequest sends further rows to a job. CSV has a header, as in the job's request.
type JobRowsRequest struct {
	CSV string `json:"csv"`
	JobPart
}
