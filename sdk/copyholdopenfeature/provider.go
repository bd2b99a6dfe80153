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

// maxEvents is how many events may wait for the OpenFeature SDK to read them. The oldest makes
// way for the next one: the SDK does not read at all where SetProviderAndWait has failed.
const maxEvents = 16

// A Provider answers flag evaluations from a license. It is safe for concurrent use.
type Provider struct {
	client *copyhold.Client
	opened chan struct{} // closed once client is set
	events chan openfeature.Event
	ended  chan struct{}
	once   sync.Once
	shut   atomic.Bool
	err    error // of closing

	mu      sync.Mutex
	started bool     // Init was called: somebody reads events
	last    standing // what the OpenFeature SDK knows
}

// Open opens a client and returns the provider that owns it. OnChange and OnLicense of the
// options are still called. It fails as copyhold.Open does.
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

// ready waits until Open is done with the client, and reports whether it succeeded.
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

// Metadata names the provider.
func (p *Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "copyhold"} }

// Hooks returns none.
func (p *Provider) Hooks() []openfeature.Hook { return nil }

// Init is InitWithContext without a context.
func (p *Provider) Init(of openfeature.EvaluationContext) error {
	return p.InitWithContext(context.Background(), of)
}

// InitWithContext returns nil once there is a license, in whatever state, or a signed denial.
// Without one it asks a server once more; if that gives none, the provider is not ready until the
// client hears of a license.
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

// know notes how the license stands, and reports whether a signed answer was ever seen, now or
// by an earlier process. What changes from then on is reported.
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

// ShutdownWithContext closes the client: leases are given back and usage is sent, for at most
// some seconds and no longer than ctx. Calling it again returns the same.
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

// EventChannel is where the OpenFeature SDK hears of changes.
func (p *Provider) EventChannel() <-chan openfeature.Event { return p.events }

// climbed reports a step on the ladder: first that flags have other values now, then how good
// the answers are.
func (p *Provider) climbed(c copyhold.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := standingOf(c.To, c.Cause)
	if !p.started || next == p.last {
		return // Init tells it, or has told it
	}
	if next.counts != p.last.counts {
		p.emit(openfeature.ProviderConfigChange, c.To, flags(p.client.License()))
	}
	p.last = next
	p.emit(next.quality, c.To, nil)
}

// A standing is what matters of a state to the OpenFeature SDK.
type standing struct {
	state   license.State
	counts  string                // which set of features
	quality openfeature.EventType // of the answers
}

func standingOf(d license.Decision, cause license.Cause) standing {
	s := standing{state: d.State, counts: "nothing", quality: openfeature.ProviderReady} // a signed no is a good answer
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

// replaced reports flags that another license document changes.
func (p *Provider) replaced(before, after *license.License) {
	if before == nil || after == nil {
		return // a step on the ladder, which is reported as that
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if changed := differences(before, after); p.started && len(changed) > 0 {
		d := p.client.Why().Decision
		p.emit(openfeature.ProviderConfigChange, d, changed)
		p.emit(standingOf(d, p.client.Standing().Cause).quality, d, nil) // the OpenFeature SDK takes a change for ready
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
