package copyholdopenfeature_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/copyholdopenfeature"
	"copyhold.dev/sdk/copyholdtest"
	"copyhold.dev/sdk/license"
)

// patience limits how long a test waits for another goroutine, even on a busy machine.
const patience = time.Minute

var nobody = openfeature.EvaluationContext{}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A program uses a license through the OpenFeature SDK.
type program struct {
	*openfeature.Client
	lic      *copyholdtest.License
	provider *copyholdopenfeature.Provider
}

func plan() copyholdtest.Plan {
	return copyholdtest.Plan{
		Features: map[string]any{"boolean-flag": true, "off-flag": false, "integer-flag": 10, "string-flag": "hi"},
		Fallback: map[string]any{"integer-flag": 5},
	}
}

// start registers the provider under a domain of the test's own.
func start(t *testing.T) *program {
	t.Helper()
	p := &program{lic: copyholdtest.New(t, plan())}
	var err error
	p.provider, err = copyholdopenfeature.Open(t.Context(), p.lic.Options())
	must(t, err)
	must(t, openfeature.SetNamedProviderAndWait(t.Name(), p.provider))
	t.Cleanup(p.provider.Shutdown)
	p.Client = openfeature.NewClient(t.Name())
	return p
}

// Scenarios of the specification's evaluation.feature: resolution of values and details.
func TestSpecificationEvaluation(t *testing.T) {
	p := start(t)
	ctx := t.Context()
	t.Run("values", func(t *testing.T) {
		b, err := p.BooleanValue(ctx, "boolean-flag", false, nobody)
		if err != nil || !b {
			t.Errorf("boolean: %v, %v", b, err)
		}
		s, err := p.StringValue(ctx, "string-flag", "bye", nobody)
		if err != nil || s != "hi" {
			t.Errorf("string: %v, %v", s, err)
		}
		i, err := p.IntValue(ctx, "integer-flag", 1, nobody)
		if err != nil || i != 10 {
			t.Errorf("integer: %v, %v", i, err)
		}
		f, err := p.FloatValue(ctx, "integer-flag", 0.1, nobody)
		if err != nil || f != 10 {
			t.Errorf("float: %v, %v", f, err)
		}
		for name, want := range map[string]any{"boolean-flag": true, "string-flag": "hi", "integer-flag": int64(10)} {
			if o, err := p.ObjectValue(ctx, name, nil, nobody); err != nil || o != want {
				t.Errorf("object %s: %v, %v", name, o, err)
			}
		}
	})
	t.Run("details", func(t *testing.T) {
		d, err := p.BooleanValueDetails(ctx, "boolean-flag", false, nobody)
		if err != nil || !d.Value || d.Variant != "granted" || d.Reason != openfeature.StaticReason || d.ErrorCode != "" || d.FlagMetadata["state"] != "valid" {
			t.Errorf("%+v, %v", d, err)
		}
		off, err := p.BooleanValueDetails(ctx, "off-flag", true, nobody)
		if err != nil || off.Value || off.Variant != "denied" || off.Reason != openfeature.DisabledReason || off.ErrorCode != "" {
			t.Errorf("what is off: %+v, %v", off, err)
		}
	})
	t.Run("a context changes nothing", func(t *testing.T) {
		who := openfeature.NewEvaluationContext("user-1", map[string]any{"fn": "Sulisław", "age": 29})
		if b, err := p.BooleanValue(ctx, "boolean-flag", false, who); err != nil || !b {
			t.Errorf("%v, %v", b, err)
		}
	})
	t.Run("flag not found", func(t *testing.T) {
		d, err := p.StringValueDetails(ctx, "missing-flag", "uh-oh", nobody)
		if err == nil || d.Value != "uh-oh" || d.Reason != openfeature.ErrorReason || d.ErrorCode != openfeature.FlagNotFoundCode || d.ErrorMessage == "" {
			t.Errorf("%+v, %v", d, err)
		}
	})
	t.Run("type error", func(t *testing.T) {
		i, err := p.IntValueDetails(ctx, "string-flag", 13, nobody)
		if err == nil || i.Value != 13 || i.Reason != openfeature.ErrorReason || i.ErrorCode != openfeature.TypeMismatchCode {
			t.Errorf("integer: %+v, %v", i, err)
		}
		b, err := p.BooleanValueDetails(ctx, "integer-flag", true, nobody)
		if err == nil || !b.Value || b.ErrorCode != openfeature.TypeMismatchCode {
			t.Errorf("boolean: %+v, %v", b, err)
		}
		f, err := p.FloatValueDetails(ctx, "boolean-flag", 0.5, nobody)
		if err == nil || f.Value != 0.5 || f.ErrorCode != openfeature.TypeMismatchCode {
			t.Errorf("float: %+v, %v", f, err)
		}
		s, err := p.StringValueDetails(ctx, "boolean-flag", "x", nobody)
		if err == nil || s.Value != "x" || s.ErrorCode != openfeature.TypeMismatchCode {
			t.Errorf("string: %+v, %v", s, err)
		}
	})
	if name := p.provider.Metadata().Name; name != "copyhold" || p.Metadata().Domain() != t.Name() {
		t.Errorf("the provider is %q", name)
	}
}

// If the license does not allow a flag now, the default does not apply: the flag is false, 0, or
// empty.
func TestTheLadderDecides(t *testing.T) {
	p := start(t)
	for _, tc := range []struct {
		state   license.State
		boolean bool
		integer int64
		reason  openfeature.Reason
		variant string
	}{
		{license.StateStale, true, 10, "STALE", "granted"},
		{license.StateGrace, true, 10, "STALE", "granted"},
		{license.StateDegraded, false, 5, openfeature.DefaultReason, "fallback"},
		{license.StateDenied, false, 0, openfeature.DisabledReason, "denied"},
		{license.StateValid, true, 10, openfeature.StaticReason, "granted"},
	} {
		p.lic.SetState(tc.state)
		b, err := p.BooleanValueDetails(t.Context(), "boolean-flag", true, nobody)
		if err != nil || b.Value != tc.boolean || b.ErrorCode != "" {
			t.Errorf("%s: %+v, %v", tc.state, b, err)
		}
		i, err := p.IntValueDetails(t.Context(), "integer-flag", 99, nobody)
		if err != nil || i.Value != tc.integer || i.Reason != tc.reason || i.Variant != tc.variant {
			t.Errorf("%s: %+v, %v", tc.state, i, err)
		}
	}
}

// A provider without a license is not ready. It becomes ready by itself once there is a license.
func TestWithoutALicense(t *testing.T) {
	lic := copyholdtest.New(t, plan())
	lic.Offline()
	p, err := copyholdopenfeature.Open(t.Context(), lic.Options())
	must(t, err)
	t.Cleanup(p.Shutdown)
	var init *openfeature.ProviderInitError
	if err := p.Init(nobody); !errors.As(err, &init) || init.ErrorCode != openfeature.ProviderNotReadyCode || init.Message == "" {
		t.Fatalf("Init: %v", err)
	}
	d := p.BooleanEvaluation(t.Context(), "boolean-flag", true, nil)
	if !d.Value || d.Reason != openfeature.ErrorReason || d.ResolutionDetail().ErrorCode != openfeature.ProviderNotReadyCode {
		t.Errorf("%+v", d)
	}
	c := openfeature.NewClient(t.Name())
	must(t, openfeature.SetNamedProvider(t.Name(), p))
	deadline := time.After(patience)
	for c.State() != openfeature.ErrorState { // reached once the SDK has called Init
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("the provider is %v", c.State())
		}
	}
	ready := listen(c, openfeature.ProviderReady)
	lic.Online()
	heard(t, ready)
	if b, err := c.BooleanValue(t.Context(), "boolean-flag", false, nobody); err != nil || !b {
		t.Errorf("%v, %v", b, err)
	}
}

// A signed denial is an answer: the provider is ready, and flags are off.
func TestADenialIsAnAnswer(t *testing.T) {
	lic := copyholdtest.New(t, plan())
	lic.SetState(license.StateDenied)
	p, err := copyholdopenfeature.Open(t.Context(), lic.Options())
	must(t, err)
	t.Cleanup(p.Shutdown)
	must(t, openfeature.SetNamedProviderAndWait(t.Name(), p))
	d, err := openfeature.NewClient(t.Name()).BooleanValueDetails(t.Context(), "boolean-flag", true, nobody)
	if err != nil || d.Value || d.Reason != openfeature.DisabledReason || d.FlagMetadata["code"] != license.CodeSuspended {
		t.Errorf("%+v, %v", d, err)
	}
}

// listen makes the SDK report events of one kind.
func listen(c *openfeature.Client, kind openfeature.EventType) chan openfeature.EventDetails {
	heard := make(chan openfeature.EventDetails, 100)
	callback := func(d openfeature.EventDetails) { heard <- d }
	c.AddHandler(kind, &callback)
	return heard
}

// heard waits for an event that the provider itself sent, because the SDK also reports the current
// state to each new handler.
func heard(t *testing.T, from chan openfeature.EventDetails) openfeature.EventDetails {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case d := <-from:
			if d.EventMetadata["state"] != nil {
				return d
			}
		case <-deadline:
			t.Fatal("no event")
		}
	}
}

func TestEventsFollowTheLadder(t *testing.T) {
	p := start(t)
	stale, ready, changed := listen(p.Client, openfeature.ProviderStale), listen(p.Client, openfeature.ProviderReady), listen(p.Client, openfeature.ProviderConfigChange)
	want := func(what string, from chan openfeature.EventDetails, state license.State, flags ...string) {
		t.Helper()
		d := heard(t, from)
		if d.EventMetadata["state"] != string(state) || d.Message == "" || len(flags) > 0 && !reflect.DeepEqual(d.FlagChanges, flags) {
			t.Errorf("%s: %+v", what, d)
		}
	}
	all := []string{"boolean-flag", "integer-flag", "off-flag", "string-flag"}
	p.lic.SetFeature("integer-flag", 20)
	want("an upgrade", changed, license.StateValid, "integer-flag")
	want("still ready", ready, license.StateValid)
	p.lic.SetState(license.StateDegraded)
	down := map[any]bool{} // the SDK calls handlers in any order
	for range 3 {
		down[heard(t, stale).EventMetadata["state"]] = true
	}
	if !down["stale"] || !down["grace"] || !down["degraded"] {
		t.Errorf("heard of %v", down)
	}
	want("the fallback counts", changed, license.StateDegraded, all...)
	p.lic.SetState(license.StateValid)
	want("everything counts", changed, license.StateValid, all...)
	want("up again", ready, license.StateValid)
	p.lic.SetState(license.StateDenied)
	want("nothing counts", changed, license.StateDenied, all...)
	want("a signed no", ready, license.StateDenied)
}

// The provider reports in order: first the flags' values, then the quality of the answers.
func TestEventsAreInOrder(t *testing.T) {
	lic := copyholdtest.New(t, plan())
	p, err := copyholdopenfeature.Open(t.Context(), lic.Options())
	must(t, err)
	t.Cleanup(p.Shutdown)
	must(t, p.Init(nobody))
	lic.Advance(0) // changes from Open were reported before Init, or Init reports them
	for len(p.EventChannel()) > 0 {
		<-p.EventChannel()
	}
	lic.SetState(license.StateDegraded)
	lic.SetState(license.StateValid)
	var got []string
	for len(p.EventChannel()) > 0 {
		e := <-p.EventChannel()
		got = append(got, string(e.EventType)+" "+e.EventMetadata["code"].(string))
	}
	want := []string{
		"PROVIDER_STALE stale", "PROVIDER_STALE grace", "PROVIDER_CONFIGURATION_CHANGED degraded", "PROVIDER_STALE degraded",
		"PROVIDER_CONFIGURATION_CHANGED ok", "PROVIDER_READY ok",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// If nobody reads events, nothing waits for them.
func TestEventsThatNobodyReads(t *testing.T) {
	lic := copyholdtest.New(t, plan())
	p, err := copyholdopenfeature.Open(t.Context(), lic.Options())
	must(t, err)
	t.Cleanup(p.Shutdown)
	must(t, p.Init(nobody))
	for i := range 100 {
		lic.SetFeature("integer-flag", 100+i) // returns once the callbacks have
	}
	last := openfeature.Event{}
	for len(p.EventChannel()) > 0 {
		last = <-p.EventChannel()
	}
	if last.EventType != openfeature.ProviderReady {
		t.Errorf("the last event is %+v", last)
	}
}

// The program's own callbacks are called, too.
func TestTheProgramHearsToo(t *testing.T) {
	lic := copyholdtest.New(t, plan())
	o := lic.Options()
	changes, licenses := 0, 0
	o.OnChange = func(copyhold.Change) { changes++ }
	o.OnLicense = func(_, _ *license.License) { licenses++ }
	p, err := copyholdopenfeature.Open(t.Context(), o)
	must(t, err)
	lic.SetState(license.StateGrace)
	p.Shutdown()
	if changes < 2 || licenses < 1 {
		t.Errorf("%d changes, %d licenses", changes, licenses)
	}
}

func TestShutdown(t *testing.T) {
	p := start(t)
	must(t, p.provider.Client().Close()) // also after the program has closed the client
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 {
		must(t, p.provider.ShutdownWithContext(ctx))
	}
	d := p.provider.BooleanEvaluation(t.Context(), "boolean-flag", false, nil)
	if d.Value || d.Reason != openfeature.ErrorReason || d.ResolutionDetail().ErrorCode != openfeature.ProviderNotReadyCode {
		t.Errorf("%+v", d)
	}
	if err := p.provider.Init(nobody); err == nil {
		t.Error("a provider that was shut down starts again")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	other, err := copyholdopenfeature.Open(t.Context(), p.lic.Options())
	must(t, err)
	if err := other.ShutdownWithContext(gone); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOpenFailsAsTheClientDoes(t *testing.T) {
	if _, err := copyholdopenfeature.Open(t.Context(), copyhold.Options{}); !errors.Is(err, copyhold.ErrOptions) {
		t.Error(err)
	}
}

// Arbitrary flag names use no memory.
func TestUnknownFlagsAreNotKept(t *testing.T) {
	p := start(t)
	before := testing.AllocsPerRun(100, func() { p.provider.BooleanEvaluation(t.Context(), "missing", false, nil) })
	for i := range 10_000 {
		p.provider.BooleanEvaluation(t.Context(), string(rune('a'+i%26))+time.Duration(i).String(), false, nil)
	}
	if after := testing.AllocsPerRun(100, func() { p.provider.BooleanEvaluation(t.Context(), "missing", false, nil) }); after > before {
		t.Errorf("%v allocations, and %v after 10,000 unknown names", before, after)
	}
}
