package licensing

import "time"

// A JobKind is a kind of long work that the server does in the background.
type JobKind string

// The kinds of jobs.
const (
	JobImport    JobKind = "license-import"
	JobPlanDiff  JobKind = "plan-diff"
	JobPlanApply JobKind = "plan-apply"
	JobReconcile JobKind = "log-reconciliation"

	JobExtend    JobKind = "license-extend"
	JobRenew     JobKind = "license-renew"
	JobSuspend   JobKind = "license-suspend"
	JobReinstate JobKind = "license-reinstate"
)

// A JobStatus is the state of a job.
type JobStatus string

// The states of a job. The last three are final.
const (
	JobReceiving JobStatus = "receiving" // more items will be sent
	JobQueued    JobStatus = "queued"
	JobRunning   JobStatus = "running"
	JobSucceeded JobStatus = "succeeded"
	JobFailed    JobStatus = "failed"
	JobStopped   JobStatus = "canceled"
)

// Ended reports whether a job in state s will not do anything more.
func (s JobStatus) Ended() bool { return s != JobReceiving && s != JobQueued && s != JobRunning }

const (
	// JobChunk is how long one transaction of a job works. Requests for leases wait no longer than
	// that for the database.
	JobChunk = 8 * time.Millisecond
	// JobClaim is how long a server that runs a job has it for itself. Another server continues the
	// job if the first one has not renewed its claim by then.
	JobClaim = 15 * time.Second
	// JobReceives is how long a job waits for more items. It is canceled if none were sent for that
	// long.
	JobReceives = time.Hour
	// JobsKept is how long jobs and their results are kept after their end.
	JobsKept = 30 * 24 * time.Hour
)
