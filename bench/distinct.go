package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// distinctRounds is how often each license is validated: first cold, then with what the caches keep.
const distinctRounds = 3

// measureDistinct validates many licenses, each from its own customer's program, and compares the
// throughput with the bare handler. It reports the resident memory afterward, which must not grow
// with the number of licenses.
func measureDistinct(ctx context.Context, s settings) ([]row, error) {
	m, err := s.serve(ctx, "", 100)
	if err != nil {
		return nil, err
	}
	defer m.end()
	keys, err := issueMany(ctx, m, s)
	if err != nil {
		return nil, err
	}
	size, err := replySize(m)
	if err != nil {
		return nil, err
	}
	bare, err := s.yardstick(ctx, size)
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	var rows []row
	for round, target := range []float64{0.25, 0.5, 0.5} {
		yardstick, err := drive(bare.addr, connections, s.span, bareTurn("/signed"))
		if err != nil {
			return nil, err
		}
		perSecond, err := validateEach(m, keys)
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("validate of %d distinct licenses, round %d", len(keys), round+1)
		rows = append(rows, atLeast(name, "requests/s", target, perSecond, yardstick.perSecond, []float64{perSecond / yardstick.perSecond}))
	}
	full, err := m.resident()
	if err != nil {
		return nil, err
	}
	const megabyte = 1 << 20
	return append(rows, atMost(fmt.Sprintf("resident memory after %d licenses were validated %d times", len(keys), distinctRounds), "MB", 500,
		float64(full)/megabyte, 1, []float64{float64(full) / megabyte})), nil
}

// issueMany issues the licenses to validate, and returns their credentials.
func issueMany(ctx context.Context, m *measured, s settings) ([]string, error) {
	v := m.vendor
	var customer struct{ ID string }
	if err := v.call(http.MethodPost, "/v1/customers", map[string]any{"name": "Many Ltd"}, &customer); err != nil {
		return nil, err
	}
	keys := make([]string, 0, s.licenses)
	begin := time.Now()
	for len(keys) < s.licenses && ctx.Err() == nil {
		one := map[string]any{"customer": customer.ID, "product": "lathe", "plan": "bench"}
		request := make([]any, min(batch, s.licenses-len(keys)))
		for i := range request {
			request[i] = one
		}
		var answer struct {
			Licenses []struct{ Key struct{ Key string } }
		}
		if err := v.call(http.MethodPost, "/v1/licenses/batch", map[string]any{"licenses": request}, &answer); err != nil {
			return nil, err
		}
		for _, l := range answer.Licenses {
			keys = append(keys, "License "+l.Key.Key)
		}
	}
	fmt.Fprintf(s.log, "  %d licenses issued in %v\n", len(keys), time.Since(begin).Round(time.Second))
	return keys, ctx.Err()
}

// validateEach validates each license once, and returns how many a second.
func validateEach(m *measured, keys []string) (float64, error) {
	var next atomic.Int64
	body := validateBody(true)
	begin := time.Now()
	fails := make(chan error)
	for range connections {
		go func() {
			c, err := dial(m.addr)
			if err != nil {
				fails <- err
				return
			}
			defer c.close()
			for err == nil {
				n := int(next.Add(1)) - 1
				if n >= len(keys) {
					break
				}
				status, answer, failed := c.do(http.MethodPost, "/v1/validate", keys[n], body)
				if err = failed; err == nil && status != http.StatusOK {
					err = fmt.Errorf("validate: status %d: %s", status, answer)
				}
			}
			fails <- err
		}()
	}
	var first error
	for range connections {
		if err := <-fails; err != nil && first == nil {
			first = err
		}
	}
	return float64(len(keys)) / time.Since(begin).Seconds(), first
}
