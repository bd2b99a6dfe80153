package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// routes lists the functions that register the API's routes, one for each noun.
func (s *server) routes() []func() {
	return []func(){
		s.healthRoutes, s.keySetRoutes, s.validateRoutes, s.ownLicenseRoutes, s.checkRoutes, s.leaseRoutes, s.usageRoutes, s.auditRoutes, s.signingKeyRoutes, s.backupRoutes, s.fenceRoutes,
		s.environmentRoutes, s.productRoutes, s.planRoutes, s.customerRoutes,
		s.licenseRoutes, s.licenseKeyRoutes, s.jobRoutes, s.tokenRoutes, s.statusRoutes, s.leaseListRoutes,
	}
}

// Limits of request bodies in bytes.
const (
	programBody = 64 << 10
	adminBody   = 1 << 20
	importBody  = 8 << 20
)

// A route declares one operation. ID, Method, Path, Summary, Tag and Permission
// are required.
type route struct {
	ID          string // unique, in kebab case, for example "acquire-lease"
	Method      string
	Path        string // for example "/v1/leases/{id}"
	Summary     string // one line
	Description string // more, in Markdown
	Tag         string // the noun it belongs to
	Permission  access.Permission
	Or          access.Permission // an alternative permission; empty for none
	Class       licensing.Class   // zero: administer
	Body        int64             // limit in bytes; zero: 1 MiB
	Status      int               // of success; zero: 200, or 204 without a body
	Held        bool              // may be held open: excluded from latency, requests in flight and the write timeout
	Closed      bool              // also works after a final backup has closed the database
}

func (r route) pattern() string { return r.Method + " " + r.Path }

// declare records r, or the fault that prevents a start.
func (s *server) declare(r route) {
	switch {
	case r.ID == "" || r.Summary == "" || r.Tag == "":
		s.fault("route %s declares no id, summary or tag", r.pattern())
	case r.Permission == "":
		s.fault("route %s declares no permission", r.pattern())
	case !exists(r.Permission) || r.Or != "" && !exists(r.Or):
		s.fault("route %s declares a permission that does not exist: %s %s", r.pattern(), r.Permission, r.Or)
	}
	if r.Body == 0 {
		r.Body = adminBody
	}
	s.declared[r.pattern()] = r
}

func exists(p access.Permission) bool {
	return p == access.Public || p == access.LicenseKey || slices.Contains(access.Permissions(), p)
}

func (s *server) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Errorf("building the API: "+format, args...))
}

// handle registers fn for r. I contains parameters (path, query and header tags)
// and Body, which are checked against their schema. O contains Body, and Status
// if the answer's status differs. Unknown members of a body are refused.
func handle[I, O any](s *server, r route, fn func(ctx context.Context, p access.Principal, in *I) (*O, error)) {
	s.declare(r)
	op := s.operation(r)
	op.MaxBodyBytes = s.declared[r.pattern()].Body + 1 // huma refuses a body that reaches the bound
	op.BodyReadTimeout = -1                            // the server's own read timeout applies
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		c := callOf(ctx)
		out, err := fn(ctx, c.principal, in)
		if err != nil {
			return nil, s.problem(c, err)
		}
		return out, nil
	})
}

// guardedMux registers routes for huma. A pattern that was not declared is a fault.
type guardedMux struct{ s *server }

// HandleFunc implements humago.Mux.
func (m *guardedMux) HandleFunc(pattern string, fn func(http.ResponseWriter, *http.Request)) {
	r, declared := m.s.declared[pattern]
	if !declared {
		m.s.fault("route %s was registered without a declaration", pattern)
		return
	}
	m.s.mux.Handle(pattern, m.s.guard(r, fn))
}

// ServeHTTP implements humago.Mux.
func (m *guardedMux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.s.mux.ServeHTTP(w, r) }
