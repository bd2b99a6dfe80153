package authority

import (
	"runtime"
	"testing"
	"time"

	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store/storetest"
)

// However many licenses are validated, they take no more memory than the cache budget, and the
// estimates that the budget is compared with are close to the heap.
func TestMemoryOfManyLicensesIsBounded(t *testing.T) {
	const budget, licenses = 4 << 20, 1500
	d := &testAuthority{clock: newTestClock()}
	db := storetest.SQLite(t)
	db.Now = d.clock.Now
	sealing, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	instruments := metrics.New(time.Now)
	d.Authority = New(ledger.Config{DB: db, Ring: signing.NewRing(sealing), Now: d.clock.Now, Machine: d.clock.machine(), Metrics: instruments, Cache: cache.Budget(budget)})
	t.Cleanup(d.Close)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.PrepareKeys(t.Context(), testEnv); err != nil {
		t.Fatal(err)
	}
	d.p = d.license(t, testPlan())
	rev, err := licensing.NewRevision(testPlan())
	if err != nil {
		t.Fatal(err)
	}
	validate := func(n int) {
		for range n {
			p := d.issue(t, rev)
			if _, err := d.Validate(t.Context(), p, documents.ValidateRequest{Product: "lathe"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	validate(10)
	before := heapInUse()
	validate(100)
	measured, estimated := float64(heapInUse()-before), cacheValue(t, instruments, "copyhold_cache_bytes")*100/110
	if estimated < measured/2 || estimated > measured*2 {
		t.Errorf("100 licenses: %.0f bytes by the estimate, %.0f on the heap", estimated, measured)
	}
	validate(licenses)
	if grown := heapInUse() - before; grown > budget*3/2 {
		t.Errorf("%d licenses take %d bytes; the budget is %d", licenses, grown, budget)
	}
	if kept := cacheValue(t, instruments, "copyhold_cache_bytes"); kept > budget || kept < budget/4 {
		t.Errorf("%.0f bytes are cached; the budget is %d", kept, budget)
	}
	if cacheValue(t, instruments, "copyhold_cache_evictions_total") == 0 {
		t.Error("nothing was evicted")
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cacheValue returns the sum over all caches of an instrument.
func cacheValue(t *testing.T, m *metrics.Metrics, name string) (sum float64) {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, one := range f.Metric {
				sum += one.GetGauge().GetValue() + one.GetCounter().GetValue()
			}
		}
	}
	return sum
}
