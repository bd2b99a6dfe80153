package authority

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
)

// BenchmarkAcquireRelease lets 64 programs acquire and release a seat of one busy pool, signed and
// durable, directly at the authority. One operation is an acquire and a release.
func BenchmarkAcquireRelease(b *testing.B) {
	for _, held := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("sqlite/held=%d", held), func(b *testing.B) { benchAcquireRelease(b, storetest.SQLite(b), held) })
	}
	b.Run("postgres", func(b *testing.B) { benchAcquireRelease(b, storetest.Postgres(b), 0) })
}

func benchAcquireRelease(b *testing.B, db *store.DB, held int) {
	d := newTestAuthority(b, db)
	db.Now = nil
	d.Authority.ledger.Clock.Machine = ledger.ThisMachine()
	d.Authority.ledger.Clock.Begin(db.Latest())
	d.ledger.Now = time.Now
	go d.ledger.RunSequencer(b.Context())
	fill(b, d, held)
	var n atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(n.Add(1))
			q := ask("big", i)
			q.RequestID = licensing.NewID("req", time.Now(), [10]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)})
			g, err := d.Acquire(b.Context(), d.p, q)
			if err == nil && g.Lease == nil {
				err = fmt.Errorf("denied: %+v", g.Decision)
			}
			if err == nil {
				_, err = d.Release(b.Context(), d.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: g.Lease.Generation})
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// fill gives n seats to other holders.
func fill(b *testing.B, d *testAuthority, n int) {
	for from := 0; from < n; from += 1000 {
		var batch granting.LeaseBatch
		for i := from; i < min(n, from+1000); i++ {
			q := ask("big", i)
			q.RequestID, q.Holder.ID = fmt.Sprintf("fill-%d", i), fmt.Sprintf("fill-%x-%d", uint32(i)*2654435761, i)
			batch.Acquire = append(batch.Acquire, q)
		}
		for _, o := range d.Batch(b.Context(), d.p, batch).Acquire {
			if o.Err != nil || o.Granted.Lease == nil {
				b.Fatalf("filling: %v %+v", o.Err, o.Granted.Decision)
			}
		}
	}
}
