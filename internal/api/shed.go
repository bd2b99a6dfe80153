package api

import (
	"sync/atomic"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
)

// The classes of requests, for the table of routes.
const (
	administer = licensing.ClassAdminister
	acquire    = licensing.ClassAcquire
	usage      = licensing.ClassUsage
	renew      = licensing.ClassRenew
	release    = licensing.ClassRelease
	critical   = licensing.ClassCritical
)

// A shedder limits the requests that are worked on at the same time.
type shedder struct {
	limit   int64
	inside  atomic.Int64
	metrics *metrics.Metrics
}

func newShedder(limit int, m *metrics.Metrics) *shedder {
	return &shedder{limit: int64(limit), metrics: m}
}

// enter reports whether a request of class c may be worked on. If so, the caller must call
// leave when the request ends.
func (s *shedder) enter(c licensing.Class) bool {
	if s.inside.Add(1)*100 <= max(100, s.limit*int64(c.Share())) {
		return true
	}
	s.inside.Add(-1)
	s.metrics.Shed(c.String())
	return false
}

func (s *shedder) leave() { s.inside.Add(-1) }
