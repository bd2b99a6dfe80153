package store_test

import (
	"testing"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
)

// TestWhatIsRefusedWithTheCommitIsUndone writes a row with a duplicate key, which PostgreSQL
// receives together with the COMMIT. The outcome is still known.
func TestWhatIsRefusedWithTheCommitIsUndone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		lease := func(id licensing.LeaseID) []*licensing.Lease {
			return []*licensing.Lease{{Env: "test", ID: id, License: "lic_a", Pool: "seats", Holder: string(id), Units: 1, Generation: 1}}
		}
		put := func(ids ...licensing.LeaseID) error {
			return db.Update(t.Context(), func(tx *store.Tx) error {
				for _, id := range ids {
					if err := tx.InsertLeases(t.Context(), lease(id)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := put("lse_1"); err != nil {
			t.Fatal(err)
		}
		for range 3 { // more often than the number of sessions that a refusal could have broken
			if err := put("lse_2", "lse_1"); !db.IsUnique(err) || licensing.CodeOf(err) == licensing.OutcomeUnknown {
				t.Fatalf("a duplicate key: %v", err)
			}
		}
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Lease(t.Context(), store.LeaseKey{Env: "test", ID: "lse_2"}); licensing.CodeOf(err) != licensing.NotFound {
				t.Errorf("rows before the refused row were kept: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
