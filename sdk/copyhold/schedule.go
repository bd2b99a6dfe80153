package copyhold

import (
	"math/rand/v2"
	"time"

	"copyhold.dev/sdk/license"
)

const (
	retryFloor = 30 * time.Second
	retryLimit = 10 * time.Minute
)

// A schedule determines when to send the next request of a kind. The point is in effective time,
// like signed dates. Everything else is on the boot clock.
type schedule struct {
	point    int64         // unix seconds; 0 means never
	hurry    time.Duration // from this time on it is due, whatever the point; 0 means none
	wait     time.Duration // it is not due before this time
	failures int           // in a row
}

// between picks a random point in a document's window, so that many clients spread over the window.
func (s *schedule) between(window [2]int64) {
	*s = schedule{point: window[0] + rand.Int64N(window[1]-window[0]+1)}
}

func (s *schedule) due(now int64, boot time.Duration) bool {
	if boot < s.wait {
		return false
	}
	return s.point != 0 && now >= s.point || s.hurry != 0 && boot >= s.hurry
}

// hasten makes the request due at the given boot-clock time at the latest.
func (s *schedule) hasten(at time.Duration) {
	if at = max(at, 1); s.hurry == 0 || at < s.hurry {
		s.hurry = at
	}
}

// failed postpones the next attempt: by at least floor, by full jitter that doubles up to limit,
// and by as long as the servers asked for.
func (s *schedule) failed(boot, floor, limit, asked time.Duration) {
	spread := min(floor<<min(s.failures, 20), limit)
	s.failures++
	s.wait = boot + max(floor+rand.N(max(spread, 1)), asked)
	s.hasten(s.wait)
}

// pace returns how fast to retry for a document: slowly if it lasts days, and often enough to
// matter if it lasts seconds.
func pace(c license.Claims, d license.Dates) (floor, limit time.Duration) {
	span := time.Duration(d.Stale-c.IssuedAt) * time.Second
	floor = min(max(span/20, time.Second), retryFloor)
	return floor, min(max(span/4, floor), retryLimit)
}
