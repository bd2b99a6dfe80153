// Package request contains what all requests to the authority share: ids, permissions, pages of a
// list, and limits on what a caller may send.
package request

import (
	"context"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
)

// CallPrefix begins the ids that the server gives to requests.
const CallPrefix = "req"

type callKey struct{}

// WithCall returns a context for one client request. Records made in this context name the request
// by id, which NewCall returned.
func WithCall(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, callKey{}, id)
}

// CallIn returns the id of the request that ctx belongs to, or "" if there is none.
func CallIn(ctx context.Context) string {
	id, _ := ctx.Value(callKey{}).(string)
	return id
}

const (
	// CallEarly is how far the records of a request can be dated before the time in its id, because
	// the clocks of servers differ.
	CallEarly = 2 * time.Minute
	// CallLate is how far they can be dated after it. An acquire waits for up to five minutes.
	CallLate = 10 * time.Minute
)

// CallSpan returns the times between which the request with an id was decided. ok is false if
// NewCall did not make the id.
func CallSpan(id string) (from, until time.Time, ok bool) {
	if !strings.HasPrefix(id, CallPrefix+"_") {
		return from, until, false
	}
	began, ok := licensing.IDTime(id)
	return began.Add(-CallEarly), began.Add(CallLate), ok
}
