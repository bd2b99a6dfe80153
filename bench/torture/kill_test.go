package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// TestKillLosesNothingAcknowledgedAndOversellsNothing repeatedly kills the server under
// load. The page cache survives a killed process, so this test covers order and atomicity;
// TestPower covers what is on the disk.
func TestKillLosesNothingAcknowledgedAndOversellsNothing(t *testing.T) {
	s := install(t, t.TempDir())
	s.start()
	t.Cleanup(s.kill)
	_, credential := s.license(killPlan)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	workers := crew(s, credential, 32, seed)
	n := rounds(6, 100)
	for round := range n {
		killUnderLoad(t, s, workers, time.Duration(20+random.IntN(300))*time.Millisecond)
		s.start()
		stillTrue(t, s, workers)
		if t.Failed() {
			t.Fatalf("round %d of %d, seed %d", round+1, n, seed)
		}
	}
	s.verifyLog()
	sweep(t, readRecord(t, s.record), grantsOf(workers), capacity)
}

// killUnderLoad runs the workers for d and then kills the server while they work.
func killUnderLoad(t *testing.T, s *server, workers []*worker, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var acked atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(ctx, t, workers, &acked)
	}()
	<-time.After(d)
	for limit := time.Now().Add(patience); acked.Load() == 0 && time.Now().Before(limit); {
		<-time.After(time.Millisecond)
	}
	s.kill()
	cancel()
	<-done
	if acked.Load() == 0 {
		t.Error("nothing was acknowledged before the kill, so the round shows nothing")
	}
}

// stillTrue checks that the server keeps everything that it acknowledged.
func stillTrue(t *testing.T, s *server, workers []*worker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, w := range workers {
		if g := w.holding; g != nil && !w.giving {
			a, err := s.do(ctx, w.http, http.MethodPost, "/v1/leases/"+g.Lease+"/renew", w.credential, map[string]any{"generation": g.Generation, "instance": fmt.Sprintf("instance-%d", w.id)})
			if err != nil || a.status != http.StatusOK {
				t.Errorf("lease %s was acknowledged but can't be renewed: %d %s %v", g.Lease, a.status, a.body, err)
				continue
			}
			var renewed struct {
				Generation int64 `json:"generation"`
			}
			if err := a.decode(&renewed); err != nil {
				t.Error(err)
			}
			g.Generation = renewed.Generation
		}
		for _, id := range lastOf(w.recorded, 3) {
			if status, err := w.record(ctx, id); err != nil || status != "duplicate" {
				t.Errorf("event %s was acknowledged, but its status is now %q (%v)", id, status, err)
			}
		}
	}
	var held struct {
		Items []map[string]any `json:"items"`
	}
	s.admin(http.MethodGet, "/v1/leases?limit=100", nil, &held)
	if len(held.Items) > capacity {
		t.Errorf("%d leases are in use, more than the capacity of %d", len(held.Items), capacity)
	}
}

func lastOf(list []string, n int) []string { return list[max(0, len(list)-n):] }

func grantsOf(workers []*worker) []*grant {
	var all []*grant
	for _, w := range workers {
		all = append(all, w.grants...)
	}
	return all
}
