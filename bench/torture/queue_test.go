package torture

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
)

const queuePlan = `product: lathe
plan: torture
name: Torture
term: {length: 1y}
pools:
  seats: {holder: user, capacity: 1, lease: 1h, grace: 1m, full: queue}
`

// TestQueueIsServedInOrderAcrossKills queues 50 waiters for one seat and kills the server
// while they wait.
func TestQueueIsServedInOrderAcrossKills(t *testing.T) {
	const waiters = 50
	s := install(t, t.TempDir())
	s.start()
	t.Cleanup(s.kill)
	_, credential := s.license(queuePlan)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	first := &waiter{s: s, id: 0, credential: credential}
	if err := first.ask(ctx, 0); err != nil || first.lease == "" {
		t.Fatalf("the first client did not get the free seat: %v", err)
	}
	line := make([]*waiter, waiters)
	for i := range line {
		line[i] = &waiter{s: s, id: i + 1, credential: credential}
		if err := line[i].ask(ctx, 0); err != nil || !line[i].queued {
			t.Fatalf("waiter %d was not queued: %v", i+1, err)
		}
	}
	served := make(chan *waiter, waiters)
	for _, w := range line {
		go func() {
			if err := settled(ctx, func() error { return w.ask(ctx, 20) }); err == nil {
				served <- w
			}
		}()
	}
	var order []int
	holder := first
	for len(order) < waiters {
		if slices.Contains([]int{10, 25, 40}, len(order)) {
			s.kill()
			s.start()
		}
		if err := settled(ctx, func() error { return holder.giveBack(ctx) }); err != nil {
			t.Fatalf("after %d: %v", len(order), err)
		}
		select {
		case holder = <-served:
			order = append(order, holder.id)
		case <-ctx.Done():
			t.Fatalf("served %v and then no other waiter\n%s", order, s.log)
		}
	}
	if !slices.IsSorted(order) {
		t.Errorf("served out of order: %v", order)
	}
	s.verifyLog()
}

// A waiter is a client that waits for the only seat.
type waiter struct {
	s          *server
	id         int
	credential string
	queued     bool
	lease      string
	generation int64
}

// ask requests the seat and lets the server delay its answer for up to wait seconds. With a
// wait, an answer without the seat is an error, so that the caller repeats the request.
func (w *waiter) ask(ctx context.Context, wait int) error {
	a, err := w.s.do(ctx, http.DefaultClient, http.MethodPost, "/v1/leases", w.credential, map[string]any{
		"request_id": fmt.Sprintf("req-%d", w.id), "pool": "seats", "wait": wait,
		"holder": map[string]string{"kind": "user", "id": fmt.Sprintf("user-%d", w.id)}, "instance": fmt.Sprintf("instance-%d", w.id),
	})
	if err != nil {
		return err
	}
	switch a.status {
	case http.StatusCreated:
		var g struct {
			ID         string `json:"id"`
			Generation int64  `json:"generation"`
		}
		if err := a.decode(&g); err != nil {
			return err
		}
		w.lease, w.generation = g.ID, g.Generation
		return nil
	case http.StatusAccepted:
		w.queued = true
		if wait == 0 {
			return nil
		}
		return fmt.Errorf("still queued: %s", a.body)
	}
	return fmt.Errorf("status %d: %s", a.status, a.body)
}

func (w *waiter) giveBack(ctx context.Context) error {
	a, err := w.s.do(ctx, http.DefaultClient, http.MethodDelete, fmt.Sprintf("/v1/leases/%s?generation=%d", w.lease, w.generation), w.credential, nil)
	if err == nil && a.status != http.StatusOK && a.status != http.StatusGone && a.status != http.StatusNotFound {
		err = fmt.Errorf("release: status %d: %s", a.status, a.body)
	}
	return err
}
