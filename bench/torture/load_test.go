package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const killPlan = `product: lathe
plan: torture
name: Torture
term: {length: 1y}
pools:
  seats: {holder: user, capacity: 20, lease: 1h, grace: 1m, full: deny}
meters:
  calls: {unit: call, quota: 1000000000, per: year}
`

const capacity = 20

// A grant is a lease as one client knows it. Its times are from the test's clock.
type grant struct {
	Lease      string
	Generation int64
	acked      time.Time
	released   time.Time // when the release was sent, zero while in use
}

// A worker is a client that repeats each request with the same id until it is answered.
type worker struct {
	s          *server
	id         int
	credential string
	http       *http.Client
	random     *rand.Rand

	roomy   bool // there are enough units for all workers, so a denial is an error
	asked   int  // acquires so far; part of the request id
	holding *grant
	giving  bool // the release of holding was sent but not acknowledged

	events   int // usage events so far
	grants   []*grant
	recorded []string // acknowledged events
}

func crew(s *server, credential string, n int, seed uint64) []*worker {
	workers := make([]*worker, n)
	for i := range workers {
		workers[i] = &worker{s: s, id: i, credential: credential, http: &http.Client{Timeout: patience}, random: rand.New(rand.NewPCG(seed, uint64(i)))}
	}
	return workers
}

// work runs all workers until ctx ends. If a request was not answered, the worker starts with
// it the next time.
func work(ctx context.Context, t *testing.T, workers []*worker, acked *atomic.Int64) {
	t.Helper()
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				done, err := w.step(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if done {
					acked.Add(1)
				}
			}
		})
	}
	wg.Wait()
}

// step performs one operation and reports whether it was acknowledged. A network error is not
// returned: the outcome is unknown, and the worker repeats the step later.
func (w *worker) step(ctx context.Context) (bool, error) {
	switch {
	case w.holding == nil:
		return w.acquire(ctx)
	case w.giving || w.random.IntN(3) == 0:
		return w.release(ctx)
	default:
		return w.use(ctx)
	}
}

func (w *worker) acquire(ctx context.Context) (bool, error) {
	a, err := w.s.do(ctx, w.http, http.MethodPost, "/v1/leases", w.credential, map[string]any{
		"request_id": fmt.Sprintf("req-%d-%d", w.id, w.asked), "pool": "seats",
		"holder": map[string]string{"kind": "user", "id": fmt.Sprintf("user-%d", w.id)}, "instance": fmt.Sprintf("instance-%d", w.id),
	})
	if err != nil {
		return false, nil //nolint:nilerr // the outcome is unknown; the next step repeats the request
	}
	switch a.status {
	case http.StatusCreated:
		var g struct {
			ID         string `json:"id"`
			Generation int64  `json:"generation"`
		}
		if err := a.decode(&g); err != nil {
			return false, fmt.Errorf("unreadable lease: %s: %w", a.body, err)
		}
		if g.ID == "" {
			return false, fmt.Errorf("lease without an id: %s", a.body)
		}
		w.holding = &grant{Lease: g.ID, Generation: g.Generation, acked: time.Now()}
		w.grants = append(w.grants, w.holding)
		w.asked++
	case http.StatusConflict:
		if w.roomy {
			return false, fmt.Errorf("denied although units are free: %s", a.body)
		}
		w.asked++
	case http.StatusTooManyRequests:
		return false, nil
	default:
		return false, fmt.Errorf("acquire: status %d: %s", a.status, a.body)
	}
	return true, nil
}

func (w *worker) release(ctx context.Context) (bool, error) {
	g := w.holding
	if !w.giving {
		w.giving, g.released = true, time.Now()
	}
	a, err := w.s.do(ctx, w.http, http.MethodDelete, fmt.Sprintf("/v1/leases/%s?generation=%d", g.Lease, g.Generation), w.credential, nil)
	if err != nil {
		return false, nil //nolint:nilerr // the outcome is unknown; the next step repeats the request
	}
	switch a.status {
	case http.StatusOK, http.StatusGone, http.StatusNotFound: // gone or not found: an earlier attempt succeeded
		w.holding, w.giving = nil, false
	case http.StatusTooManyRequests:
		return false, nil
	default:
		return false, fmt.Errorf("release: status %d: %s", a.status, a.body)
	}
	return true, nil
}

func (w *worker) use(ctx context.Context) (bool, error) {
	id := fmt.Sprintf("event-%d-%d", w.id, w.events)
	status, err := w.record(ctx, id)
	if err != nil || status == "" {
		return false, err
	}
	w.recorded = append(w.recorded, id)
	w.events++
	return true, nil
}

// record sends a usage event and returns its status, or "" if the outcome is unknown.
func (w *worker) record(ctx context.Context, id string) (string, error) {
	a, err := w.s.do(ctx, w.http, http.MethodPost, "/v1/usage", w.credential, map[string]any{
		"events": []map[string]any{{"id": id, "meter": "calls", "quantity": 1}},
	})
	if err != nil || a.status == http.StatusTooManyRequests {
		return "", nil //nolint:nilerr // the outcome is unknown; the caller sends the same event again
	}
	var out struct {
		Results []struct {
			Status string `json:"status"`
		} `json:"results"`
	}
	if err := a.decode(&out); err != nil || len(out.Results) != 1 {
		return "", fmt.Errorf("usage: status %d: %s", a.status, a.body)
	}
	switch status := out.Results[0].Status; status {
	case "recorded", "duplicate":
		return status, nil
	default:
		return "", fmt.Errorf("usage: %s: %s", status, a.body)
	}
}
