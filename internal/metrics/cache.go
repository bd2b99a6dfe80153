package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// A CacheUsage is what a cache keeps and has done since the start.
type CacheUsage struct {
	Bytes, Budget, Entries  int64
	Hits, Misses, Evictions uint64
}

// caches is a collector that reads each cache when it is collected.
type caches struct {
	mu                                         sync.Mutex
	usage                                      map[string]func() CacheUsage
	bytes, budget, entries, lookups, evictions *prometheus.Desc
}

func newCaches() *caches {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("copyhold_cache_"+name, help, append([]string{"cache"}, labels...), nil)
	}
	return &caches{
		usage:     map[string]func() CacheUsage{},
		bytes:     desc("bytes", "Estimated memory of a cache."),
		budget:    desc("budget_bytes", "Memory that a cache may use. All caches together: memory.cache_mib."),
		entries:   desc("entries", "Entries in a cache."),
		lookups:   desc("lookups_total", "Lookups in a cache, by result (hit or miss).", "result"),
		evictions: desc("evictions_total", "Entries that a cache dropped to make room."),
	}
}

// Cache has a cache's usage shown under a name.
func (m *Metrics) Cache(name string, usage func() CacheUsage) {
	if m == nil {
		return
	}
	m.caches.mu.Lock()
	defer m.caches.mu.Unlock()
	m.caches.usage[name] = usage
}

// Describe implements prometheus.Collector.
func (c *caches) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.bytes, c.budget, c.entries, c.lookups, c.evictions} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *caches) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, usage := range c.usage {
		u := usage()
		ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(u.Bytes), name)
		ch <- prometheus.MustNewConstMetric(c.budget, prometheus.GaugeValue, float64(u.Budget), name)
		ch <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(u.Entries), name)
		ch <- prometheus.MustNewConstMetric(c.lookups, prometheus.CounterValue, float64(u.Hits), name, "hit")
		ch <- prometheus.MustNewConstMetric(c.lookups, prometheus.CounterValue, float64(u.Misses), name, "miss")
		ch <- prometheus.MustNewConstMetric(c.evictions, prometheus.CounterValue, float64(u.Evictions), name)
	}
}
