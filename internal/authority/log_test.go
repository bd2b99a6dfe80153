package authority

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
)

const testEnv licensing.Env = "production"

// ready returns a started authority with keys for testEnv. A sealing key may be
// shared between the servers of a test; nil makes one.
func ready(t testing.TB, db *store.DB, dir string, sealing *signing.SealingKey) *Authority {
	t.Helper()
	if sealing == nil {
		var err error
		if sealing, err = signing.NewSealingKey(); err != nil {
			t.Fatal(err)
		}
	}
	a := New(Config{DB: db, Ring: signing.NewRing(sealing), Dir: dir})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.PrepareKeys(t.Context(), testEnv); err != nil {
		t.Fatal(err)
	}
	return a
}

// note records events that begin leases, in one row.
func note(ctx context.Context, a *Authority, l licensing.LicenseID, subjects ...string) error {
	return a.update(ctx, testEnv, "test", func(c *change) error {
		for _, s := range subjects {
			if _, err := c.Record(licensing.Event{Type: licensing.LeaseBegun, License: l, Subject: s}); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestSequencersOfManyServersPlaceEachEntryOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := ready(t, db, "", nil)
		b := ready(t, db, "", a.ring.Sealing())
		before := a.head(testEnv)
		if err := a.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		var work sync.WaitGroup
		for w := range 4 {
			work.Go(func() {
				for i := range 30 {
					if err := note(t.Context(), []*Authority{a, b}[w%2], "lic_1", fmt.Sprintf("w%d-%d", w, i), "x"); err != nil {
						t.Error(err)
					}
					if err := []*Authority{b, a}[w%2].Sequence(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
		if err := a.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		if before != nil && a.head(testEnv).Size <= before.Size {
			t.Error("the head has not moved")
		}
		found := 0
		err := a.view(t.Context(), func(tx *store.Tx) error {
			next := int64(0)
			for r, err := range tx.LogRows(t.Context(), testEnv) {
				if err != nil {
					return err
				}
				if r.First != next {
					t.Errorf("row %s begins at %d, want %d", r.ID, r.First, next)
				}
				next = r.First + r.Entries
				found++
			}
			if next != a.head(testEnv).Size {
				t.Errorf("%d entries, the head has %d", next, a.head(testEnv).Size)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if found < 120 {
			t.Errorf("%d rows of 120", found)
		}
	})
}

func BenchmarkSequencer(b *testing.B) {
	for _, open := range []struct {
		name string
		db   func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		for _, each := range []int{1, 50} {
			b.Run(fmt.Sprintf("%s/%d entries a row", open.name, each), func(b *testing.B) {
				a := ready(b, open.db(b), "", nil)
				subjects := make([]string, each)
				const rows = 500
				for b.Loop() {
					b.StopTimer()
					for range rows {
						if err := note(b.Context(), a, "lic_1", subjects...); err != nil {
							b.Fatal(err)
						}
					}
					b.StartTimer()
					if err := a.Sequence(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*rows*each)/b.Elapsed().Seconds(), "entries/s")
			})
		}
	}
}
