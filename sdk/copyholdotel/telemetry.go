package copyholdotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

const scope = "copyhold.dev/sdk/copyholdotel"

// A Telemetry reports to one tracer provider and one meter provider. It is safe for concurrent use,
// and a program can have several.
type Telemetry struct {
	tracer trace.Tracer
	meter  metric.Meter

	changes  metric.Int64Counter
	recalls  metric.Int64Counter
	acquire  metric.Float64Histogram
	recorded metric.Int64Counter
	refused  metric.Int64Counter
}

// New creates the instruments. It fails only if a provider does.
func New(traces trace.TracerProvider, metrics metric.MeterProvider) (*Telemetry, error) {
	t := &Telemetry{tracer: traces.Tracer(scope), meter: metrics.Meter(scope)}
	var errs [5]error
	t.changes, errs[0] = t.meter.Int64Counter("copyhold.state.changes", metric.WithDescription("Steps of the license and of leases on the ladder"))
	t.recalls, errs[1] = t.meter.Int64Counter("copyhold.recalls", metric.WithDescription("Leases that an administrator asked for"))
	t.acquire, errs[2] = t.meter.Float64Histogram("copyhold.acquire.duration", metric.WithUnit("s"), metric.WithDescription("How long Acquire took"))
	t.recorded, errs[3] = t.meter.Int64Counter("copyhold.usage.recorded", metric.WithDescription("Usage events that the program recorded"))
	t.refused, errs[4] = t.meter.Int64Counter("copyhold.usage.refused", metric.WithDescription("Usage events that a server did not count"))
	return t, errors.Join(errs[:]...)
}

// Options returns o with callbacks that count changes, recalls, and refused usage, and then call
// the callbacks of o.
func (t *Telemetry) Options(o copyhold.Options) copyhold.Options {
	changed, recalled, refused := o.OnChange, o.OnRecall, o.OnUsageRefused
	o.OnChange = func(c copyhold.Change) {
		t.changes.Add(context.Background(), 1, metric.WithAttributes(changeAttributes(c)...))
		if changed != nil {
			changed(c)
		}
	}
	o.OnRecall = func(r copyhold.Recall) {
		t.recalls.Add(context.Background(), 1, metric.WithAttributes(pool(r.Lease.Pool())))
		if recalled != nil {
			recalled(r)
		}
	}
	o.OnUsageRefused = func(r copyhold.UsageRefusal) {
		t.refused.Add(context.Background(), 1, metric.WithAttributes(attribute.String("copyhold.meter", r.Usage.Meter), attribute.String("copyhold.code", codeOf(r.Err))))
		if refused != nil {
			refused(r)
		}
	}
	return o
}

func changeAttributes(c copyhold.Change) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("copyhold.from", string(c.From.State)), attribute.String("copyhold.to", string(c.To.State)),
		attribute.String("copyhold.cause", string(c.Cause)),
	}
	if c.Lease != nil {
		all = append(all, pool(c.Lease.Pool()))
	}
	return all
}

func pool(name string) attribute.KeyValue { return attribute.String("copyhold.pool", name) }

// Watch reports the gauges of a client whenever metrics are collected, until stop is called.
func (t *Telemetry) Watch(c *copyhold.Client) (stop func() error, err error) {
	var g gauges
	var errs [5]error
	g.state, errs[0] = t.meter.Int64ObservableGauge("copyhold.license.state", metric.WithDescription("1 for the state that the license is in"))
	g.enabled, errs[1] = t.meter.Int64ObservableGauge("copyhold.feature.enabled", metric.WithDescription("1 if the license allows the feature now"))
	g.held, errs[2] = t.meter.Int64ObservableGauge("copyhold.pool.held", metric.WithDescription("Units that this program holds"))
	g.unsent, errs[3] = t.meter.Int64ObservableGauge("copyhold.usage.unsent", metric.WithDescription("Usage events that no server has yet"))
	g.silence, errs[4] = t.meter.Float64ObservableGauge("copyhold.server.silence", metric.WithUnit("s"), metric.WithDescription("Time since the last signed answer"))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	registration, err := t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		g.observe(o, c)
		return nil
	}, g.state, g.enabled, g.held, g.unsent, g.silence)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}

type gauges struct {
	state, enabled, held, unsent metric.Int64ObservableGauge
	silence                      metric.Float64ObservableGauge
}

func (g gauges) observe(o metric.Observer, c *copyhold.Client) {
	why := c.Why()
	for _, s := range []license.State{license.StateNone, license.StateValid, license.StateStale, license.StateGrace, license.StateDegraded, license.StateDenied} {
		o.ObserveInt64(g.state, number(s == why.Decision.State), metric.WithAttributes(attribute.String("copyhold.state", string(s))))
	}
	o.ObserveInt64(g.unsent, int64(why.Usage))
	if !why.LastContact.IsZero() {
		o.ObserveFloat64(g.silence, max(time.Since(why.LastContact).Seconds(), 0))
	}
	if doc := c.License(); doc != nil {
		for name := range doc.Features {
			o.ObserveInt64(g.enabled, number(c.Enabled(name)), metric.WithAttributes(attribute.String("copyhold.feature", name)))
		}
		held := map[string]int64{}
		for name := range doc.Pools {
			held[name] = 0
		}
		for _, l := range why.Leases {
			if l.Decision.Outcome == license.Allowed && l.ID != "" {
				held[l.Pool] += l.Units
			}
		}
		for name, units := range held {
			o.ObserveInt64(g.held, units, metric.WithAttributes(pool(name)))
		}
	}
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Check calls Client.Check and adds the result as an event to the span in ctx. If the span is not
// recorded, it costs no more than the check.
func (t *Telemetry) Check(ctx context.Context, c *copyhold.Client, feature string) license.Decision {
	d := c.Check(feature)
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("copyhold.check", trace.WithAttributes(append(decisionAttributes(d), attribute.String("copyhold.feature", feature))...))
	}
	return d
}

// Acquire calls Client.Acquire in a span and records its duration in a histogram. A denial is not
// an error of the span, because the license answered.
func (t *Telemetry) Acquire(ctx context.Context, c *copyhold.Client, name string, o copyhold.AcquireOptions) (*copyhold.Lease, error) {
	ctx, span := t.tracer.Start(ctx, "copyhold.acquire", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(pool(name), attribute.Int64("copyhold.units", max(o.Units, 1))))
	defer span.End()
	began := time.Now()
	lease, err := c.Acquire(ctx, name, o)
	d := decisionOf(err)
	if err == nil {
		d = lease.Decision()
		span.SetAttributes(attribute.String("copyhold.lease", lease.ID()))
	}
	t.acquire.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(
		pool(name), attribute.String("copyhold.outcome", string(d.Outcome)), attribute.String("copyhold.code", d.Code)))
	finish(span, c, d, err)
	return lease, err
}

// Release calls Lease.Release in a span.
func (t *Telemetry) Release(ctx context.Context, c *copyhold.Client, l *copyhold.Lease) error {
	ctx, span := t.tracer.Start(ctx, "copyhold.release", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(pool(l.Pool()), attribute.String("copyhold.lease", l.ID())))
	defer span.End()
	err := l.Release(ctx)
	finish(span, c, decisionOf(err), err)
	return err
}

// Record calls Client.RecordUsage and counts the events by meter. The client sends them later, so
// they belong to no span.
func (t *Telemetry) Record(ctx context.Context, c *copyhold.Client, events ...copyhold.Usage) error {
	err := c.RecordUsage(events...)
	for _, u := range events {
		attributes := []attribute.KeyValue{attribute.String("copyhold.meter", u.Meter)}
		switch {
		case errors.Is(err, copyhold.ErrUsage): // the meter's name may be anything, so leave it out
			attributes = []attribute.KeyValue{attribute.String("error.type", codeOf(err))}
		case err != nil:
			attributes = append(attributes, attribute.String("error.type", codeOf(err)))
		}
		t.recorded.Add(ctx, 1, metric.WithAttributes(attributes...))
	}
	return err
}

// finish records the result of a call in a span.
func finish(span trace.Span, c *copyhold.Client, d license.Decision, err error) {
	span.SetAttributes(decisionAttributes(d)...)
	if doc := c.License(); doc != nil {
		span.SetAttributes(attribute.String("copyhold.license", doc.Subject))
	}
	if err != nil && !errors.Is(err, copyhold.ErrDenied) {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}

func decisionAttributes(d license.Decision) []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("copyhold.outcome", string(d.Outcome)), attribute.String("copyhold.code", d.Code)}
	if d.Rule != "" {
		all = append(all, attribute.String("copyhold.rule", d.Rule))
	}
	if d.RequestID != "" {
		all = append(all, attribute.String("copyhold.request", d.RequestID))
	}
	return all
}

// decisionOf returns the decision in an error. An error without one is a fault of the program.
func decisionOf(err error) license.Decision {
	var d *copyhold.DecisionError
	switch {
	case err == nil:
		return license.Decision{Outcome: license.Allowed, Code: license.CodeOK}
	case errors.As(err, &d):
		return d.Decision
	}
	return license.Decision{Outcome: "failed", Code: codeOf(err)}
}

// codeOf returns the code of an error, for a metric.
func codeOf(err error) string {
	var d *copyhold.DecisionError
	if errors.As(err, &d) {
		return d.Decision.Code
	}
	for _, k := range []struct {
		kind error
		name string
	}{
		{copyhold.ErrRequest, "request"}, {copyhold.ErrUsage, "usage"}, {copyhold.ErrSpoolFull, "spool_full"}, {copyhold.ErrCache, "cache"},
		{copyhold.ErrNoKey, "no_key"}, {copyhold.ErrClosed, "closed"},
	} {
		if errors.Is(err, k.kind) {
			return k.name
		}
	}
	return "other"
}
