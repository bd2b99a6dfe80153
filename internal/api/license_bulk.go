package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// licenseBulkRoutes registers the jobs that change many licenses.
func (s *server) licenseBulkRoutes() {
	bulkRoute(s, licensing.JobExtend, access.LicenseExtend, "Extend many licenses", s.Authority.Jobs.Extend)
	bulkRoute(s, licensing.JobRenew, access.LicenseRenew, "Add a term to many licenses", s.Authority.Jobs.Renew)
	bulkRoute(s, licensing.JobSuspend, access.LicenseSuspend, "Suspend many licenses", s.Authority.Jobs.Suspend)
	bulkRoute(s, licensing.JobReinstate, access.LicenseSuspend, "Reinstate many licenses", s.Authority.Jobs.Reinstate)
}

func bulkRoute[B any](s *server, kind licensing.JobKind, needs access.Permission, summary string, create func(context.Context, access.Principal, B) (v1.Job, error)) {
	write(s, route{ID: string(kind) + "-job", Method: http.MethodPost, Path: "/v1/jobs/" + string(kind), Tag: "job", Permission: needs, Status: http.StatusAccepted,
		Body: importBody, Summary: summary + ", in the background",
		Description: "The licenses are selected by a filter or by CSV. All are checked first. If one has an error, none is changed unless partial is set. Licenses that are issued after the job was created are not selected by a filter."},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Body B
		}) (*reply[v1.Job], error) {
			return answered(create(ctx, p, in.Body))
		})
}
