package copyhold

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

func benchClient(b *testing.B) *Client {
	b.Helper()
	v := newVendor(b, time.Now)
	file := filepath.Join(b.TempDir(), "acme.license")
	if err := os.WriteFile(file, v.bundle(), 0o600); err != nil {
		b.Fatal(err)
	}
	o := v.options()
	o.Endpoints, o.LicenseFile, o.SpoolLimit = nil, file, 1<<40
	c, err := Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	if !c.Enabled("export") {
		b.Fatal(c.Why())
	}
	return c
}

// BenchmarkAtomicLoad is the yardstick: an atomic load and a bit test.
func BenchmarkAtomicLoad(b *testing.B) {
	var word atomic.Uint32
	word.Store(1)
	on := 0
	for b.Loop() {
		if word.Load()&1 != 0 {
			on++
		}
	}
	if on == 0 {
		b.Fatal("off")
	}
}

func BenchmarkEnabled(b *testing.B) {
	f := benchClient(b).Feature("export")
	b.ReportAllocs()
	on := 0
	for b.Loop() {
		if f.Enabled() {
			on++
		}
	}
	if on == 0 {
		b.Fatal("off")
	}
}

func BenchmarkEnabledByName(b *testing.B) {
	c := benchClient(b)
	b.ReportAllocs()
	on := 0
	for b.Loop() {
		if c.Enabled("export") {
			on++
		}
	}
	if on == 0 {
		b.Fatal("off")
	}
}

func BenchmarkInt(b *testing.B) {
	f := benchClient(b).Feature("layers")
	b.ReportAllocs()
	var sum int64
	for b.Loop() {
		sum += f.Int()
	}
	if sum == 0 {
		b.Fatal("no number")
	}
}

func BenchmarkCheck(b *testing.B) {
	c := benchClient(b)
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Check("export")
	}
}

func BenchmarkRecord(b *testing.B) {
	c := benchClient(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Record("calls", 1); err != nil {
			b.Fatal(err)
		}
	}
}
