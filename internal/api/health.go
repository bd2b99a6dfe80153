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

// maxScrapes bounds how many read the metrics at once.
const maxScrapes = 4

// noModTime tells http.ServeContent that a text has no date of its own.
var noModTime time.Time

// healthRoutes registers what orchestrators and monitoring read.
func (s *server) healthRoutes() {
	serve(s, route{
		ID: "alive", Method: http.MethodGet, Path: "/healthz", Tag: "server", Permission: access.Public, Class: critical,
		Summary:     "Is the process alive?",
		Description: "Restart the process when this does not answer. It says nothing of the database: a restart would not help.",
	}, nil, []answer{{http.StatusOK, "It is.", v1.Health{}}},
		func(c *call, _ *http.Request, _ *none) error {
			s.writeJSON(c, http.StatusOK, "application/json", v1.Health{Status: "ok"})
			return nil
		})
	serve(s, route{
		ID: "ready", Method: http.MethodGet, Path: "/readyz", Tag: "server", Permission: access.Public, Class: critical,
		Summary:     "Can the server decide?",
		Description: "Send no traffic while this answers 503; `causes` says why. `warnings` can be there with either answer, for example while the clock is in doubt.",
	}, nil, []answer{{http.StatusOK, "It can.", v1.Health{}}, {http.StatusServiceUnavailable, "It cannot.", v1.Health{}}},
		func(c *call, req *http.Request, _ *none) error {
			h, status := v1.Health{Status: "ok"}, http.StatusOK
			if h.Causes, h.Warnings = s.causes(req); len(h.Causes) > 0 {
				h.Status, status = "unavailable", http.StatusServiceUnavailable
			}
			s.writeJSON(c, status, "application/json", h)
			return nil
		})
	r := route{ID: "metrics", Method: http.MethodGet, Path: "/metrics", Tag: "server", Permission: access.StatusRead, Class: critical,
		Summary: "Every instrument, in the formats Prometheus reads"}
	s.declare(r)
	op := s.operation(r)
	op.Responses["200"] = textResponse("Metrics")
	s.huma.OpenAPI().AddOperation(&op)
	all := MetricsHandler(s.Metrics)
	s.mux.Handle(r.pattern(), s.guard(r, func(w http.ResponseWriter, req *http.Request) {
		c := callOf(req.Context())
		if c.principal.Customer != "" || c.principal.Product != "" {
			s.fail(c, newProblem(c, http.StatusForbidden, licensing.Forbidden, "the metrics are for those who may see every customer and product"))
			return
		}
		if c.principal.Spans {
			s.scrape(w, req, all)
			return
		}
		s.scrape(w, req, metricsOf(s.Metrics.Of(string(c.principal.Env))))
	}))
}

// scrape lets few read metrics at once.
func (s *server) scrape(w http.ResponseWriter, req *http.Request, metrics http.Handler) {
	select {
	case s.scrapes <- struct{}{}:
		defer func() { <-s.scrapes }()
		metrics.ServeHTTP(w, req)
	default:
		c := callOf(req.Context())
		s.fail(c, newProblem(c, http.StatusServiceUnavailable, licensing.Unavailable, "others are reading the metrics; come back after Retry-After"))
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

// MetricsHandler answers with m to anyone: put it on a listener of its own,
// which only monitoring reaches. On the API's listener /metrics needs a token.
func MetricsHandler(m *metrics.Metrics) http.Handler {
	return metricsOf(m.Gatherer())
}

func metricsOf(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes})
}
