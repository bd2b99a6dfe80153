// Package cache keeps recently read values in memory. Caches are bounded by bytes, not by entries, so
// the memory of a server does not depend on the size of its licenses.
package cache

import (
	"context"
	"errors"
	"math"
	"sync"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"

	"copyhold.dev/internal/metrics"
)

// overhead is what a key and its value cost in the cache's own structures, in bytes.
const overhead = 160

// A Cache keeps values by key, up to a budget in bytes. To make room it drops those that are used
// least, one at a time. Values are compared with ==, so pointers are compared as pointers. A
// Cache is safe for concurrent use.
type Cache[K, V comparable] struct {
	kept  *otter.Cache[K, V]
	stats *stats.Counter

	mu      sync.Mutex
	loading map[K]*loading[V]
}

// New returns a cache. Size estimates the bytes of a key with its value. A value that alone is
// larger than the budget is not kept.
func New[K, V comparable](budget int64, size func(K, V) int) *Cache[K, V] {
	counter := stats.NewCounter()
	return &Cache[K, V]{stats: counter, loading: map[K]*loading[V]{}, kept: otter.Must(&otter.Options[K, V]{
		MaximumWeight: uint64(max(budget, 1)),
		Weigher: func(key K, value V) uint32 {
			return uint32(min(int64(overhead)+int64(size(key, value)), math.MaxUint32))
		},
		StatsRecorder: counter,
		Executor:      func(do func()) { do() }, // a cache has no goroutines of its own
	})}
}

// Get returns the value of key, if there is one.
func (c *Cache[K, V]) Get(key K) (V, bool) { return c.kept.GetIfPresent(key) }

// Put keeps a value.
func (c *Cache[K, V]) Put(key K, value V) { c.kept.Set(key, value) }

// Load returns the value of key if fresh reports true for it. Otherwise it loads the value, given
// the stale one or the zero value, which stays in the cache meanwhile. Calls for one key share a
// load, which continues when the caller that began it leaves. A call that follows a Forget of key
// shares no load that began before it, and what such a load returns is not kept. A load that fails
// changes nothing.
func (c *Cache[K, V]) Load(ctx context.Context, key K, fresh func(V) bool, load func(ctx context.Context, stale V) (V, error)) (V, error) {
	for {
		stale, found := c.kept.GetIfPresent(key)
		if found && fresh(stale) {
			return stale, nil
		}
		l, began := c.join(key, stale)
		if l == nil { // a load has just finished
			continue
		}
		if began {
			defer c.finish(key, l)
			l.value, l.err = load(context.WithoutCancel(ctx), stale)
			return l.value, l.err
		}
		select {
		case <-l.done:
			return l.value, l.err
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
	}
}

// join returns the load of key in progress, or begins one, unless the cache has another value by now
// than the stale one.
func (c *Cache[K, V]) join(key K, stale V) (l *loading[V], began bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.loading[key]; l != nil {
		return l, false
	}
	if now, _ := c.kept.GetIfPresent(key); now != stale {
		return nil, false
	}
	l = &loading[V]{done: make(chan struct{}), err: errPanicked}
	c.loading[key] = l
	return l, true
}

// loading is a load that several calls wait for.
type loading[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// errPanicked is what calls get that wait for a load which panics.
var errPanicked = errors.New("another request that loaded the same thing has failed")

// finish keeps what a load returned unless it was forgotten meanwhile, and wakes its callers.
func (c *Cache[K, V]) finish(key K, l *loading[V]) {
	c.mu.Lock()
	if c.loading[key] == l {
		delete(c.loading, key)
		if l.err == nil {
			c.kept.Set(key, l.value)
		}
	}
	c.mu.Unlock()
	close(l.done)
}

// Forget drops the value of key.
func (c *Cache[K, V]) Forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.loading, key)
	c.kept.Invalidate(key)
}

// Resized has the size of a value that has changed estimated again, if the cache still keeps it.
func (c *Cache[K, V]) Resized(key K, value V) {
	c.kept.ComputeIfPresent(key, func(now V) (V, otter.ComputeOp) {
		if now == value {
			return now, otter.WriteOp
		}
		return now, otter.CancelOp
	})
}

// Usage returns what the cache keeps now.
func (c *Cache[K, V]) Usage() metrics.CacheUsage {
	s := c.stats.Snapshot()
	return metrics.CacheUsage{
		Bytes: int64(c.kept.WeightedSize()), Budget: int64(c.kept.GetMaximum()), Entries: int64(c.kept.EstimatedSize()),
		Hits: s.Hits, Misses: s.Misses, Evictions: s.Evictions,
	}
}

// A Budget is the memory for all caches of a server, in bytes.
type Budget int64

// DefaultBudget is the memory for caches if none is set.
const DefaultBudget Budget = 64 << 20

// Share returns a percentage of the budget, 0 standing for the default.
func (b Budget) Share(percent int64) int64 {
	if b == 0 {
		b = DefaultBudget
	}
	return int64(b) / 100 * percent
}
