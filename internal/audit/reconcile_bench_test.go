package audit_test

import (
	"fmt"
	"hash/maphash"
	"iter"
	"runtime"
	"testing"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
)

// BenchmarkReconcile compares a million live leases with their entries and reports
// the memory used in addition to the input.
func BenchmarkReconcile(b *testing.B) {
	const leases, perRow = 1_000_000, 1000
	id := func(n int) licensing.LeaseID { return licensing.LeaseID(fmt.Sprintf("lse_%026d", n)) }
	log := func(yield func(audit.PlacedRow, error) bool) {
		for first := 0; first < leases; first += perRow {
			row := audit.NewRow(fmt.Sprint("row_", first))
			for n := first; n < first+perRow; n++ {
				e, _ := licensing.NewEvent(licensing.LeaseBegun, "production", time.Unix(1, 0), "a", map[string]any{"holder": "h", "units": 1})
				e.License, e.Pool, e.Subject = "lic_1", "seats", string(id(n))
				_, _ = row.Add(e, audit.Salt{})
			}
			if !yield(audit.PlacedRow{ID: row.ID(), First: int64(first), Count: perRow, Body: row.Body()}, nil) {
				return
			}
		}
	}
	var rows iter.Seq2[licensing.Lease, error] = func(yield func(licensing.Lease, error) bool) {
		for n := range leases {
			if !yield(licensing.Lease{ID: id(n), License: "lic_1", Pool: "seats", Holder: "h", Units: 1}, nil) {
				return
			}
		}
	}
	seed := maphash.MakeSeed()
	for b.Loop() {
		var held runtime.MemStats
		watched := func(yield func(licensing.Lease, error) bool) {
			runtime.GC()
			runtime.ReadMemStats(&held)
			rows(yield)
		}
		r, err := audit.Reconcile(audit.Rows{
			Log: log, Leases: watched, Licenses: func(func(licensing.License, error) bool) {}, Count: leases - 1,
			Hash:   func(s string) uint64 { return maphash.String(seed, s) },
			Pools:  func(func(licensing.PoolCount) error) error { return nil },
			Meters: func(func(licensing.MeterCount) error) error { return nil },
		})
		if err != nil || !r.Agrees() || r.Leases != leases {
			b.Fatalf("%+v, %v", r, err)
		}
		b.ReportMetric(float64(held.HeapAlloc)/(1<<20), "MiB-held")
	}
}
