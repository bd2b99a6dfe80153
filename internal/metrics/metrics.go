// Package metrics contains every instrument of the server, in its own registry.
//
// It knows nothing of licensing: callers report events in the words of the
// API. Labels are bounded: a label is a name from the code, or an environment,
// product or pool of the vendor's plans, never a customer, a license or an address.
package metrics

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// maxSeries limits the series of one instrument that is labeled with names from
// plans. Further series are counted under "other".
const maxSeries = 2000

// Metrics contains every instrument. Its methods are safe for concurrent use, and a
// nil *Metrics records nothing.
type Metrics struct {
	registry *prometheus.Registry
	now      func() time.Time

	decisions *bounded
	denials   *bounded
	requests  *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	shed      *prometheus.CounterVec
	refused   *prometheus.CounterVec
	commits   *prometheus.HistogramVec
	batch     prometheus.Histogram
	panics    prometheus.Counter
	streams   prometheus.Gauge

	state  *snapshot
	tasks  *tasks
	caches *caches
}

// New returns instruments in their own registry. Now reads the clock that is used
// to measure ages.
func New(now func() time.Time) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		now:      now,
		decisions: newBounded("copyhold_decisions_total", "Decisions by outcome and code.",
			"environment", "product", "pool", "outcome", "code"),
		denials: newBounded("copyhold_denials_total",
			"Denials: the first for a license, pool, holder and code after 15 minutes without one (true), and the later ones (retried).",
			"environment", "product", "pool", "code", "kind"),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "copyhold_http_requests_total", Help: "Answered HTTP requests by operation and status."},
			[]string{"operation", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "copyhold_http_request_seconds", Help: "Time to answer a request, excluding held requests and streams.",
			Buckets: []float64{.0002, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}},
			[]string{"operation"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "copyhold_http_in_flight", Help: "Requests being worked on, by class."}, []string{"class"}),
		shed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "copyhold_http_shed_total", Help: "Requests refused because of overload, by class."},
			[]string{"class"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "copyhold_http_throttled_total", Help: "Requests refused by a rate limit, by limit."}, []string{"limit"}),
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "copyhold_commit_seconds", Help: "Time from the start of a transaction until it is durable.",
			Buckets: []float64{.0002, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}}, []string{"result"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "copyhold_commit_batch_requests", Help: "Requests that shared one transaction.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "copyhold_panics_total", Help: "Panics caught while answering requests. Each one is a defect."}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "copyhold_streams", Help: "Open change streams."}),
		state:  newSnapshot(),
		tasks:  newTasks(now),
		caches: newCaches(),
	}
	m.registry.MustRegister(m.decisions, m.denials, m.requests, m.latency, m.inFlight, m.shed, m.refused,
		m.commits, m.batch, m.panics, m.streams, m.state, m.tasks, m.caches,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gatherer returns a reader of every instrument. The API serves them in Prometheus formats.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Of returns Gatherer without the series of environments other than env.
func (m *Metrics) Of(env string) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := m.registry.Gather()
		for _, f := range families {
			f.Metric = slices.DeleteFunc(f.Metric, func(one *dto.Metric) bool {
				return slices.ContainsFunc(one.Label, func(l *dto.LabelPair) bool { return l.GetName() == "environment" && l.GetValue() != env })
			})
		}
		return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return len(f.Metric) == 0 }), err
	})
}

// Decision counts a decision. Pool is the requested pool, meter or feature, or empty for
// a validation.
func (m *Metrics) Decision(env, product, pool, outcome, code string) {
	if m != nil {
		m.decisions.inc(env, product, pool, outcome, code)
	}
}

// Denial counts a denial. Retried reports that the same holder was denied the
// same thing less than 15 minutes before.
func (m *Metrics) Denial(env, product, pool, code string, retried bool) {
	if m == nil {
		return
	}
	kind := "true"
	if retried {
		kind = "retried"
	}
	m.denials.inc(env, product, pool, code, kind)
}

// Commit records a transaction: the time until it was durable, the number of
// requests that shared it, and its error.
func (m *Metrics) Commit(took time.Duration, requests int, err error) {
	if m == nil {
		return
	}
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.commits.WithLabelValues(result).Observe(took.Seconds())
	m.batch.Observe(float64(requests))
}

// Panic counts a panic that was caught.
func (m *Metrics) Panic() {
	if m != nil {
		m.panics.Inc()
	}
}

// Shed counts a request refused because of overload.
func (m *Metrics) Shed(class string) {
	if m != nil {
		m.shed.WithLabelValues(class).Inc()
	}
}

// Throttled counts a request refused by a rate limit: address, prefix, credential.
func (m *Metrics) Throttled(limit string) {
	if m != nil {
		m.refused.WithLabelValues(limit).Inc()
	}
}

// Stream counts an opened stream and returns the function that closes it.
func (m *Metrics) Stream() (closed func()) {
	if m == nil {
		return func() {}
	}
	m.streams.Inc()
	return m.streams.Dec
}

// An Operation contains the instruments of one route, looked up once.
type Operation struct {
	requests *prometheus.CounterVec
	name     string
	latency  prometheus.Observer
	inFlight prometheus.Gauge
	statuses sync.Map // int → prometheus.Counter
}

// Operation returns the instruments of the route with this operation id.
func (m *Metrics) Operation(name, class string) *Operation {
	if m == nil {
		return nil
	}
	return &Operation{requests: m.requests, name: name,
		latency: m.latency.WithLabelValues(name), inFlight: m.inFlight.WithLabelValues(class)}
}

// Begin counts a request that is being worked on until End.
func (o *Operation) Begin() {
	if o != nil {
		o.inFlight.Inc()
	}
}

// End records the answer to a request that began. It ignores a zero took, which
// held requests have.
func (o *Operation) End(status int, took time.Duration) {
	if o == nil {
		return
	}
	o.inFlight.Dec()
	counter, known := o.statuses.Load(status)
	if !known {
		counter, _ = o.statuses.LoadOrStore(status, o.requests.WithLabelValues(o.name, strconv.Itoa(status)))
	}
	counter.(prometheus.Counter).Inc()
	if took > 0 {
		o.latency.Observe(took.Seconds())
	}
}
