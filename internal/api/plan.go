package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	v1 "copyhold.dev/internal/v1"
)

// planBody is the maximum size of the plan files in one request.
const planBody = 8 << 20

func (s *server) planRoutes() {
	const tag, path = "plan", "/v1/plans"
	handle(s, route{ID: "lint-plans", Method: http.MethodPost, Path: path + "/lint", Tag: tag, Permission: access.PlanRead, Body: planBody, Summary: "Check plan files without changing anything"},
		func(ctx context.Context, p access.Principal, in *struct{ Body v1.FilesBody }) (*reply[v1.LintAnswer], error) {
			findings, err := s.Authority.LintPlans(ctx, p, in.Body.Files)
			return answered(v1.LintAnswer{OK: !policy.HasErrors(findings), Findings: append([]policy.Finding{}, findings...)}, err)
		})
	handle(s, route{ID: "diff-plans", Method: http.MethodPost, Path: path + "/diff", Tag: tag, Permission: access.PlanRead, Body: planBody, Summary: "Show what plan files would change, and for which licenses"},
		func(ctx context.Context, p access.Principal, in *struct{ Body v1.ApplyRequest }) (*reply[v1.Impact], error) {
			in.Body.DryRun = true
			return answered(s.Authority.ApplyPlans(ctx, p, in.Body))
		})
	handle(s, route{ID: "apply-plans", Method: http.MethodPost, Path: path, Tag: tag, Permission: access.PlanApply, Body: planBody, Summary: "Make plan files the revisions in force",
		Description: "Returns which licenses gain and which lose. With `dry_run` nothing is changed. Applying the same files again changes nothing."},
		func(ctx context.Context, p access.Principal, in *struct{ Body v1.ApplyRequest }) (*reply[v1.Impact], error) {
			return answered(s.Authority.ApplyPlans(ctx, p, in.Body))
		})
	handle(s, route{ID: "list-plans", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.PlanRead, Summary: "List plans and their revisions in force"},
		func(ctx context.Context, p access.Principal, in *struct {
			ListQuery
			Product licensing.ProductName `query:"product" maxLength:"64"`
		}) (*reply[v1.List[v1.PlanSummary]], error) {
			return listed(s.Authority.Plans(ctx, p, in.Product, in.page()))
		})
	handle(s, route{ID: "get-plan", Method: http.MethodGet, Path: path + "/{plan}", Tag: tag, Permission: access.PlanRead, Summary: "Show the revision of a plan that is in force, or another one"},
		func(ctx context.Context, p access.Principal, in *struct {
			Plan     licensing.PlanName   `path:"plan" maxLength:"64"`
			Revision licensing.RevisionID `query:"revision" maxLength:"64"`
		}) (*reply[v1.PlanDetail], error) {
			return answered(s.Authority.Plan(ctx, p, in.Plan, in.Revision))
		})
}
