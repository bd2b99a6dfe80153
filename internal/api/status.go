package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	v1 "copyhold.dev/internal/v1"
)

// statusRoutes registers the state of an environment and explanations.
func (s *server) statusRoutes() {
	handle(s, route{ID: "status", Method: http.MethodGet, Path: "/v1/status", Tag: "status", Permission: access.StatusRead, Summary: "Show the state of an environment and the time until something is denied"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.StatusAnswer], error) {
			status, err := s.Authority.Status(ctx, p)
			return answered(v1.StatusAnswer{Status: status, Version: s.Version}, err)
		})
	handle(s, route{ID: "explain-request", Method: http.MethodGet, Path: "/v1/why/{request}", Tag: "status", Permission: access.Explain, Summary: "Explain what an id identifies, what was decided, and why",
		Description: "Accepts every id in an answer or a log: the id of a request (the program's own or the one in X-Request-Id), a license, a license key, a lease, a ticket, a usage event, or an entry of the log by its index or hash. Other ids are searched in the log if the token may read it."},
		func(ctx context.Context, p access.Principal, in *struct {
			Request string `path:"request" maxLength:"200"`
		}) (*reply[v1.Explained], error) {
			return answered(s.Authority.Explain(ctx, p, in.Request))
		})
}
