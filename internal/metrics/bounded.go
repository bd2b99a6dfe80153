package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// bounded is a counter whose labels come from plans. It keeps at most maxSeries
// series and counts the rest under "other", so that no plan can exhaust memory.
type bounded struct {
	*prometheus.CounterVec
	arity int

	mu     sync.RWMutex
	series map[[5]string]prometheus.Counter
}

func newBounded(name, help string, labels ...string) *bounded {
	return &bounded{
		CounterVec: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels),
		arity:      len(labels),
		series:     map[[5]string]prometheus.Counter{},
	}
}

func (b *bounded) inc(values ...string) {
	var key [5]string
	copy(key[:], values)
	b.mu.RLock()
	counter := b.series[key]
	b.mu.RUnlock()
	if counter == nil {
		counter = b.add(key)
	}
	counter.Inc()
}

// add creates a new series, or uses the one named "other" if there are too many. That one
// keeps only the last two labels, which are names from the code.
func (b *bounded) add(key [5]string) prometheus.Counter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if counter := b.series[key]; counter != nil {
		return counter
	}
	full := len(b.series) >= maxSeries
	if full {
		for i := range b.arity - 2 {
			key[i] = "other"
		}
	}
	counter := b.WithLabelValues(key[:b.arity]...)
	if !full {
		b.series[key] = counter
	}
	return counter
}
