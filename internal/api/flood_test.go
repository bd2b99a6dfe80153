package api_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/api"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store/storetest"
)

// from returns a client that calls from its own address.
func (d *deployment) from(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 8}
	d.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (d *deployment) validateAs(ctx context.Context, client *http.Client, key string) (int, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", d.url+"/v1/validate", strings.NewReader(`{"product":"lathe"}`))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "License "+key)
	answer, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	// Read to its end, so that the connection serves the next request too.
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	return answer.StatusCode, answer.Header, nil
}

// TestGuessingAtKeysHurtsNobodyElse sends a thousand bad keys from one address
// while others work, from other addresses and from the same one. A guess may be
// looked up every quarter of an hour, so that it does not matter how long they take.
func TestGuessingAtKeysHurtsNobodyElse(t *testing.T) {
	d := newDeploymentWithin(t, storetest.SQLite(t), everyModel, api.Limits{BadPerAddress: 0.001})
	same, other, fresh := d.from("127.0.0.9"), d.from("127.0.0.1"), d.from("127.0.0.2")
	if status, _, err := d.validateAs(t.Context(), same, d.key); status != http.StatusOK {
		t.Fatalf("%d, %v", status, err)
	}
	var refused, throttled atomic.Int64
	var guessing sync.WaitGroup
	const workers = 4
	for worker := range workers {
		guessing.Go(func() {
			for i := range 250 {
				status, header, err := d.validateAs(t.Context(), same, badKey(worker, i))
				switch {
				case status == http.StatusUnauthorized:
					refused.Add(1)
				case status == http.StatusTooManyRequests && header.Get("Retry-After") != "":
					throttled.Add(1)
				default:
					t.Errorf("a bad key: %d, %v", status, err)
				}
			}
		})
	}
	for i := range 100 {
		for name, client := range map[string]*http.Client{"the same address": same, "another address": other, "an address never seen": fresh} {
			if status, _, err := d.validateAs(t.Context(), client, d.key); status != http.StatusOK {
				t.Errorf("request %d from %s: %d, %v", i, name, status, err)
			}
		}
	}
	guessing.Wait()
	// Those that are looked up at the same time find the same guess left.
	if n := refused.Load(); n == 0 || n > 2*workers || n+throttled.Load() != 1000 {
		t.Errorf("%d refused, %d throttled", n, throttled.Load())
	}
}

// badKey returns a well-formed key. Only the store can find that it does not exist.
func badKey(worker, i int) string {
	_, key := licensing.NewKey([4]byte{byte(worker), byte(i >> 8), byte(i)}, [16]byte{byte(i), byte(i >> 8), byte(worker)})
	return key
}

// BenchmarkGuessing measures the slowest of a hundred of the others' requests
// while a thousand bad keys arrive a second, against quiet.
func BenchmarkGuessing(b *testing.B) {
	d := newDeployment(b, storetest.SQLite(b), everyModel)
	for _, rate := range []int{0, 1000} {
		b.Run(fmt.Sprintf("%d-a-second", rate), func(b *testing.B) {
			stop := d.guess(rate)
			defer stop()
			client := d.from("127.0.0.1")
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if status, _, err := d.validateAs(b.Context(), client, d.key); status != http.StatusOK {
					b.Fatal(status, err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// guess sends bad keys at a rate a second from one address until stopped.
func (d *deployment) guess(rate int) (stop func()) {
	if rate == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	client := d.from("127.0.0.9")
	done.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for range rate / 100 {
				i++
				_, _, _ = d.validateAs(ctx, client, badKey(0, i)) // its answer is not of interest
			}
		}
	})
	return func() { cancel(); done.Wait() }
}
