package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
)

// A call is the state of one request while it is answered.
type call struct {
	http.ResponseWriter

	id        string
	began     time.Time
	route     *route
	principal access.Principal
	address   string
	working   bool           // counts as work that the shedder limits
	status    int            // 0 until the answer begins
	code      licensing.Code // of the error answered, if any
	quiet     bool           // one of many refusals, not worth logging
	err       error          // for the log only, not for the caller
}

type callKey struct{}

// callOf returns the call that ctx belongs to. Outside a request it is empty.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// Unwrap lets http.ResponseController reach the connection.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (c *call) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *call) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.ResponseWriter.Write(b)
}

// observe gives every request an id, catches panics and writes the access log.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{ResponseWriter: w, id: s.Authority.NewCall(), began: s.Now(), address: s.address(r)}
		h := w.Header()
		h["X-Request-Id"] = []string{c.id}
		h["X-Content-Type-Options"] = noSniff()
		h["Cache-Control"] = noStore()
		defer func() {
			if caught := recover(); caught != nil {
				s.panicked(c, caught)
			}
			s.log(c, r)
		}()
		next.ServeHTTP(c, r.WithContext(context.WithValue(request.WithCall(r.Context(), c.id), callKey{}, c)))
	})
}

// The values are built for each call because a handler may replace them.
func noSniff() []string { return []string{"nosniff"} }
func noStore() []string { return []string{"no-store"} }

// panicked answers 500, unless the answer has begun. The process continues.
func (s *server) panicked(c *call, caught any) {
	if err, ok := caught.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) //nolint:forbidigo // this is how net/http cuts the connection
	}
	s.Metrics.Panic()
	s.Log.Error("panic while answering", "request", c.id, "panic", caught, "stack", string(debug.Stack()))
	if c.status != 0 {
		panic(http.ErrAbortHandler) //nolint:forbidigo // half an answer must not look complete
	}
	s.fail(c, newProblem(c, http.StatusInternalServerError, licensing.Internal,
		"internal error; the server's log has the details under the id in instance"))
}

// log writes one line for a request: internal errors as errors, refusals and
// administration as information, and everything else, the traffic of programs, only
// at the debug level. It never contains a credential, a query or a body.
func (s *server) log(c *call, r *http.Request) {
	level := slog.LevelDebug
	switch {
	case c.err != nil || c.status >= http.StatusInternalServerError && c.status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case c.quiet:
	case c.status == http.StatusUnauthorized || c.status == http.StatusForbidden:
		level = slog.LevelInfo
	case c.principal.Kind == access.KindToken && r.Method != http.MethodGet:
		level = slog.LevelInfo
	}
	if !s.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", c.id), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", c.status), slog.Duration("took", s.Now().Sub(c.began)), slog.String("address", c.address),
	}
	if c.principal.Actor != "" {
		attrs = append(attrs, slog.String("actor", c.principal.Actor), slog.String("environment", string(c.principal.Env)))
	}
	if c.code != "" {
		attrs = append(attrs, slog.String("code", string(c.code)))
	}
	if c.err != nil {
		attrs = append(attrs, slog.String("error", c.err.Error()))
	}
	s.Log.LogAttrs(r.Context(), level, "answered", attrs...)
}
