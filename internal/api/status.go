package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority"
)

// StatusAnswer is how an environment and this server stand.
type StatusAnswer struct {
	authority.Status
	Version string `json:"version" doc:"Of this server"`
}

// statusRoutes registers what people ask first, and what they ask next.
func (s *server) statusRoutes() {
	handle(s, route{ID: "status", Method: http.MethodGet, Path: "/v1/status", Tag: "status", Permission: access.StatusRead, Summary: "How an environment stands, and how long until something is denied"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[StatusAnswer], error) {
			status, err := s.Authority.Status(ctx, p)
			return answered(StatusAnswer{status, s.Version}, err)
		})
	handle(s, route{ID: "explain-request", Method: http.MethodGet, Path: "/v1/why/{request}", Tag: "status", Permission: access.Explain, Summary: "Say what was decided on a request, and why"},
		func(ctx context.Context, p access.Principal, in *struct {
			Request string `path:"request" maxLength:"200"`
		}) (*reply[authority.ExplainedRequest], error) {
			return answered(s.Authority.ExplainRequest(ctx, p, in.Request))
		})
}
