package copyholdotel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/copyholdotel"
	"copyhold.dev/sdk/copyholdtest"
	"copyhold.dev/sdk/license"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A station is a program with the real OpenTelemetry SDK, whose metrics are read on demand.
type station struct {
	*copyholdotel.Telemetry
	lic    *copyholdtest.License
	client *copyhold.Client
	spans  *tracetest.InMemoryExporter
	tracer trace.Tracer
	reader *sdkmetric.ManualReader
	stop   func() error
}

func start(t testing.TB, o func(*copyhold.Options)) *station {
	t.Helper()
	s := &station{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	s.lic = copyholdtest.New(t, copyholdtest.Plan{
		Features: map[string]any{"export": true, "off": false}, Pools: map[string]int64{"seats": 1}, Meters: map[string]int64{"calls": 2},
	})
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	s.tracer = traces.Tracer("program")
	var err error
	s.Telemetry, err = copyholdotel.New(traces, sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader)))
	must(t, err)
	options := s.lic.Options()
	if o != nil {
		o(&options)
	}
	s.client, err = copyhold.Open(t.Context(), s.Options(options))
	must(t, err)
	t.Cleanup(func() { _ = s.client.Close() })
	s.stop, err = s.Watch(s.client)
	must(t, err)
	return s
}

// values reads all metrics, by name and attributes. The value of a histogram is its count.
func (s *station) values(t testing.TB) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	must(t, s.reader.Collect(context.Background(), &all))
	values := map[string]float64{}
	put := func(name string, set attribute.Set, v float64) {
		var parts []string
		for _, kv := range set.ToSlice() {
			parts = append(parts, strings.TrimPrefix(string(kv.Key), "copyhold.")+"="+kv.Value.Emit())
		}
		slices.Sort(parts)
		values[strings.TrimSpace(strings.TrimPrefix(name, "copyhold.")+" "+strings.Join(parts, " "))] = v
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes, float64(p.Count))
				}
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	return values
}

func (s *station) want(t *testing.T, want map[string]float64) {
	t.Helper()
	got := s.values(t)
	for name, v := range want {
		if g, there := got[name]; !there || g != v {
			t.Errorf("%s is %v (%v), want %v; there are\n%s", name, g, there, v, strings.Join(slices.Sorted(maps.Keys(got)), "\n"))
		}
	}
}

func TestGaugesFollowTheLicense(t *testing.T) {
	s := start(t, nil)
	s.want(t, map[string]float64{
		"license.state state=valid": 1, "license.state state=grace": 0, "license.state state=denied": 0,
		"feature.enabled feature=export": 1, "feature.enabled feature=off": 0, "pool.held pool=seats": 0, "usage.unsent": 0,
	})
	seat, err := s.client.Acquire(t.Context(), "seats", copyhold.AcquireOptions{})
	must(t, err)
	must(t, s.client.Record("calls", 1))
	s.want(t, map[string]float64{"pool.held pool=seats": 1, "usage.unsent": 1})
	must(t, seat.Release(t.Context()))
	s.lic.SetState(license.StateGrace)
	s.want(t, map[string]float64{
		"license.state state=valid": 0, "license.state state=grace": 1, "pool.held pool=seats": 0, "usage.unsent": 0,
		"state.changes cause=refresh from=valid to=stale": 1, "state.changes cause=refresh from=stale to=grace": 1,
	})
	s.lic.SetState(license.StateDenied)
	s.want(t, map[string]float64{"license.state state=denied": 1, "feature.enabled feature=export": 0, "state.changes cause=revoked from=grace to=denied": 1})
	if silence := s.values(t)["server.silence"]; silence < 0 || silence > (30*24*time.Hour).Seconds() {
		t.Errorf("silent for %v seconds", silence)
	}
	must(t, s.stop())
	if _, there := s.values(t)["usage.unsent"]; there {
		t.Error("gauges are reported after stop")
	}
}

func TestAcquireIsTracedAndTimed(t *testing.T) {
	s := start(t, nil)
	ctx, parent := s.tracer.Start(t.Context(), "job")
	seat, err := s.Acquire(ctx, s.client, "seats", copyhold.AcquireOptions{})
	must(t, err)
	id := seat.ID()
	if _, err := s.Acquire(ctx, s.client, "seats", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrDenied) {
		t.Errorf("a second seat: %v", err)
	}
	must(t, s.Release(ctx, s.client, seat))
	s.lic.Offline()
	if _, err := s.Acquire(ctx, s.client, "seats", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrUnavailable) {
		t.Errorf("without a server: %v", err)
	}
	if _, err := s.Acquire(ctx, s.client, "seats", copyhold.AcquireOptions{Instance: "a\u00ad"}); !errors.Is(err, copyhold.ErrRequest) {
		t.Errorf("a wrong instance: %v", err)
	}
	parent.End()
	s.want(t, map[string]float64{
		"acquire.duration code=ok outcome=allowed pool=seats":              1,
		"acquire.duration code=pool_full outcome=denied pool=seats":        1,
		"acquire.duration code=unavailable outcome=unavailable pool=seats": 1,
		"acquire.duration code=request outcome=failed pool=seats":          1,
	})
	var got []string
	for _, span := range s.spans.GetSpans() {
		if span.Name != "job" && span.Parent.SpanID() != parent.SpanContext().SpanID() {
			t.Errorf("%s is no part of the job", span.Name)
		}
		a := map[attribute.Key]string{}
		for _, kv := range span.Attributes {
			a[kv.Key] = kv.Value.Emit()
		}
		if span.Name != "job" && a["copyhold.license"] != "lic_test" {
			t.Errorf("%s: %v", span.Name, a)
		}
		got = append(got, fmt.Sprint(span.Name, " ", a["copyhold.code"], " ", a["copyhold.lease"], " ", span.Status.Code == codes.Error, " ", len(span.Events)))
	}
	want := []string{
		"copyhold.acquire ok " + id + " false 0", "copyhold.acquire pool_full  false 0", "copyhold.release ok " + id + " false 0",
		"copyhold.acquire unavailable  true 1", "copyhold.acquire request  true 1", "job   false 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("spans\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestUsageIsCounted(t *testing.T) {
	told := 0
	s := start(t, func(o *copyhold.Options) { o.OnUsageRefused = func(copyhold.UsageRefusal) { told++ } })
	for range 3 { // the quota is 2
		must(t, s.Record(t.Context(), s.client, copyhold.Usage{Meter: "calls", Quantity: "1"}))
	}
	if err := s.Record(t.Context(), s.client, copyhold.Usage{Meter: "made up", Quantity: "1"}); !errors.Is(err, copyhold.ErrUsage) {
		t.Error(err)
	}
	if n := len(s.lic.Usage("calls")); n != 2 || told != 1 {
		t.Errorf("%d counted, %d refusals told", n, told)
	}
	s.want(t, map[string]float64{"usage.recorded meter=calls": 3, "usage.recorded error.type=usage": 1, "usage.refused code=quota_spent meter=calls": 1})
}

func TestRecallsAndChangesReachTheProgramToo(t *testing.T) {
	changes, recalls := 0, 0
	s := start(t, func(o *copyhold.Options) {
		o.OnChange = func(copyhold.Change) { changes++ }
		o.OnRecall = func(copyhold.Recall) { recalls++ }
	})
	_, err := s.client.Acquire(t.Context(), "seats", copyhold.AcquireOptions{})
	must(t, err)
	s.lic.Recall("seats", "needed", time.Minute)
	s.lic.Advance(2 * time.Minute)
	if recalls != 1 || changes < 1 {
		t.Errorf("%d recalls, %d changes", recalls, changes)
	}
	s.want(t, map[string]float64{"recalls pool=seats": 1, "pool.held pool=seats": 0})
}

func TestAChecksOutcomeIsAnEventOfTheSpan(t *testing.T) {
	s := start(t, nil)
	ctx, span := s.tracer.Start(t.Context(), "export")
	if d := s.Check(ctx, s.client, "off"); d.Outcome != license.Denied {
		t.Error(d)
	}
	span.End()
	spans := s.spans.GetSpans()
	if len(spans) != 1 || len(spans[0].Events) != 1 || spans[0].Events[0].Name != "copyhold.check" {
		t.Fatalf("%+v", spans)
	}
	text := fmt.Sprint(spans[0].Events[0].Attributes)
	if !strings.Contains(text, "feature_absent") || !strings.Contains(text, "off") {
		t.Error(text)
	}
}

// A check costs the same as without telemetry: it allocates nothing and calls nothing.
func TestAWatchedCheckCostsNothing(t *testing.T) {
	s := start(t, nil)
	export := s.client.Feature("export")
	if n := testing.AllocsPerRun(1000, func() { _ = export.Enabled() }); n != 0 {
		t.Errorf("a check allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { _ = s.client.Enabled("export") }); n != 0 {
		t.Errorf("a check by name allocates %v times", n)
	}
	bare, ctx := testing.AllocsPerRun(1000, func() { _ = s.client.Check("export") }), t.Context()
	if n := testing.AllocsPerRun(1000, func() { _ = s.Check(ctx, s.client, "export") }); n > bare {
		t.Errorf("a check outside of a trace allocates %v times, %v without telemetry", n, bare)
	}
}

func BenchmarkEnabledWatched(b *testing.B) {
	s := start(b, nil)
	export := s.client.Feature("export")
	b.ReportAllocs()
	for b.Loop() {
		_ = export.Enabled()
	}
}

func TestWithoutALicense(t *testing.T) {
	s := start(t, nil)
	stop, err := s.Watch(nil)
	must(t, err)
	s.want(t, map[string]float64{"license.state state=valid": 0})
	must(t, stop())
	if _, err := s.Acquire(t.Context(), nil, "seats", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrUnavailable) {
		t.Error(err)
	}
}
