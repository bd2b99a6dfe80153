package copyholdopenfeature

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/open-feature/go-sdk/openfeature"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// maxEvents is how many events are queued for the OpenFeature SDK. If the queue is full, the oldest
// event is dropped, because the SDK never reads events if SetProviderAndWait has failed.
const maxEvents = 16

// A Provider answers flag evaluations from a license. It is safe for concurrent use.
type Provider struct {
	client *copyhold.Client
	opened chan struct{} // closed once client is set
	events chan openfeature.Event
	ended  chan struct{}
	once   sync.Once
	shut   atomic.Bool
	err    error // result of closing

	mu      sync.Mutex
	started bool     // Init was called, so the SDK reads events
	last    standing // the last standing that the OpenFeature SDK knows
}

// Open opens a client and returns the provider that owns it. The callbacks OnChange and OnLicense
// in the options are still called. It fails as copyhold.Open does.
func Open(ctx context.Context, o copyhold.Options) (*Provider, error) {
	p := &Provider{events: make(chan openfeature.Event, maxEvents), opened: make(chan struct{}), ended: make(chan struct{})}
	changed, licensed := o.OnChange, o.OnLicense
	o.OnChange = func(c copyhold.Change) {
		if changed != nil {
			changed(c)
		}
		if c.Lease == nil && p.ready() {
			p.climbed(c)
		}
	}
	o.OnLicense = func(before, after *license.License) {
		if licensed != nil {
			licensed(before, after)
		}
		if p.ready() {
			p.replaced(before, after)
		}
	}
	client, err := copyhold.Open(ctx, o)
	if err != nil {
		close(p.ended)
		return nil, err
	}
	p.client = client
	close(p.opened)
	return p, nil
}

// ready waits until Open has finished with the client, and reports whether it succeeded.
func (p *Provider) ready() bool {
	select {
	case <-p.opened:
		return true
	case <-p.ended:
		return false
	}
}

// Client returns the client of the license, for pools, meters and explanations.
func (p *Provider) Client() *copyhold.Client { return p.client }

// Metadata returns the provider's name.
func (p *Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "copyhold"} }

// Hooks returns nil.
func (p *Provider) Hooks() []openfeature.Hook { return nil }

// Init is InitWithContext without a context.
func (p *Provider) Init(of openfeature.EvaluationContext) error {
	return p.InitWithContext(context.Background(), of)
}

// InitWithContext returns nil if there is a license, in any state, or a signed denial. Otherwise it
// asks a server again. If that provides no license, the provider is not ready until the client
// has one.
func (p *Provider) InitWithContext(ctx context.Context, _ openfeature.EvaluationContext) error {
	if p.shut.Load() {
		return &openfeature.ProviderInitError{ErrorCode: openfeature.ProviderFatalCode, Message: "the provider was shut down"}
	}
	if p.know() {
		return nil
	}
	if err := p.client.Refresh(ctx); !p.know() {
		return &openfeature.ProviderInitError{ErrorCode: openfeature.ProviderNotReadyCode, Message: fmt.Sprint(err)}
	}
	return nil
}

// know records the license's standing. It reports whether there was ever a signed answer, in this
// process or an earlier one. Later changes are reported as events.
func (p *Provider) know() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.client.Why().Decision
	p.started = true
	p.last = standingOf(d, p.client.Standing().Cause)
	return d.Outcome != license.Unavailable
}

// Shutdown is ShutdownWithContext without a context.
func (p *Provider) Shutdown() { _ = p.ShutdownWithContext(context.Background()) }

// ShutdownWithContext closes the client, which gives leases back and sends usage. That takes some
// seconds at most and ends early with ctx. Another call returns the same result.
func (p *Provider) ShutdownWithContext(ctx context.Context) error {
	p.shut.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.once.Do(func() {
			close(p.ended)
			p.err = p.client.Close()
		})
	}()
	select {
	case <-done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// EventChannel returns the channel on which the OpenFeature SDK receives changes.
func (p *Provider) EventChannel() <-chan openfeature.Event { return p.events }

// climbed reports a step on the ladder: first that flags have new values, then the quality of the
// answers.
func (p *Provider) climbed(c copyhold.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := standingOf(c.To, c.Cause)
	if !p.started || next == p.last {
		return // Init reports it, or already has
	}
	if next.counts != p.last.counts {
		p.emit(openfeature.ProviderConfigChange, c.To, flags(p.client.License()))
	}
	p.last = next
	p.emit(next.quality, c.To, nil)
}

// A standing is the part of a state that matters to the OpenFeature SDK.
type standing struct {
	state   license.State
	counts  string                // the set of features that applies
	quality openfeature.EventType // quality of the answers
}

func standingOf(d license.Decision, cause license.Cause) standing {
	s := standing{state: d.State, counts: "nothing", quality: openfeature.ProviderReady} // a signed denial is a good answer
	switch {
	case d.State.Full():
		s.counts = "features"
	case d.State == license.StateDegraded:
		s.counts = "fallback"
	}
	switch {
	case d.Outcome == license.Unavailable:
		s.quality = openfeature.ProviderError
	case d.State != license.StateValid && (cause == license.CauseRefresh || cause == license.CauseClock):
		s.quality = openfeature.ProviderStale
	}
	return s
}

// replaced reports the flags that change with another license document.
func (p *Provider) replaced(before, after *license.License) {
	if before == nil || after == nil {
		return // climbed reports this step on the ladder
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if changed := differences(before, after); p.started && len(changed) > 0 {
		d := p.client.Why().Decision
		p.emit(openfeature.ProviderConfigChange, d, changed)
		p.emit(standingOf(d, p.client.Standing().Cause).quality, d, nil) // restore the quality: the SDK treats a change as ready
	}
}

func (p *Provider) emit(kind openfeature.EventType, d license.Decision, flags []string) {
	e := openfeature.Event{ProviderName: p.Metadata().Name, EventType: kind, ProviderEventDetails: openfeature.ProviderEventDetails{
		Message: d.String(), FlagChanges: flags, EventMetadata: map[string]any{"state": string(d.State), "code": d.Code},
	}}
	if kind == openfeature.ProviderError {
		e.ErrorCode = openfeature.ProviderNotReadyCode
	}
	for {
		select {
		case p.events <- e:
			return
		default:
		}
		select {
		case <-p.events:
		default:
		}
	}
}
