package api

import (
	"mime"
	"net/http"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// guard wraps the handler of a route in what every route needs, in the order of
// cost: overload, kind of body, who is asking, whether they may.
func (s *server) guard(r route, next http.HandlerFunc) http.Handler {
	instruments := s.Metrics.Operation(r.ID, r.Class.String())
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := callOf(req.Context())
		c.route = &r
		if !r.Held {
			if !s.shedder.enter(r.Class) {
				s.fail(c, newProblem(c, http.StatusServiceUnavailable, licensing.Unavailable,
					"the server is overloaded and serves what matters more first; come back after Retry-After"))
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

// admitClosed refuses what a closed database must not answer: writes, and
// programs, for whom another server signs now.
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

// admitBody refuses a body that is not JSON, is compressed, or announces to be too large.
func (s *server) admitBody(c *call, req *http.Request) *Problem {
	if req.ContentLength > c.route.Body {
		return newProblem(c, http.StatusRequestEntityTooLarge, licensing.TooLarge, "the body is larger than this operation takes")
	}
	if req.ContentLength == 0 || req.Method == http.MethodGet || req.Method == http.MethodHead {
		return nil
	}
	if coding := req.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		c.Header().Set("Accept-Encoding", "identity")
		return newProblem(c, http.StatusUnsupportedMediaType, licensing.Invalid, "send the body as it is, without Content-Encoding")
	}
	kind := req.Header.Get("Content-Type")
	if kind == "application/json" {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(kind); err != nil || kind != "application/json" {
		return newProblem(c, http.StatusUnsupportedMediaType, licensing.Invalid, "send the body as Content-Type: application/json")
	}
	return nil
}

// identify finds out who is asking and whether they may.
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
		return s.throttled(c, wait, "this credential asks too often")
	}
	return nil
}

// rest ends the call's part in the work that the shedder bounds: it has ended,
// or only waits.
func (c *call) rest(s *shedder) {
	if c.working {
		s.leave()
	}
	c.working = false
}

// fail answers a problem, unless an answer has begun.
func (s *server) fail(c *call, p *Problem) {
	c.code = p.Code
	if c.status != 0 {
		return
	}
	p.header(c.Header())
	s.writeJSON(c, p.Status, problemType, p)
}

// notFound answers what no route takes: 405 when another method would be.
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
		s.fail(c, newProblem(c, http.StatusMethodNotAllowed, licensing.Invalid, "this path does not take the method; Allow says which it does"))
		return
	}
	s.fail(c, newProblem(c, http.StatusNotFound, licensing.NotFound, "there is no such path; GET /openapi.json lists all"))
}
