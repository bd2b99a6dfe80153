package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// An acquire is due every pace, whether or not earlier ones have been answered, so that a slow
	// server does not get fewer requests.
	pace         = 25 * time.Millisecond
	pacedClients = 256             // connections, at most
	quietSpan    = 5 * time.Second // length of a measurement without other work
	manyLicenses = 10_000
)

// long is work that takes longer than a request.
type long struct {
	name  string
	pairs int     // how often it is measured
	bound float64 // seconds; 0 means none
	do    func(ctx context.Context, d *deployment, n int) error
}

// longWork lists the work that is measured. Work that adds licenses comes last.
func longWork() []long {
	return []long{
		{"plan diff of all", 1, 60, func(ctx context.Context, d *deployment, n int) error {
			file, err := d.changePlans(ctx, n)
			if err == nil {
				_, err = d.command(ctx, "plan", "diff", file)
			}
			return err
		}},
		{"plan apply to all", 1, 300, func(ctx context.Context, d *deployment, n int) error {
			file, err := d.changePlans(ctx, n)
			if err == nil {
				_, err = d.command(ctx, "plan", "apply", file, "--licenses", "all", "--yes", "--output", "json")
			}
			return err
		}},
		{"backup", 2, 0, func(ctx context.Context, d *deployment, _ int) error {
			_, err := d.command(ctx, "backup", "--to", filepath.Join(d.dir, "trial.backup"), "--force")
			return err
		}},
		{"reconciliation", 1, 0, func(ctx context.Context, d *deployment, _ int) error {
			_, err := d.ask(ctx, sent{method: http.MethodGet, path: "/v1/audit/reconciliation"})
			return err
		}},
		{"import of 10,000", 2, 15, func(ctx context.Context, d *deployment, _ int) error {
			file, err := d.writeImport(manyLicenses)
			if err == nil {
				_, err = d.command(ctx, "license", "import", file)
			}
			return err
		}},
		{"10,000 issued in batches of 1,000", 2, 15, func(ctx context.Context, d *deployment, _ int) error {
			body, err := d.batch(1000)
			for i := 0; i < manyLicenses/1000 && err == nil; i++ {
				_, err = d.ask(ctx, sent{method: http.MethodPost, path: "/v1/licenses/batch", body: string(body)})
			}
			return err
		}},
	}
}

// changePlans writes the plans of the trial data with one more feature in each, and returns the
// name of the file.
func (d *deployment) changePlans(ctx context.Context, n int) (string, error) {
	text, err := d.command(ctx, "plan", "show", "bench-studio")
	if err != nil {
		return "", err
	}
	feature := fmt.Sprintf("{grown_%d: true, ", n)
	changed := strings.NewReplacer("{export: true", feature+"export: true", "features: {api: true", "features: "+feature+"api: true").Replace(string(text))
	name := filepath.Join(d.dir, "grown.yaml")
	return name, os.WriteFile(name, []byte(changed), 0o600)
}

// meanwhile measures how long acquires take while long work is done, and without it. Work that fails
// misses its target; the other work is still measured.
func (d *deployment) meanwhile(ctx context.Context, s settings) ([]row, error) {
	var rows []row
	for n, w := range longWork() {
		var with, without, seconds, ratios []float64
		var failed error
		for pair := 0; pair < w.pairs && failed == nil; pair++ {
			quiet, err := d.acquires(ctx, func(context.Context) error { return nil })
			if err != nil {
				return nil, err
			}
			var took time.Duration
			busy, err := d.acquires(ctx, func(ctx context.Context) error {
				begin := time.Now()
				failed = w.do(ctx, d, n*10+pair)
				took = time.Since(begin)
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			a, b := milliseconds(busy.p99), milliseconds(quiet.p99)
			with, without, ratios, seconds = append(with, a), append(without, b), append(ratios, a/b), append(seconds, took.Seconds())
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		work := alone(w.name, "s", median(seconds), w.bound)
		if failed != nil {
			work.Met, work.Note = false, fmt.Sprintf("failed: %v", failed)
		}
		r := atMost("acquire during "+w.name+", p99", "ms", 3, median(with), median(without), ratios)
		r.Target += ", never 100 ms more"
		for i := range with {
			r.Met = r.Met && with[i] <= without[i]+100
		}
		rows = append(rows, work, r)
		fmt.Fprintf(s.log, "  %s: %.1f s; acquires %.1f ms, without it %.1f ms %s\n", w.name, median(seconds), r.Ours, r.Yardstick, work.Note)
	}
	return rows, nil
}

// acquires acquires and releases seats while work runs, and at least for quietSpan. It returns the
// latencies of the acquires, which count from the time at which each was due.
func (d *deployment) acquires(ctx context.Context, work func(context.Context) error) (outcome, error) {
	begin := time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan error, 1)
	go func() {
		err := work(ctx)
		if rest := quietSpan - time.Since(begin); err == nil && rest > 0 {
			time.Sleep(rest)
		}
		done <- err
		stop(err)
	}()
	var all []time.Duration
	var lock sync.Mutex
	var requests sync.WaitGroup
	var idle []*client
	open := make(chan struct{}, pacedClients)
	ticks := time.NewTicker(pace)
	defer ticks.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticks.C:
			due := time.Now()
			requests.Go(func() {
				open <- struct{}{}
				defer func() { <-open }()
				lock.Lock()
				var c *client
				if last := len(idle) - 1; last >= 0 {
					c, idle = idle[last], idle[:last]
				}
				lock.Unlock()
				took, c, err := d.acquireOnce(c, due)
				if err != nil {
					stop(err)
					return
				}
				lock.Lock()
				all, idle = append(all, took), append(idle, c)
				lock.Unlock()
			})
		}
	}
	requests.Wait()
	for _, c := range idle {
		c.close()
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return outcome{}, err
	}
	return summarize(all, time.Since(begin)), <-done
}

// acquireOnce acquires and releases a seat on a connection, which it opens if there is none, and
// returns how long after due the seat was granted.
func (d *deployment) acquireOnce(c *client, due time.Time) (time.Duration, *client, error) {
	if c == nil {
		var err error
		if c, err = dial(d.addr); err != nil {
			return 0, nil, err
		}
	}
	s, err := d.taker.acquire(c)
	took := time.Since(due)
	if err == nil {
		err = d.taker.release(c, s)
	}
	if err != nil {
		c.close()
	}
	return took, c, err
}
