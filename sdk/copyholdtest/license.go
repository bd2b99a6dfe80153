package copyholdtest

import (
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/internal/simulation"
	"copyhold.dev/sdk/license"
)

// A Plan describes what a test license grants. The zero Plan grants nothing.
type Plan struct {
	// Product is the product's name; "" means "product".
	Product string
	// Features are the features by name. Fallback is the smaller set that applies in the state
	// degraded. A value is a bool, an int, an int64, or a string.
	Features, Fallback map[string]any
	// Pools are the number of units of each pool, by name. A lease lasts 15 minutes and has an hour
	// of grace.
	Pools map[string]int64
	// FullPool determines what a full pool does: "" or "deny" denies, "fallback" grants the
	// fallback. In both cases an Acquire that may wait waits first.
	FullPool string
	// Meters are the monthly quota of each meter, by name, in whole units. Events beyond the quota
	// are denied.
	Meters map[string]int64
}

// A License is a test license, together with the server that signs it. Its documents are due for a
// refresh after one day, stale after 2 days, in grace after 7, degraded after 21, and denied after
// 51. It is safe for concurrent use.
type License struct {
	t       testing.TB
	server  *server
	elapsed atomic.Int64 // nanoseconds since start
	start   time.Time
	moving  sync.Mutex // one change at a time

	mu       sync.Mutex
	programs []simulation.Program
}

// New creates a test license. Its time begins now. New fails the test if the program is not a
// test binary.
func New(t testing.TB, p Plan) *License {
	t.Helper()
	if !testing.Testing() {
		t.Fatal("copyholdtest: a test license works only in test binaries")
		return nil
	}
	l := &License{t: t, start: time.Now().Truncate(time.Second).UTC()}
	s, err := newServer(p, l.Now)
	if err != nil {
		t.Fatalf("copyholdtest: %v", err)
	}
	l.server = s
	return l
}

// Options returns options for copyhold.Open, for programs that open the client themselves. The
// program may set other options but must keep Endpoints, RootSet, and HTTPClient. Nothing is
// written to disk unless CacheDir is set.
func (l *License) Options() copyhold.Options {
	return copyhold.Options{
		Endpoints: []string{"https://license.test"}, Key: l.server.key, Product: l.server.product, RootSet: l.server.rootSet,
		CacheDir: "-", HostName: "-", User: "user", CloseWait: -1,
		HTTPClient: &http.Client{Transport: transport{l}},
	}
}

// Client opens a client of the license and closes it when the test ends. Each call opens another
// client, as if it were another program on another machine.
func (l *License) Client() *copyhold.Client {
	l.t.Helper()
	c, err := copyhold.Open(l.t.Context(), l.Options())
	if err != nil {
		l.t.Fatalf("copyholdtest: %v", err)
	}
	l.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Key returns the license key, for tests of Client.SetKey.
func (l *License) Key() string { return l.server.key }

// Now returns the time that the clients see.
func (l *License) Now() time.Time { return l.start.Add(time.Duration(l.elapsed.Load())) }

// SetFeature changes the value of a feature; nil removes the feature from the license.
func (l *License) SetFeature(name string, value any) {
	l.t.Helper()
	l.change(func(s *server) error { return setFeature(s.features, name, value) })
}

// SetPool changes the number of units in a pool. Units that are held stay held.
func (l *License) SetPool(name string, units int64) {
	l.t.Helper()
	l.change(func(s *server) error { s.pools[name] = max(units, 0); return nil })
}

// Occupy simulates other holders that hold this many units of a pool. It replaces an earlier
// number.
func (l *License) Occupy(pool string, units int64) {
	l.t.Helper()
	l.change(func(s *server) error { s.occupied[pool] = max(units, 0); return nil })
}

// Held returns how many units of a pool the clients hold.
func (l *License) Held(pool string) int64 { return l.server.held(pool) }

// Recall simulates an administrator who recalls the units that the clients hold of a pool. The
// clients call Options.OnRecall. Units that are not released are given back after the grace.
func (l *License) Recall(pool, reason string, grace time.Duration) {
	l.t.Helper()
	l.change(func(s *server) error { s.recall(pool, reason, grace); return nil })
}

// SetMeter changes the quota of a meter. Usage that was already counted stays counted.
func (l *License) SetMeter(name string, quota int64) {
	l.t.Helper()
	l.change(func(s *server) error { s.meters[name] = max(quota, 0); return nil })
}

// Usage returns the events that were counted on a meter, each once. First, all clients send the
// usage that they have recorded.
func (l *License) Usage(meter string) []copyhold.Usage {
	l.t.Helper()
	l.change(func(*server) error { return nil })
	return l.server.counted(meter)
}

// Offline disconnects the server. From now on the clients continue with what they have.
func (l *License) Offline() { l.change(func(s *server) error { s.offline = true; return nil }) }

// Online reconnects the server.
func (l *License) Online() { l.change(func(s *server) error { s.offline = false; return nil }) }

// SetState brings the license to a state of the ladder in the same way as in production:
//
//   - none: the license has not started yet.
//   - denied: the vendor has suspended the license.
//   - stale, grace, and degraded: the server is unreachable for 2, 7, or 21 days, which pass.
func (l *License) SetState(s license.State) {
	l.t.Helper()
	status, begins := license.Active, int64(0)
	switch s {
	case license.StateNone:
		begins = l.Now().Unix() + year
	case license.StateDenied:
		status = license.Suspended
	}
	l.change(func(s *server) error { s.offline, s.status, s.begins = false, status, begins; return nil })
	away := map[license.State]time.Duration{license.StateStale: staleAfter, license.StateGrace: dueAfter, license.StateDegraded: endAfter}[s]
	if away > 0 {
		l.Offline()
		l.Advance(away * time.Second)
	}
}

// Advance lets time pass, including everything that the clients do in that time: refreshes,
// renewals, steps on the ladder, and calls of OnChange. A negative d counts as 0. If units are
// held, a month takes some seconds; otherwise it takes less than a millisecond.
func (l *License) Advance(d time.Duration) {
	l.moving.Lock()
	defer l.moving.Unlock()
	end := l.elapsed.Load() + int64(max(d, 0))
	for {
		next := int64(math.MaxInt64)
		for _, p := range l.running() {
			next = min(next, p.Next())
		}
		now := end
		if next != math.MaxInt64 {
			now = min(end, max(int64(license.Time(next).Sub(l.start)), l.elapsed.Load()))
		}
		l.elapsed.Store(now)
		l.server.wake()
		for _, p := range l.running() {
			p.Settle()
		}
		if now == end {
			return
		}
	}
}

// change changes the server and makes all clients learn of it.
func (l *License) change(f func(s *server) error) {
	l.t.Helper()
	l.moving.Lock()
	defer l.moving.Unlock()
	if err := l.server.change(f); err != nil {
		l.t.Fatalf("copyholdtest: %v", err)
	}
	for _, p := range l.running() {
		p.Hurry()
		p.Settle()
	}
}

// running returns the open clients.
func (l *License) running() []simulation.Program {
	l.mu.Lock()
	defer l.mu.Unlock()
	var open []simulation.Program
	for _, p := range l.programs {
		if !p.Closed() {
			open = append(open, p)
		}
	}
	l.programs = open
	return open
}

// A transport answers requests in memory and provides the clock.
type transport struct{ license *License }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.license.server.answer(r)
}

// Machine returns the machine that a client runs on in a test.
func (t transport) Machine() simulation.Machine {
	return simulation.Machine{
		Now:  t.license.Now,
		Boot: func() time.Duration { return time.Hour + time.Duration(t.license.elapsed.Load()) },
		Attach: func(p simulation.Program) {
			t.license.mu.Lock()
			defer t.license.mu.Unlock()
			t.license.programs = append(t.license.programs, p)
		},
	}
}
