package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

const (
	smallPool = 100
	batch     = 500
)

// measureFill compares the throughput of a pool with 100 seats in use with that of a pool with
// a million, and reports the resident memory that the million take.
func measureFill(ctx context.Context, s settings) ([]row, error) {
	small, err := s.serve(ctx, "", smallPool+connections)
	if err != nil {
		return nil, err
	}
	defer small.end()
	large, err := s.serve(ctx, "", s.fill+connections)
	if err != nil {
		return nil, err
	}
	defer large.end()
	if err := fill(ctx, small, smallPool, s); err != nil {
		return nil, err
	}
	empty, err := small.resident()
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, large, s.fill, s); err != nil {
		return nil, err
	}
	few, many := &taker{credential: small.credential}, &taker{credential: large.credential}
	once := func(m *measured, t *taker) func() (float64, error) {
		return func() (float64, error) {
			o, err := drive(m.addr, connections, s.span, t.turn)
			return o.perSecond, err
		}
	}
	a, b, ratios, err := pair(ctx, s.pairs, once(small, few), once(large, many))
	if err != nil {
		return nil, err
	}
	full, err := large.resident()
	if err != nil {
		return nil, err
	}
	speed := atMost(fmt.Sprintf("throughput, %d held over %d held", smallPool, s.fill), "operations/s", 1.6, a, b, ratios)
	speed.Note = "ours is the small pool, the yardstick the large one."
	const megabyte = 1 << 20
	memory := atMost(fmt.Sprintf("resident memory with %d leases, over an empty server", s.fill), "MB", 150,
		float64(full-empty)/megabyte, 1, []float64{float64(full-empty) / megabyte})
	memory.Note = fmt.Sprintf("VmRSS %d MB, an almost empty server %d MB, both after load.", full/megabyte, empty/megabyte)
	return []row{speed, memory}, nil
}

// fill acquires n seats through the batch endpoint.
func fill(ctx context.Context, m *measured, n int, s settings) error {
	type item struct {
		RequestID string            `json:"request_id"`
		Pool      string            `json:"pool"`
		Holder    map[string]string `json:"holder"`
		Instance  string            `json:"instance"`
	}
	var from atomic.Int64
	work := func(c *client) error {
		for ctx.Err() == nil {
			begin := int(from.Add(batch)) - batch
			if begin >= n {
				return nil
			}
			var items []item
			for i := begin; i < min(begin+batch, n); i++ {
				name := fmt.Sprintf("held-%d", i)
				items = append(items, item{"fill-" + name, "seats", map[string]string{"kind": "user", "id": name}, name})
			}
			body, err := json.Marshal(map[string]any{"acquire": items})
			if err != nil {
				return err
			}
			status, answer, err := c.do(http.MethodPost, "/v1/leases/batch", m.credential, body)
			if err != nil {
				return err
			}
			if granted := strings.Count(string(answer), `"status":201`); status != http.StatusOK || granted != len(items) {
				return fmt.Errorf("batch: status %d, %d of %d granted: %.300s", status, granted, len(items), answer)
			}
			if begin%100_000 == 0 && begin > 0 {
				fmt.Fprintf(s.log, "  %d held\n", begin)
			}
		}
		return ctx.Err()
	}
	fails := make(chan error)
	for range 4 {
		go func() {
			c, err := dial(m.addr)
			if err == nil {
				err = work(c)
				c.close()
			}
			fails <- err
		}()
	}
	var first error
	for range 4 {
		if err := <-fails; err != nil && first == nil {
			first = err
		}
	}
	return first
}
