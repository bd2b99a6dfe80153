// Package request holds what every request to the authority has in common: its id, its
// permission, the pages of a list, and the bounds of what a caller sends.
package request

import (
	"context"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
)

// CallPrefix begins the server's own ids of requests.
const CallPrefix = "req"

type callKey struct{}

// WithCall returns a context for one request of a client. What is recorded in it
// names the request by id, which NewCall made.
func WithCall(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, callKey{}, id)
}

// CallIn returns the id of the request that ctx belongs to, "" for none.
func CallIn(ctx context.Context) string {
	id, _ := ctx.Value(callKey{}).(string)
	return id
}

const (
	// CallEarly is how much earlier than an id's time something of its request can be
	// dated, because servers' clocks differ.
	CallEarly = 2 * time.Minute
	// CallLate is how much later: an acquire waits for up to five minutes.
	CallLate = 10 * time.Minute
)

// CallSpan returns the times between which the request of an id was decided; false
// if the id is none that NewCall made.
func CallSpan(id string) (from, until time.Time, ok bool) {
	if !strings.HasPrefix(id, CallPrefix+"_") {
		return from, until, false
	}
	began, ok := licensing.IDTime(id)
	return began.Add(-CallEarly), began.Add(CallLate), ok
}
