package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// JobPath identifies a job.
type JobPath struct {
	ID licensing.JobID `path:"id" maxLength:"64"`
}

func (s *server) jobRoutes() {
	const tag, path = "job", "/v1/jobs"
	s.licenseBulkRoutes()
	handle(s, route{ID: "list-jobs", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.JobRead, Summary: "List jobs, latest first"},
		func(ctx context.Context, p access.Principal, in *struct {
			ListQuery
			Open bool `query:"open" doc:"Only jobs that have not ended"`
		}) (*reply[v1.List[v1.Job]], error) {
			return listed(s.Authority.Jobs.List(ctx, p, in.Open, in.page()))
		})
	handle(s, route{ID: "get-job", Method: http.MethodGet, Path: path + "/{id}", Tag: tag, Permission: access.JobRead, Summary: "Show a job and its progress"},
		func(ctx context.Context, p access.Principal, in *JobPath) (*reply[v1.Job], error) {
			return answered(s.Authority.Jobs.Show(ctx, p, in.ID))
		})
	handle(s, route{ID: "list-job-results", Method: http.MethodGet, Path: path + "/{id}/results", Tag: tag, Permission: access.JobRead,
		Summary: "List what became of each item of a job", Description: "While a job checks its items, only items that failed have a result, unless it is a dry run."},
		func(ctx context.Context, p access.Principal, in *struct {
			JobPath
			ListQuery
			Failed bool `query:"failed" doc:"Only items that failed"`
		}) (*reply[v1.List[v1.JobResult]], error) {
			return listed(s.Authority.Jobs.Results(ctx, p, in.ID, in.Failed, in.page()))
		})
	handle(s, route{ID: "cancel-job", Method: http.MethodPost, Path: path + "/{id}/cancel", Tag: tag, Permission: access.JobCancel,
		Summary: "Cancel a job", Description: "The caller needs the permission to create such a job. What the job has done so far stays done."},
		func(ctx context.Context, p access.Principal, in *JobPath) (*reply[v1.Job], error) {
			return answered(s.Authority.Jobs.Cancel(ctx, p, in.ID))
		})
	write(s, route{ID: "import-licenses-job", Method: http.MethodPost, Path: path + "/license-import", Tag: tag, Permission: access.LicenseIssue, Status: http.StatusAccepted,
		Body: importBody, Summary: "Import the licenses and keys of another system from CSV, in the background",
		Description: "All rows are checked first. If one has an error, nothing is imported unless partial is set. With `more`, send further rows to the job before it runs."},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Body v1.ImportJobRequest
		}) (*reply[v1.Job], error) {
			return answered(s.Authority.Jobs.Import(ctx, p, in.Body))
		})
	plans := func(id, kind, summary string, needed access.Permission, create func(context.Context, access.Principal, v1.ApplyRequest) (v1.Job, error)) {
		write(s, route{ID: id, Method: http.MethodPost, Path: path + "/" + kind, Tag: tag, Permission: needed, Status: http.StatusAccepted, Body: planBody, Summary: summary},
			func(ctx context.Context, p access.Principal, in *struct {
				Repeatable
				Body v1.ApplyRequest
			}) (*reply[v1.Job], error) {
				return answered(create(ctx, p, in.Body))
			})
	}
	plans("diff-plans-job", "plan-diff", "Show what plan files would change, in the background", access.PlanRead, s.Authority.Jobs.DiffPlans)
	plans("apply-plans-job", "plan-apply", "Make plan files the revisions in force, in the background", access.PlanApply, s.Authority.Jobs.ApplyPlans)
	write(s, route{ID: "reconcile-log-job", Method: http.MethodPost, Path: path + "/log-reconciliation", Tag: tag, Permission: access.AuditRead, Status: http.StatusAccepted,
		Summary: "Compare the stored rows with the log, in the background"},
		func(ctx context.Context, p access.Principal, _ *struct{ Repeatable }) (*reply[v1.Job], error) {
			return answered(s.Authority.Jobs.Reconcile(ctx, p))
		})
	write(s, route{ID: "add-job-rows", Method: http.MethodPost, Path: path + "/{id}/rows", Tag: tag, Permission: access.JobCancel, Status: http.StatusAccepted,
		Body: importBody, Summary: "Send further rows to a job that was created with more", Description: "Only the caller that created the job can do this."},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			JobPath
			Body v1.JobRowsRequest
		}) (*reply[v1.Job], error) {
			return answered(s.Authority.Jobs.AddRows(ctx, p, in.ID, in.Body))
		})
}
