package api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	v1 "copyhold.dev/internal/v1"
)

// maxScrapes is how many callers can read the metrics at once.
const maxScrapes = 4

// noModTime tells http.ServeContent that a text has no date of its own.
var noModTime time.Time

// healthRoutes registers the routes for orchestrators and monitoring.
func (s *server) healthRoutes() {
	serve(s, route{
		ID: "alive", Method: http.MethodGet, Path: "/healthz", Tag: "server", Permission: access.Public, Class: critical,
		Summary:     "Report whether the process is alive",
		Description: "Restart the process if this does not answer. It does not check the database, because a restart would not help with that.",
	}, nil, []answer{{http.StatusOK, "The process is alive", v1.Health{}}},
		func(c *call, _ *http.Request, _ *none) error {
			s.writeJSON(c, http.StatusOK, "application/json", v1.Health{Status: "ok"})
			return nil
		})
	serve(s, route{
		ID: "ready", Method: http.MethodGet, Path: "/readyz", Tag: "server", Permission: access.Public, Class: critical,
		Summary:     "Report whether the server can make decisions",
		Description: "Send no traffic while this answers 503; `causes` has the reasons. Either answer can contain `warnings`, for example while the clock is in doubt.",
	}, nil, []answer{{http.StatusOK, "The server can make decisions", v1.Health{}}, {http.StatusServiceUnavailable, "The server cannot make decisions", v1.Health{}}},
		func(c *call, req *http.Request, _ *none) error {
			h, status := v1.Health{Status: "ok"}, http.StatusOK
			if h.Causes, h.Warnings = s.causes(req); len(h.Causes) > 0 {
				h.Status, status = "unavailable", http.StatusServiceUnavailable
			}
			s.writeJSON(c, status, "application/json", h)
			return nil
		})
	r := route{ID: "metrics", Method: http.MethodGet, Path: "/metrics", Tag: "server", Permission: access.StatusRead, Class: critical,
		Summary: "Read all metrics in Prometheus formats"}
	s.declare(r)
	op := s.operation(r)
	op.Responses["200"] = textResponse("Metrics")
	s.huma.OpenAPI().AddOperation(&op)
	all := MetricsHandler(s.Metrics)
	s.mux.Handle(r.pattern(), s.guard(r, func(w http.ResponseWriter, req *http.Request) {
		c := callOf(req.Context())
		if c.principal.Customer != "" || c.principal.Product != "" {
			s.fail(c, newProblem(c, http.StatusForbidden, licensing.Forbidden, "metrics require a token without a customer or product limit"))
			return
		}
		if c.principal.Spans {
			s.scrape(w, req, all)
			return
		}
		s.scrape(w, req, metricsOf(s.Metrics.Of(string(c.principal.Env))))
	}))
}

// scrape lets only a few callers read metrics at once.
func (s *server) scrape(w http.ResponseWriter, req *http.Request, metrics http.Handler) {
	select {
	case s.scrapes <- struct{}{}:
		defer func() { <-s.scrapes }()
		metrics.ServeHTTP(w, req)
	default:
		c := callOf(req.Context())
		s.fail(c, newProblem(c, http.StatusServiceUnavailable, licensing.Unavailable, "too many callers are reading the metrics; retry after the time in Retry-After"))
	}
}

func (s *server) causes(req *http.Request) (causes, warnings []string) {
	if s.stopping.Err() != nil {
		causes = append(causes, "the server is stopping")
	}
	warnings, err := s.Authority.Ready(req.Context())
	if err != nil {
		causes = append(causes, err.Error())
	}
	return causes, warnings
}

// MetricsHandler serves m without authentication. Put it on a separate listener
// that only monitoring can reach. On the API's listener, /metrics needs a token.
func MetricsHandler(m *metrics.Metrics) http.Handler {
	return metricsOf(m.Gatherer())
}

func metricsOf(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes})
}
