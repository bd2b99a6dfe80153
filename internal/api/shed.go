package api

import (
	"sync/atomic"

	"copyhold.dev/internal/metrics"
)

// A class says what a request is worth when not all can be served.
type class int

// The classes, from what is given up first to what is kept longest: a release
// frees a unit, a renewal keeps a customer at work.
const (
	administer class = iota
	acquire
	usage
	renew
	release
	critical // health and metrics: never refused
)

// String returns the name of c, as metrics label it.
func (c class) String() string {
	return [...]string{"administer", "acquire", "usage", "renew", "release", "critical"}[c]
}

// share is how full of work the server may be, in percent, for c still to enter.
func (c class) share() int64 {
	return [...]int64{50, 70, 80, 90, 100, 1000}[c]
}

// A shedder bounds the requests that are worked on at the same time.
type shedder struct {
	limit   int64
	inside  atomic.Int64
	metrics *metrics.Metrics
}

func newShedder(limit int, m *metrics.Metrics) *shedder {
	return &shedder{limit: int64(limit), metrics: m}
}

// enter reports whether a request of class c may be worked on; then leave has
// to be called after it.
func (s *shedder) enter(c class) bool {
	if s.inside.Add(1)*100 <= max(100, s.limit*c.share()) {
		return true
	}
	s.inside.Add(-1)
	s.metrics.Shed(c.String())
	return false
}

func (s *shedder) leave() { s.inside.Add(-1) }
