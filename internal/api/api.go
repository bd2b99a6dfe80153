// Package api answers programs, people and systems over HTTP.
//
// It turns requests into calls of authority and their results into JSON. It
// decides nothing and keeps no state except rate limits. Every route declares the
// permission it needs, its class under overload and the limit of its body. The
// OpenAPI document is made from the same declarations.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/metrics"
)

// Config contains the parts of the API. Authority, Metrics, Log and Now are required.
type Config struct {
	Authority *authority.Authority
	Metrics   *metrics.Metrics
	Log       *slog.Logger
	Now       func() time.Time

	// Version is the server's version, for the OpenAPI document.
	Version string
	// Hosts are the names by which clients may reach the server, without port. IP
	// addresses and localhost are always accepted, because a name that an attacker
	// points at this server (DNS rebinding) is neither. "*" accepts all names.
	Hosts []string
	// Proxies are the addresses whose X-Forwarded-For is trusted.
	Proxies []netip.Prefix
	// Limits limit one caller, and all callers together.
	Limits Limits
}

// server is the API while it is built and while it serves.
type server struct {
	Config
	mux      *http.ServeMux
	huma     huma.API
	declared map[string]route // by pattern, "POST /v1/leases"
	faults   []error          // found while registering routes
	shedder  *shedder
	throttle *throttle
	held     *held
	wheel    *wheel
	scrapes  chan struct{} // one for each reader of the metrics
	buffers  buffers
	stopping context.Context // ends when the server stops
}

// New returns the API's handler. It fails if a route declares no permission.
func New(c Config) (*Handler, error) {
	if c.Authority == nil || c.Metrics == nil || c.Log == nil || c.Now == nil {
		return nil, errors.New("building the API: authority, metrics, log and clock are required")
	}
	c.Limits = c.Limits.withDefaults()
	s := &server{
		Config:   c,
		mux:      http.NewServeMux(),
		declared: map[string]route{},
		scrapes:  make(chan struct{}, maxScrapes),
		shedder:  newShedder(c.Limits.InFlight, c.Metrics),
		throttle: newThrottle(c.Limits, c.Metrics, c.Now),
		held:     newHeld(c.Limits.Held),
	}
	var stop context.CancelFunc
	s.stopping, stop = context.WithCancel(context.Background())
	s.wheel = newWheel(s.stopping)
	s.huma = humago.New(&guardedMux{s}, s.specification())
	for _, register := range s.routes() {
		register()
	}
	s.finishSpecification()
	s.mux.HandleFunc("/", s.notFound)
	if err := errors.Join(s.faults...); err != nil {
		stop()
		return nil, err
	}
	return &Handler{server: s, stop: stop, chain: s.observe(s.admit(s.mux))}, nil
}

// A Handler answers the API's requests.
type Handler struct {
	server *server
	stop   context.CancelFunc
	chain  http.Handler
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.chain.ServeHTTP(w, r) }

// Stop ends held requests and streams, so that a server can shut down. Waiting requests
// keep their place in the queue and are told to come back. Call it before
// http.Server.Shutdown.
func (h *Handler) Stop() { h.stop() }
