package copyholdopenfeature

import (
	"context"
	"maps"
	"slices"

	"github.com/open-feature/go-sdk/openfeature"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// staleReason is the specification's reason for a value that may be out of date.
const staleReason openfeature.Reason = "STALE"

// BooleanEvaluation returns a feature that is on or off.
func (p *Provider) BooleanEvaluation(_ context.Context, flag string, otherwise bool, _ openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	return evaluate(p, flag, otherwise, func(v license.Value, f *copyhold.Feature) (bool, bool) {
		_, ok := v.Bool()
		return f.Enabled(), ok
	})
}

// IntEvaluation returns the number of a feature.
func (p *Provider) IntEvaluation(_ context.Context, flag string, otherwise int64, _ openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return evaluate(p, flag, otherwise, func(v license.Value, f *copyhold.Feature) (int64, bool) {
		_, ok := v.Int()
		return f.Int(), ok
	})
}

// FloatEvaluation returns the number of a feature. Licenses have whole numbers.
func (p *Provider) FloatEvaluation(_ context.Context, flag string, otherwise float64, _ openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return evaluate(p, flag, otherwise, func(v license.Value, f *copyhold.Feature) (float64, bool) {
		_, ok := v.Int()
		return float64(f.Int()), ok
	})
}

// StringEvaluation returns the text of a feature.
func (p *Provider) StringEvaluation(_ context.Context, flag string, otherwise string, _ openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	return evaluate(p, flag, otherwise, func(v license.Value, f *copyhold.Feature) (string, bool) {
		_, ok := v.Text()
		return f.Text(), ok
	})
}

// ObjectEvaluation returns the value of a feature in its own type: bool, int64, or string.
func (p *Provider) ObjectEvaluation(_ context.Context, flag string, otherwise any, _ openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	return evaluate(p, flag, otherwise, func(v license.Value, f *copyhold.Feature) (any, bool) {
		if _, ok := v.Bool(); ok {
			return f.Enabled(), true
		}
		if _, ok := v.Int(); ok {
			return f.Int(), true
		}
		return f.Text(), true
	})
}

// evaluate resolves a flag. Read gets v, the feature's value in the license. It returns the current
// value, and false if the feature has another type.
func evaluate[T any](p *Provider, flag string, otherwise T, read func(v license.Value, f *copyhold.Feature) (T, bool)) openfeature.GenericResolutionDetail[T] {
	failed := func(err openfeature.ResolutionError) openfeature.GenericResolutionDetail[T] {
		return openfeature.GenericResolutionDetail[T]{Value: otherwise, ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
			ResolutionError: err, Reason: openfeature.ErrorReason,
		}}
	}
	if p.shut.Load() {
		return failed(openfeature.NewProviderNotReadyResolutionError("the provider was shut down"))
	}
	doc, d := p.client.License(), p.client.Check(flag)
	if doc == nil {
		if d.Outcome == license.Unavailable {
			return failed(openfeature.NewProviderNotReadyResolutionError(d.String()))
		}
		var nothing T // the server signed a denial, and the flag's type is not known
		return openfeature.GenericResolutionDetail[T]{Value: nothing, ProviderResolutionDetail: detail(d)}
	}
	value, known := valueOf(doc, flag)
	if !known {
		return failed(openfeature.NewFlagNotFoundResolutionError("the license has no feature " + flag))
	}
	// Only names that the license knows get a handle, so that arbitrary names use no memory.
	got, fits := read(value, p.client.Feature(flag))
	if !fits {
		return failed(openfeature.NewTypeMismatchResolutionError("the feature " + flag + " has a different type"))
	}
	return openfeature.GenericResolutionDetail[T]{Value: got, ProviderResolutionDetail: detail(d)}
}

// detail explains where a value comes from.
func detail(d license.Decision) openfeature.ProviderResolutionDetail {
	r := openfeature.ProviderResolutionDetail{Reason: openfeature.StaticReason, Variant: "granted", FlagMetadata: openfeature.FlagMetadata{
		"state": string(d.State), "code": d.Code, "reason": d.Reason,
	}}
	switch {
	case d.Outcome != license.Allowed:
		r.Reason, r.Variant = openfeature.DisabledReason, "denied"
	case d.Code == license.CodeFallback:
		r.Reason, r.Variant = openfeature.DefaultReason, "fallback"
	case d.State == license.StateStale || d.State == license.StateGrace:
		r.Reason = staleReason
	}
	return r
}

// valueOf returns the value of a feature, which determines the flag's type.
func valueOf(doc *license.License, name string) (license.Value, bool) {
	if f, ok := doc.Features[name]; ok {
		return f.Value, true
	}
	f, ok := doc.Fallback[name]
	return f.Value, ok
}

// flags returns the names of all flags.
func flags(doc *license.License) []string {
	if doc == nil {
		return nil
	}
	names := map[string]bool{}
	for _, set := range []map[string]license.Feature{doc.Features, doc.Fallback} {
		for name := range set {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// differences returns the flags whose value in after is different.
func differences(before, after *license.License) []string {
	var changed []string
	for _, name := range flags(&license.License{Features: before.Features, Fallback: after.Features}) {
		if before.Features[name] != after.Features[name] {
			changed = append(changed, name)
		}
	}
	for _, name := range flags(&license.License{Features: before.Fallback, Fallback: after.Fallback}) {
		if before.Fallback[name] != after.Fallback[name] && !slices.Contains(changed, name) {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed
}
