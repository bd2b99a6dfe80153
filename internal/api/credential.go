package api

import (
	"net/http"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// prefixLength is the part of a credential that identifies the key or token that somebody
// tries to guess: scheme, kind and the public part of a license key.
const prefixLength = len("License CH-AAAAA")

// authenticate finds the owner of the credential in req. A credential that the server
// remembers is never throttled because of the bad ones of others. An unknown one is
// looked up only while its address and its prefix have failures left, so that
// guessing burdens neither the database nor other callers.
func (s *server) authenticate(c *call, req *http.Request) (access.Principal, *Problem) {
	authorization := req.Header.Get("Authorization")
	prefix := authorization[:min(len(authorization), prefixLength)]
	var throttled *Problem
	p, err := s.Authority.Authenticate(req.Context(), authorization, licensing.Env(req.Header.Get("Copyhold-Environment")), func() error {
		wait, ok := s.throttle.mayTry(c.address, prefix)
		if !ok {
			throttled = s.throttled(c, wait, "too many invalid credentials; try again later")
			return throttled
		}
		return nil
	})
	switch {
	case throttled != nil:
		return p, throttled
	case err == nil:
		return p, nil
	case licensing.CodeOf(err) == licensing.Unauthenticated:
		c.quiet = s.throttle.failed(c.address, prefix)
	}
	return p, s.problem(c, err)
}

func (s *server) throttled(c *call, wait time.Duration, detail string) *Problem {
	p := newProblem(c, http.StatusTooManyRequests, licensing.RateLimited, detail)
	p.retryAfter = jittered(max(wait, time.Second))
	return p
}
