package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// measureCheck compares the in-process check with an atomic load and a bit test, the minimum
// that a check can cost.
func measureCheck(ctx context.Context, s settings) ([]row, error) {
	client, end, err := licensed(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	feature := client.Feature("feature_01")
	if !feature.Enabled() {
		return nil, fmt.Errorf("the license does not grant feature_01: %+v", client.Check("feature_01"))
	}
	var bits atomic.Uint64
	bits.Store(1 << 7)
	bare := func() (float64, error) {
		n := 0
		r := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				if bits.Load()&(1<<7) != 0 {
					n++
				}
			}
		})
		return nanoseconds(r), nil
	}
	handle, allocs := counted(func(b *testing.B) {
		n := 0
		for b.Loop() {
			if feature.Enabled() {
				n++
			}
		}
	})
	a, b, ratios, err := pair(ctx, s.pairs, handle, bare)
	if err != nil {
		return nil, err
	}
	first := atMost("check by handle", "ns", 2, a, b, ratios)
	first.Allocs = allocs
	byName, allocs := counted(func(b *testing.B) {
		n := 0
		for b.Loop() {
			if client.Enabled("feature_01") {
				n++
			}
		}
	})
	a, b, ratios, err = pair(ctx, s.pairs, byName, bare)
	if err != nil {
		return nil, err
	}
	second := atMost("check by name", "ns", 25, a, b, ratios)
	second.Allocs = allocs
	second.Target, second.Met = "<= 25 ns", a <= 25
	return []row{first, second}, nil
}

// counted is a measurement that also records allocations per operation.
func counted(f func(*testing.B)) (measure func() (float64, error), allocs *float64) {
	allocs = new(float64)
	return func() (float64, error) {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			f(b)
		})
		*allocs = float64(r.AllocsPerOp())
		return nanoseconds(r), nil
	}, allocs
}

// licensed opens the SDK with a license file and without a server.
func licensed(ctx context.Context) (*copyhold.Client, func(), error) {
	t, err := newTrust()
	if err != nil {
		return nil, nil, err
	}
	compact, err := t.sign(t.signer, license.TypeLicense, t.document())
	if err != nil {
		return nil, nil, err
	}
	bundle, err := license.EncodeBundle(license.Bundle{Doc: compact, KeySet: t.keySet})
	if err != nil {
		return nil, nil, err
	}
	rootSet, err := json.Marshal(t.rootSet)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "copyhold-bench-")
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "license.json")
	if err := os.WriteFile(file, bundle, 0o600); err != nil {
		return nil, nil, err
	}
	c, err := copyhold.Open(ctx, copyhold.Options{LicenseFile: file, Product: "lathe", RootSet: rootSet, CacheDir: "-"})
	if err != nil {
		return nil, nil, err
	}
	return c, func() {
		c.Close()
		os.RemoveAll(dir)
	}, nil
}
