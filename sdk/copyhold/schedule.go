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

// A schedule says when something is to be asked of the server next. A point lies in
// effective time, which signed dates are in; all else on the boot clock.
type schedule struct {
	point    int64         // unix seconds; 0 never
	hurry    time.Duration // do it from then on, whatever the point; 0 none
	wait     time.Duration // not before
	failures int           // in a row
}

// between chooses a point in a document's window, so that many clients spread over it.
func (s *schedule) between(window [2]int64) {
	*s = schedule{point: window[0] + rand.Int64N(window[1]-window[0]+1)}
}

func (s *schedule) due(now int64, boot time.Duration) bool {
	if boot < s.wait {
		return false
	}
	return s.point != 0 && now >= s.point || s.hurry != 0 && boot >= s.hurry
}

// hasten asks for it at the given time on the boot clock, at the latest.
func (s *schedule) hasten(at time.Duration) {
	if at = max(at, 1); s.hurry == 0 || at < s.hurry {
		s.hurry = at
	}
}

// failed puts it off: at least by floor, with full jitter that doubles up to limit, and by
// what the servers asked for.
func (s *schedule) failed(boot, floor, limit, asked time.Duration) {
	spread := min(floor<<min(s.failures, 20), limit)
	s.failures++
	s.wait = boot + max(floor+rand.N(max(spread, 1)), asked)
	s.hasten(s.wait)
}

// pace returns how fast to retry for a document: slowly for one that lasts days, and
// often enough to matter for one that lasts seconds.
func pace(c license.Claims, d license.Dates) (floor, limit time.Duration) {
	span := time.Duration(d.Stale-c.IssuedAt) * time.Second
	floor = min(max(span/20, time.Second), retryFloor)
	return floor, min(max(span/4, floor), retryLimit)
}
