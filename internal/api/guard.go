package api

import (
	"mime"
	"net/http"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// guard wraps the handler of a route in the checks that every route needs, cheapest
// first: overload, kind of body, the caller's identity, the caller's rights.
func (s *server) guard(r route, next http.HandlerFunc) http.Handler {
	instruments := s.Metrics.Operation(r.ID, r.Class.String())
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := callOf(req.Context())
		c.route = &r
		if !r.Held {
			if !s.shedder.enter(r.Class) {
				s.fail(c, newProblem(c, http.StatusServiceUnavailable, licensing.Unavailable,
					"the server is overloaded and is shedding lower-priority requests; retry after the time in Retry-After"))
				return
			}
			c.working = true
			defer c.rest(s.shedder)
		}
		instruments.Begin()
		defer func() {
			took := time.Duration(0)
			if c.working {
				took = s.Now().Sub(c.began)
			}
			instruments.End(c.status, took)
		}()
		if p := s.admitBody(c, req); p != nil {
			s.fail(c, p)
			return
		}
		if p := s.identify(c, req); p != nil {
			s.fail(c, p)
			return
		}
		if p := s.admitClosed(c, req); p != nil {
			s.fail(c, p)
			return
		}
		next(w, req)
	})
}

// admitClosed refuses requests that a closed database must not answer: writes, and
// those of programs, because another server signs for them now.
func (s *server) admitClosed(c *call, req *http.Request) *Problem {
	reads := req.Method == http.MethodGet && c.route.Permission != access.LicenseKey
	if reads || c.route.Closed || c.route.Permission == access.Public {
		return nil
	}
	if err := s.Authority.Closed(); err != nil {
		return s.problem(c, err)
	}
	return nil
}

// admitBody refuses a body that is not JSON, is compressed, or has a Content-Length that is too large.
func (s *server) admitBody(c *call, req *http.Request) *Problem {
	if req.ContentLength > c.route.Body {
		return newProblem(c, http.StatusRequestEntityTooLarge, licensing.TooLarge, "the body is larger than this operation accepts")
	}
	if req.ContentLength == 0 || req.Method == http.MethodGet || req.Method == http.MethodHead {
		return nil
	}
	if coding := req.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		c.Header().Set("Accept-Encoding", "identity")
		return newProblem(c, http.StatusUnsupportedMediaType, licensing.Invalid, "Content-Encoding is not supported; send the body uncompressed")
	}
	kind := req.Header.Get("Content-Type")
	if kind == "application/json" {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(kind); err != nil || kind != "application/json" {
		return newProblem(c, http.StatusUnsupportedMediaType, licensing.Invalid, "send the body with Content-Type: application/json")
	}
	return nil
}

// identify finds the caller of a request and checks its rights.
func (s *server) identify(c *call, req *http.Request) *Problem {
	if c.route.Permission == access.Public {
		return nil
	}
	p, problem := s.authenticate(c, req)
	if problem != nil {
		return problem
	}
	if key := req.Header.Get("Idempotency-Key"); key != "" && p.Kind == access.KindToken {
		p.Once = access.Once{Route: c.route.pattern(), Key: key}
	}
	c.principal = p
	if err := p.Require(c.route.Permission); err != nil && (c.route.Or == "" || !p.May(c.route.Or)) {
		return s.problem(c, err)
	}
	if wait, ok := s.throttle.credential(p); !ok {
		return s.throttled(c, wait, "this credential sends too many requests")
	}
	return nil
}

// rest ends the call's share of the work that the shedder limits, because the call has ended
// or only waits.
func (c *call) rest(s *shedder) {
	if c.working {
		s.leave()
	}
	c.working = false
}

// fail answers with a problem, unless an answer has begun.
func (s *server) fail(c *call, p *Problem) {
	c.code = p.Code
	if c.status != 0 {
		return
	}
	p.header(c.Header())
	s.writeJSON(c, p.Status, problemType, p)
}

// notFound answers requests that match no route: 405 if another method would match.
func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	c := callOf(r.Context())
	other := r.Clone(r.Context())
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" && method != r.Method {
			w.Header().Add("Allow", method)
		}
	}
	if w.Header().Get("Allow") != "" {
		s.fail(c, newProblem(c, http.StatusMethodNotAllowed, licensing.Invalid, "this path does not support the method; the Allow header lists the supported ones"))
		return
	}
	s.fail(c, newProblem(c, http.StatusNotFound, licensing.NotFound, "the path does not exist; GET /openapi.json lists all paths"))
}
