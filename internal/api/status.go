package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	v1 "copyhold.dev/internal/v1"
)

// statusRoutes registers what people ask first, and what they ask next.
func (s *server) statusRoutes() {
	handle(s, route{ID: "status", Method: http.MethodGet, Path: "/v1/status", Tag: "status", Permission: access.StatusRead, Summary: "How an environment stands, and how long until something is denied"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.StatusAnswer], error) {
			status, err := s.Authority.Status(ctx, p)
			return answered(v1.StatusAnswer{Status: status, Version: s.Version}, err)
		})
	handle(s, route{ID: "explain-request", Method: http.MethodGet, Path: "/v1/why/{request}", Tag: "status", Permission: access.Explain, Summary: "Say what an id stands for, what was decided, and why",
		Description: "Takes every id that an answer or a log shows: of a request (the name that its program gave it, or the id in X-Request-Id), a license, a license key, a lease, a ticket, a usage event, and an entry of the log by its index or hash. Other ids are looked for in the log, for tokens that may read it."},
		func(ctx context.Context, p access.Principal, in *struct {
			Request string `path:"request" maxLength:"200"`
		}) (*reply[v1.Explained], error) {
			return answered(s.Authority.Explain(ctx, p, in.Request))
		})
}
