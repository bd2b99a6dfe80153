package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what a background task measures from time to time: levels, not events.
type State struct {
	Pools    []Pool
	Expiries []Expiry
	Runways  []Runway
	Lags     []Lag

	Quarantines []Quarantine
	Clock       Clock
}

// Clock is the doubt about the server's time.
type Clock struct {
	InDoubt bool  // nothing is reclaimed
	Offset  int64 // seconds that the database's clock is ahead of the server's time
	Kept    int64 // seconds by which held units are kept longer
}

// Pool is the units of all pools with one name in one product.
type Pool struct {
	Environment, Product, Pool string
	Held, Capacity             int64
}

// Expiry is when the first thing of a kind ends. Kind is license, signing_key, key_set or root_set.
type Expiry struct {
	Environment, Kind string
	At                time.Time
}

// Runway is when something will first be denied, and the cause.
type Runway struct {
	Environment, Cause string
	At                 time.Time
}

// Lag is the number of log rows that wait to be sequenced, and since when.
type Lag struct {
	Environment string
	Rows        int64
	Since       time.Time // zero if none waits
}

// Quarantine is the number of log rows of an environment that cannot be sequenced.
type Quarantine struct {
	Environment string // it may not exist
	Cause       string
	Rows        int64
}

// snapshot is a collector of the latest State, so that a series disappears together
// with its subject.
type snapshot struct {
	mu    sync.Mutex
	state State
	now   func() time.Time

	held, capacity, expiry, runway, lagRows, lagAge, quarantined, clockDoubt, clockOffset, clockKept *prometheus.Desc
}

func newSnapshot() *snapshot {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &snapshot{
		held:     desc("copyhold_pool_held", "Units in use in the pools of all licenses.", "environment", "product", "pool"),
		capacity: desc("copyhold_pool_capacity", "Capacity of the pools of all licenses, in units.", "environment", "product", "pool"),
		expiry:   desc("copyhold_expiry_seconds", "Seconds until the first of a kind ends; negative if it has ended.", "environment", "kind"),
		runway:   desc("copyhold_runway_seconds", "Seconds until something will be denied, and the first cause.", "environment", "cause"),
		lagRows:  desc("copyhold_log_lag_rows", "Log rows that are committed but not yet sequenced.", "environment"),
		lagAge:   desc("copyhold_log_lag_seconds", "Age of the oldest log row that is not yet sequenced, in seconds.", "environment"),

		quarantined: desc("copyhold_log_quarantined_rows", "Log rows that cannot be sequenced, by the environment that they name.", "environment", "cause"),
		clockDoubt:  desc("copyhold_clock_in_doubt", "1 while the clock is in doubt and nothing is reclaimed."),
		clockOffset: desc("copyhold_clock_offset_seconds", "Seconds by which the database's clock is ahead of the server's time; 0 while they agree."),
		clockKept:   desc("copyhold_clock_kept_seconds", "Unexplained seconds before the last start. Units held then are kept that much longer."),
	}
}

// SetState replaces every level.
func (m *Metrics) SetState(s State) {
	if m == nil {
		return
	}
	if len(s.Pools) > maxSeries {
		s.Pools = s.Pools[:maxSeries]
	}
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	m.state.state, m.state.now = s, m.now
}

// Describe implements prometheus.Collector.
func (s *snapshot) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.held, s.capacity, s.expiry, s.runway, s.lagRows, s.lagAge, s.quarantined, s.clockDoubt, s.clockOffset, s.clockKept} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *snapshot) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	state, now := s.state, s.now
	s.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	doubt := 0.0
	if state.Clock.InDoubt {
		doubt = 1
	}
	gauge(s.clockDoubt, doubt)
	gauge(s.clockOffset, float64(state.Clock.Offset))
	gauge(s.clockKept, float64(state.Clock.Kept))
	for _, p := range state.Pools {
		gauge(s.held, float64(p.Held), p.Environment, p.Product, p.Pool)
		gauge(s.capacity, float64(p.Capacity), p.Environment, p.Product, p.Pool)
	}
	for _, e := range state.Expiries {
		gauge(s.expiry, e.At.Sub(now()).Seconds(), e.Environment, e.Kind)
	}
	for _, r := range state.Runways {
		gauge(s.runway, max(0, r.At.Sub(now()).Seconds()), r.Environment, r.Cause)
	}
	for _, l := range state.Lags {
		age := 0.0
		if !l.Since.IsZero() {
			age = max(0, now().Sub(l.Since).Seconds())
		}
		gauge(s.lagRows, float64(l.Rows), l.Environment)
		gauge(s.lagAge, age, l.Environment)
	}
	for _, q := range state.Quarantines {
		gauge(s.quarantined, float64(q.Rows), q.Environment, q.Cause)
	}
}
