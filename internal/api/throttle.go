package api

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/metrics"
)

// Limits limit callers. Zero fields use the defaults given with them.
type Limits struct {
	InFlight       int     // requests worked on at the same time: 2,048
	Held           int     // held requests and streams at the same time: 10,000
	BadPerAddress  float64 // refused credentials a second from one address: 20
	BadPerPrefix   float64 // refused credentials a second for one key or token id: 10
	PerCredential  float64 // requests a second with the keys of one license: 50,000
	PerToken       float64 // requests a second with one token: 500
	RememberedKeys int     // addresses, prefixes and credentials remembered, each: 50,000
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.InFlight, 2048)
	setDefault(&l.Held, 10_000)
	setDefault(&l.BadPerAddress, 20)
	setDefault(&l.BadPerPrefix, 10)
	setDefault(&l.PerCredential, 50_000)
	setDefault(&l.PerToken, 500)
	setDefault(&l.RememberedKeys, 50_000)
	return l
}

func setDefault[T int | float64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// A throttle keeps the rate limits. Its memory is bounded: an attacker with many
// addresses makes it forget, not grow.
type throttle struct {
	metrics   *metrics.Metrics
	now       func() time.Time
	addresses *buckets
	prefixes  *buckets
	licenses  *buckets
	tokens    *buckets
}

func newThrottle(l Limits, m *metrics.Metrics, now func() time.Time) *throttle {
	return &throttle{
		metrics:   m,
		now:       now,
		addresses: newBuckets(l.BadPerAddress, 2*l.BadPerAddress, l.RememberedKeys),
		prefixes:  newBuckets(l.BadPerPrefix, 2*l.BadPerPrefix, l.RememberedKeys),
		licenses:  newBuckets(l.PerCredential, 2*l.PerCredential, l.RememberedKeys),
		tokens:    newBuckets(l.PerToken, 2*l.PerToken, l.RememberedKeys),
	}
}

// mayTry reports whether an unknown credential may be looked up, and if not, after
// how long. A prefix that somebody tries to guess is closed only to addresses that have
// guessed, so nobody can lock out the owner of a key by knowing its public part.
func (t *throttle) mayTry(address, prefix string) (time.Duration, bool) {
	left, wait := t.addresses.left(address, t.now())
	if wait > 0 {
		t.metrics.Throttled("address")
		return wait, false
	}
	if left >= t.addresses.burst {
		return 0, true
	}
	if _, wait := t.prefixes.left(prefix, t.now()); wait > 0 {
		t.metrics.Throttled("prefix")
		return wait, false
	}
	return 0, true
}

// failed charges a refused credential to its address and its prefix, and reports whether
// the address fails so often that another failure is not worth logging.
func (t *throttle) failed(address, prefix string) (often bool) {
	t.prefixes.take(prefix, t.now())
	return !t.addresses.take(address, t.now())
}

// credential charges a request to p. If p has none left, it returns how long p must wait.
func (t *throttle) credential(p access.Principal) (time.Duration, bool) {
	b, name := t.tokens, string(p.Token)
	if p.Kind == access.KindLicense {
		b, name = t.licenses, string(p.License)
	}
	if b.take(name, t.now()) {
		return 0, true
	}
	t.metrics.Throttled("credential")
	return time.Second, false
}

// buckets are token buckets by name. The least recently used are forgotten first.
type buckets struct {
	rate  rate.Limit
	burst int
	bound int

	mu     sync.Mutex
	byName map[string]*list.Element
	recent *list.List // of *bucket, most recently used first
}

type bucket struct {
	name    string
	limiter *rate.Limiter
}

func newBuckets(perSecond, burst float64, bound int) *buckets {
	return &buckets{rate: rate.Limit(perSecond), burst: max(1, int(burst)), bound: bound,
		byName: map[string]*list.Element{}, recent: list.New()}
}

// take takes a token from name's bucket and reports whether there was one.
func (b *buckets) take(name string, now time.Time) bool {
	return b.limiter(name).AllowN(now, 1)
}

// left returns the number of tokens in name's bucket, and how long to wait if there is
// none. It does not remember unknown names.
func (b *buckets) left(name string, now time.Time) (int, time.Duration) {
	b.mu.Lock()
	e := b.byName[name]
	b.mu.Unlock()
	if e == nil {
		return b.burst, 0
	}
	tokens := e.Value.(*bucket).limiter.TokensAt(now)
	if tokens >= 1 {
		return int(tokens), 0
	}
	return 0, time.Duration((1 - tokens) / float64(b.rate) * float64(time.Second))
}

func (b *buckets) limiter(name string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byName[name]; e != nil {
		b.recent.MoveToFront(e)
		return e.Value.(*bucket).limiter
	}
	for len(b.byName) >= b.bound {
		oldest := b.recent.Back()
		delete(b.byName, b.recent.Remove(oldest).(*bucket).name)
	}
	l := rate.NewLimiter(b.rate, b.burst)
	b.byName[name] = b.recent.PushFront(&bucket{name, l})
	return l
}
