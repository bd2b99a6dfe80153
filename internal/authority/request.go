package authority

import (
	"context"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
)

// callPrefix begins the server's own ids of requests.
const callPrefix = "req"

type callKey struct{}

// WithCall returns a context for one request of a client. What is recorded in it
// names the request by id, which NewCall made.
func WithCall(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, callKey{}, id)
}

// callIn returns the id of the request that ctx belongs to, "" for none.
func callIn(ctx context.Context) string {
	id, _ := ctx.Value(callKey{}).(string)
	return id
}

// NewCall returns the id of a request that begins now. The id holds this time, so
// what the request left is found without an index of ids. It is safe for concurrent use.
func (a *Authority) NewCall() string { return newID(callPrefix, a.db.Latest()) }

const (
	// callEarly is how much earlier than an id's time something of its request can be
	// dated, because servers' clocks differ.
	callEarly = 2 * time.Minute
	// callLate is how much later: an acquire waits for up to five minutes.
	callLate = 10 * time.Minute
)

// callSpan returns the times between which the request of an id was decided; false
// if the id is none that NewCall made.
func callSpan(id string) (from, until time.Time, ok bool) {
	if !strings.HasPrefix(id, callPrefix+"_") {
		return from, until, false
	}
	began, ok := licensing.IDTime(id)
	return began.Add(-callEarly), began.Add(callLate), ok
}
