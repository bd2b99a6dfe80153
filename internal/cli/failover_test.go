//go:build unix

package cli

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/seat"
	"copyhold.dev/internal/store/storetest"
)

// A long-running command loses one of its two servers, and the other renews its seat.
func TestRunOutlivesOneOfItsServers(t *testing.T) {
	database := storetest.PostgresURL(t)
	b := startBenchOn(t, database, "fast", "seats")
	second := t.TempDir()
	key, err := os.ReadFile(filepath.Join(b.data, sealingKeyFile))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(second, sealingKeyFile), key, 0o600))
	other, err := startTestServerOn(database, "127.0.0.1:0", second, demoEnvironments())
	must(t, err)
	b.use(b.server.URL(), other.URL())

	r := b.run(nil, "sh", "-c", untilInputEnds)
	r.expect("started")
	b.stop()
	b.server = other
	lease := b.onlyLease()
	b.until(patience, "the lease is renewed at the second server", func() bool {
		now := b.onlyLease()
		return now.ID == lease.ID && now.Generation > lease.Generation
	})
	_ = r.input.Close()
	if got := r.status(); got != 0 || r.errs.Len() > 0 {
		t.Errorf("exit status %d: %s", got, r.errs)
	}
	b.within(back, 0) // otherwise it would be held until 60 s after its grace
}

// The dead server is first in every list.
func TestRunTakesTheNextServerFromTheStart(t *testing.T) {
	b := startBench(t, "render", "jobs")
	b.use("http://127.0.0.1:1", b.server.URL())
	r := b.run(nil, "sh", "-c", untilInputEnds)
	r.expect("started")
	if n := b.held(); n != 1 {
		t.Errorf("%d units are held", n)
	}
	_ = r.input.Close()
	if got := r.status(); got != 0 || r.errs.Len() > 0 {
		t.Errorf("exit status %d: %s", got, r.errs)
	}
	b.within(back, 0)
}

// onlyLease returns the only lease.
func (b *bench) onlyLease() seat.Seat {
	b.t.Helper()
	a, err := b.client.Do(context.Background(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/leases"})
	if err != nil {
		b.t.Fatal(err)
	}
	var list struct{ Items []seat.Seat }
	if err := a.Decode(&list); err != nil {
		b.t.Fatal(err)
	}
	if len(list.Items) != 1 {
		b.t.Fatalf("%d leases: %s", len(list.Items), a.Body)
	}
	return list.Items[0]
}

// until waits until a condition is true.
func (b *bench) until(limit time.Duration, what string, so func() bool) {
	b.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			b.t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}
