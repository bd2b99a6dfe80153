package copyhold

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	breakAfter   = 5 // failures in a row
	breakFor     = 30 * time.Second
	retryAfterLo = time.Second
	retryAfterHi = time.Hour
)

// An endpoint is one base URL and how it behaved lately. The transport's lock guards it.
type endpoint struct {
	url      string
	failures int           // in a row
	asked    time.Duration // on the boot clock: it asked not to be asked before
	broken   time.Duration // on the boot clock: who waits for an answer does not ask before
	probing  bool          // one of those tries an endpoint that was broken
	failed   int           // the transport's count of failures when it failed last
	err      error
}

// pick chooses the endpoint for the next attempt: the one that worked last, else the
// next in order that may be asked, first those that this call has not tried. A retry
// needs budget. It returns nil when there is none. Work in the background has a pace of
// its own, and tries broken endpoints too.
func (t *transport) pick(tried map[*endpoint]bool, retry, background bool) *endpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !retry {
		t.budget = min(t.budget+budgetPerCall, budgetLimit)
	}
	e := t.choose(tried, background)
	if e == nil {
		return nil
	}
	if tried[e] {
		if t.budget < 1 {
			return nil
		}
		t.budget--
	}
	if e.failures >= breakAfter && !background {
		e.probing = true
	}
	return e
}

func (t *transport) choose(tried map[*endpoint]bool, background bool) *endpoint {
	now := t.boot()
	var again *endpoint
	for i := range t.endpoints {
		e := t.endpoints[(t.current+i)%len(t.endpoints)]
		if e.asked > now || !background && (e.broken > now || e.probing) {
			continue
		}
		if !tried[e] {
			return e
		}
		if again == nil {
			again = e
		}
	}
	return again
}

// begin returns the mark that succeeded takes: how many attempts have failed so far.
func (t *transport) begin() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failures
}

// succeeded makes e the first to be asked, unless an attempt at e that ended before this
// one did, and after this one began, failed: an answer that was on its way when a server
// went must not lead the others back to it.
func (t *transport) succeeded(e *endpoint, began int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.failures, e.asked, e.broken, e.probing, e.err = 0, 0, 0, false, nil
	if e.failed > began {
		return
	}
	for i := range t.endpoints {
		if t.endpoints[i] == e {
			t.current = i
		}
	}
}

// abandoned forgets an attempt that the caller gave up.
func (t *transport) abandoned(e *endpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.probing = false
}

func (t *transport) failed(e *endpoint, err error, a answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.probing, e.err = false, err
	now := t.boot()
	if a.status != 0 && a.status < http.StatusInternalServerError && a.status != http.StatusTooManyRequests {
		return // not proven, but neither down nor overloaded
	}
	t.failures++
	e.failed = t.failures
	e.failures++
	if e.failures >= breakAfter {
		e.broken = now + breakFor/2 + rand.N(breakFor)
	}
	if wait, ok := retryAfter(a); ok {
		e.asked = max(e.asked, now+wait)
	}
}

// retryAfter reads Retry-After in seconds, within a second and an hour, and spreads it by
// up to as much again.
func retryAfter(a answer) (time.Duration, bool) {
	if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable {
		return 0, false
	}
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil {
		return 0, false
	}
	wait := min(max(time.Duration(min(seconds, 3600))*time.Second, retryAfterLo), retryAfterHi)
	return wait + rand.N(wait), true
}

// opensIn returns how long all endpoints asked not to be asked, 0 when one did not.
func (t *transport) opensIn() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, soonest := t.boot(), time.Duration(-1)
	for _, e := range t.endpoints {
		if wait := max(e.asked-now, 0); soonest < 0 || wait < soonest {
			soonest = wait
		}
	}
	return max(soonest, 0)
}

// health returns the endpoint in use and its last error, nil when it answered.
func (t *transport) health() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.endpoints) == 0 {
		return "", errors.New("no endpoint is configured")
	}
	e := t.endpoints[t.current]
	return e.url, e.err
}
