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

// An endpoint is one base URL and its recent behavior. The transport's lock guards it.
type endpoint struct {
	url      string
	failures int           // in a row
	asked    time.Duration // boot-clock time before which the server asked for no more requests
	broken   time.Duration // boot-clock time before which foreground calls skip the endpoint
	probing  bool          // one foreground call is trying the broken endpoint
	failed   int           // the transport's count of failures at the last failure
	err      error
}

// pick chooses the endpoint for the next attempt: the one that worked last, or else the next in
// order that may be asked, preferring those that this call has not tried. A retry uses up budget.
// It returns nil if no endpoint may be asked. Background work has its own pace and tries broken
// endpoints, too.
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

// begin returns the mark that succeeded needs: how many attempts have failed so far.
func (t *transport) begin() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failures
}

// succeeded puts e first in the order, unless another attempt at e began after this one began and
// failed before this one ended. An answer that was in flight when a server went down must not lead
// later calls back to that server.
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

// abandoned discards an attempt that the caller gave up.
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
		return // the answer proves nothing, but the server is neither down nor overloaded
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

// retryAfter reads Retry-After in seconds, limits it to between a second and an hour, and adds a
// random amount of up to the same length.
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

// opensIn returns how long all endpoints have asked for no requests, 0 if any endpoint has not.
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

// health returns the endpoint in use and its last error, which is nil if it answered.
func (t *transport) health() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.endpoints) == 0 {
		return "", errors.New("no endpoint is configured")
	}
	e := t.endpoints[t.current]
	return e.url, e.err
}
