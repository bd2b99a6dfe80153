package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

const problemType = "application/problem+json"

// statusOf is the only map from codes to HTTP statuses.
func statusOf(code licensing.Code) int {
	switch code {
	case licensing.Invalid:
		return http.StatusUnprocessableEntity
	case licensing.Unauthenticated:
		return http.StatusUnauthorized
	case licensing.Forbidden:
		return http.StatusForbidden
	case licensing.NotFound:
		return http.StatusNotFound
	case licensing.Conflict, licensing.Exists:
		return http.StatusConflict
	case licensing.IdempotencyMismatch:
		return http.StatusUnprocessableEntity
	case licensing.Gone:
		return http.StatusGone
	case licensing.TooLarge:
		return http.StatusRequestEntityTooLarge
	case licensing.RateLimited:
		return http.StatusTooManyRequests
	case licensing.Unavailable, licensing.OutcomeUnknown:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// codeOf returns the code for an error that only HTTP knows.
func codeOf(status int) licensing.Code {
	switch status {
	case http.StatusUnauthorized:
		return licensing.Unauthenticated
	case http.StatusForbidden, http.StatusMisdirectedRequest:
		return licensing.Forbidden
	case http.StatusNotFound:
		return licensing.NotFound
	case http.StatusRequestEntityTooLarge:
		return licensing.TooLarge
	case http.StatusTooManyRequests:
		return licensing.RateLimited
	case http.StatusRequestTimeout, http.StatusServiceUnavailable:
		return licensing.Unavailable
	}
	if status >= http.StatusInternalServerError {
		return licensing.Internal
	}
	return licensing.Invalid
}

// A Problem is a v1.Problem with the values for its headers.
type Problem struct {
	v1.Problem
	retryAfter time.Duration
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	p.header(h)
	return h
}

func (p *Problem) header(h http.Header) {
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="copyhold", License realm="copyhold"`)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.retryAfter+time.Second-1)/time.Second)))
	}
}

// newProblem returns a problem of c with a detail.
func newProblem(c *call, status int, code licensing.Code, detail string) *Problem {
	p := &Problem{Problem: v1.Problem{
		Type: "urn:copyhold:problem:" + string(code), Title: http.StatusText(status), Status: status, Detail: detail, Code: code,
	}}
	if c != nil {
		p.Instance = "urn:copyhold:request:" + c.id
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		p.retryAfter = jittered(time.Second)
	}
	return p
}

// problem turns an error of the authority into an answer. The text of an internal
// error stays in the log.
func (s *server) problem(c *call, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return newProblem(c, http.StatusServiceUnavailable, licensing.Unavailable, "the request was abandoned before it was answered")
	}
	code := licensing.CodeOf(err)
	c.code = code
	if code == licensing.Internal {
		c.err = err
		return newProblem(c, http.StatusInternalServerError, code, "internal error; the server's log has the details under the id in instance")
	}
	if code == licensing.Unavailable || code == licensing.OutcomeUnknown {
		c.err = err
	}
	var known *licensing.Error
	errors.As(err, &known)
	p = newProblem(c, statusOf(code), code, known.Message)
	p.Field = known.Field
	if known.Retry > 0 {
		p.retryAfter = known.Retry
	}
	return p
}

// cleanError turns the faults that huma found in a request into a Problem that
// repeats nothing of the request.
func (s *server) cleanError(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	detail := m.Detail
	for i, e := range m.Errors {
		if i == 8 {
			detail += "; and more"
			break
		}
		detail += "; " + harmless(e)
	}
	p := newProblem(callOf(ctx.Context()), m.Status, codeOf(m.Status), detail)
	if len(m.Errors) == 1 && m.Errors[0].Message != unexpected {
		_, p.Field, _ = strings.Cut(m.Errors[0].Location, ".") // after body, query, path or header
	}
	for name, values := range p.GetHeaders() {
		ctx.SetHeader(name, values[0])
	}
	return p, nil
}

// jittered returns between once and twice d, so that callers that were refused
// together do not return together.
func jittered(d time.Duration) time.Duration {
	return d + rand.N(d+1) //nolint:gosec // spreads load, guards nothing
}
