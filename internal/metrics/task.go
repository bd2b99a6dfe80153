package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// tasks is a collector of the time since each background task last succeeded. It computes the
// age when it is read, so a task that hangs is visible.
type tasks struct {
	mu       sync.Mutex
	last     map[string]time.Time
	failures *prometheus.CounterVec
	age      *prometheus.Desc
	now      func() time.Time
}

func newTasks(now func() time.Time) *tasks {
	return &tasks{
		last: map[string]time.Time{},
		now:  now,
		age:  prometheus.NewDesc("copyhold_task_age_seconds", "Seconds since a background task last succeeded.", []string{"task"}, nil),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "copyhold_task_failures_total", Help: "Failed runs of a background task."}, []string{"task"}),
	}
}

// Task records a run of a background task. A task is known from its first call. Call it
// once with nil when the task starts, so that the age also grows if the task never succeeds.
func (m *Metrics) Task(name string, err error) {
	if m == nil {
		return
	}
	t := m.tasks
	if err != nil {
		t.failures.WithLabelValues(name).Inc()
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last[name] = t.now()
}

// Describe implements prometheus.Collector.
func (t *tasks) Describe(ch chan<- *prometheus.Desc) {
	ch <- t.age
	t.failures.Describe(ch)
}

// Collect implements prometheus.Collector.
func (t *tasks) Collect(ch chan<- prometheus.Metric) {
	t.failures.Collect(ch)
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, at := range t.last {
		ch <- prometheus.MustNewConstMetric(t.age, prometheus.GaugeValue, t.now().Sub(at).Seconds(), name)
	}
}
