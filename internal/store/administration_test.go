package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// update runs fn in a transaction that must succeed.
func update(t *testing.T, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func someLicense(env licensing.Env, id licensing.LicenseID) licensing.License {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	return licensing.License{
		Env: env, ID: id, Product: "lathe", Customer: "cus_1", Plan: "studio", Channel: "stable", Granted: "00", Edition: "pro",
		Status: licensing.Active, Payment: licensing.Unpaid, Reference: "order " + string(id), Issued: at, Start: at, End: at.Add(time.Hour),
		Maintenance: at.Add(2 * time.Hour),
		Addons:      []licensing.Grant{{Addon: "render", Quantity: 2, Until: at}},
		Exceptions:  []licensing.Exception{{ID: "exc_1", Pool: "seats", Adjust: licensing.Adjustment{Add: true, Amount: 3}, Reason: "promised", At: at}},
		Scheduled:   []licensing.Change{{Plan: "solo", When: licensing.ChangeAtRenewal}},
		Metadata:    map[string]string{"deal": "7"},
		Seq:         license.Seq{Epoch: 1, Counter: 9},
	}
}

func TestALicenseComesBackAsItWasStored(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		want := someLicense("production", "lic_1")
		update(t, db, func(tx *store.Tx) error {
			for _, id := range []licensing.LicenseID{"lic_1", "lic_2", "lic_3"} {
				if free, err := tx.InsertLicense(t.Context(), someLicense("production", id)); err != nil || !free {
					t.Errorf("storing %s: %v, %v", id, free, err)
				}
			}
			if free, err := tx.InsertLicense(t.Context(), someLicense("staging", "lic_1")); err != nil || !free {
				t.Errorf("the same id in another environment: %v, %v", free, err)
			}
			taken := someLicense("production", "lic_4")
			taken.Reference = want.Reference
			if free, err := tx.InsertLicense(t.Context(), taken); err != nil || free {
				t.Errorf("the same reference twice: %v, %v", free, err)
			}
			got, ok, err := tx.LockLicense(t.Context(), "production", "lic_1")
			if err != nil || !ok {
				t.Fatalf("%v, %v", ok, err)
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b license.Value) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			want.Status, want.End = licensing.Suspended, time.Time{}
			return tx.UpdateLicense(t.Context(), want)
		})
		update(t, db, func(tx *store.Tx) error {
			for _, tc := range []struct {
				name   string
				filter store.LicenseFilter
				want   int
			}{
				{"all", store.LicenseFilter{}, 3},
				{"suspended", store.LicenseFilter{Status: licensing.Suspended}, 1},
				{"of nobody", store.LicenseFilter{Customer: "cus_2"}, 0},
				{"by everything", store.LicenseFilter{Customer: "cus_1", Product: "lathe", Plan: "studio", Channel: "stable", Status: licensing.Active, Reference: "order lic_2"}, 1},
				{"ending", store.LicenseFilter{EndsBefore: want.Issued.Add(2 * time.Hour)}, 2},
				{"granted", store.LicenseFilter{Revision: "00"}, 3},
				{"not granted", store.LicenseFilter{NotGranted: []licensing.RevisionID{"00"}}, 0},
				{"not of a product", store.LicenseFilter{NotProduct: "lathe"}, 0},
			} {
				got, err := tx.Licenses(t.Context(), "production", tc.filter, "", 10)
				if err != nil || len(got) != tc.want {
					t.Errorf("%s: %d licenses, want %d (%v)", tc.name, len(got), tc.want, err)
				}
			}
			rest, err := tx.Licenses(t.Context(), "production", store.LicenseFilter{}, "lic_1", 1)
			if err != nil || len(rest) != 1 || rest[0].ID != "lic_2" {
				t.Errorf("after lic_1 comes %v (%v)", rest, err)
			}
			counts, err := tx.CountLicenses(t.Context(), "production", store.LicenseFilter{Product: "lathe"}, want.Issued.Add(2*time.Hour))
			if diff := cmp.Diff([]store.LicenseCount{
				{Plan: "studio", Status: licensing.Active, Ended: true, Count: 2},
				{Plan: "studio", Status: licensing.Suspended, Count: 1},
			}, counts); diff != "" || err != nil {
				t.Error(diff, err)
			}
			ending, err := tx.EndingLicenses(t.Context(), "production", store.LicenseFilter{Product: "lathe"}, want.Issued, 5)
			if err != nil || len(ending) != 2 || ending[0].ID != "lic_2" {
				t.Errorf("ending: %v (%v)", ending, err)
			}
			if full, err := tx.FullestPools(t.Context(), "production", store.LicenseFilter{Product: "lathe", Status: licensing.Active}, 5); err != nil || len(full) != 0 {
				t.Errorf("full: %v (%v)", full, err)
			}
			return nil
		})
	})
}

func TestAnEnvironmentSeesOnlyItsOwnRows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		update(t, db, func(tx *store.Tx) error {
			for _, env := range []licensing.Env{"production", "staging"} {
				if _, err := tx.InsertEnvironment(ctx, licensing.Environment{Name: env, Kind: licensing.Staging, Created: tx.Now()}); err != nil {
					return err
				}
				if _, err := tx.InsertCustomer(ctx, licensing.Customer{Env: env, ID: "cus_1", Name: "Ada " + string(env), Reference: "7", Metadata: map[string]string{"a": "b"}, Created: tx.Now()}); err != nil {
					return err
				}
				if _, err := tx.InsertProduct(ctx, licensing.Product{Env: env, Name: "lathe", Title: string(env), Salt: []byte{1, 2}, Created: tx.Now()}); err != nil {
					return err
				}
				if _, err := tx.InsertKey(ctx, store.Key{Env: env, License: "lic_1", ID: "ABCDE", Digest: "d1", CreatedAt: tx.Now()}); err != nil {
					return err
				}
				if _, err := tx.InsertRevocation(ctx, env, store.Revocation{Subject: "lic_1", At: tx.Now(), Reason: "x"}); err != nil {
					return err
				}
			}
			_, err := tx.InsertRevocation(ctx, "staging", store.Revocation{Subject: "lic_2", At: tx.Now(), Until: tx.Now()})
			return err
		})
		update(t, db, func(tx *store.Tx) error {
			c, ok, err := tx.CustomerByReference(ctx, "staging", "7")
			if err != nil || !ok || c.Name != "Ada staging" || c.Metadata["a"] != "b" {
				t.Errorf("%v, %v, %v", c, ok, err)
			}
			if c, ok, _ := tx.CustomerByReference(ctx, "staging", ""); ok {
				t.Errorf("an empty reference belongs to %v", c)
			}
			p, ok, err := tx.Product(ctx, "production", "lathe")
			if err != nil || !ok || p.Title != "production" || len(p.Salt) != 2 {
				t.Errorf("%v, %v, %v", p, ok, err)
			}
			keys, err := tx.KeysByDigest(ctx, "d1")
			if err != nil || len(keys) != 2 {
				t.Errorf("%v, %v", keys, err)
			}
			if free, err := tx.InsertKey(ctx, store.Key{Env: "staging", License: "lic_2", ID: "FGHIJ", Digest: "d1"}); err != nil || free {
				t.Errorf("one key opens two licenses of an environment: %v, %v", free, err)
			}
			for env, want := range map[licensing.Env]int64{"production": 1, "staging": 2, "development": 0} {
				if n, err := tx.RevocationNumber(ctx, env); err != nil || n != want {
					t.Errorf("%s: number %d, want %d (%v)", env, n, want, err)
				}
			}
			// Revocations are no longer needed after the documents' own dates have ended.
			told, err := tx.Revocations(ctx, "staging", tx.Now().Add(time.Second))
			if err != nil || len(told) != 1 || told[0].Subject != "lic_1" {
				t.Errorf("%v, %v", told, err)
			}
			if free, err := tx.InsertRevocation(ctx, "staging", store.Revocation{Subject: "lic_1"}); err != nil || free {
				t.Errorf("revoked twice: %v, %v", free, err)
			}
			return nil
		})
	})
}

func TestAnAnswerIsKeptOnceAndReplacedWhenOld(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		answer := func(text string, at time.Time) store.Answer {
			return store.Answer{Env: "production", Token: "tok_1", Route: "issue", Key: "k", Body: "b", Answer: text, At: at}
		}
		update(t, db, func(tx *store.Tx) error {
			if free, err := tx.InsertAnswer(ctx, answer("first", at), at.Add(-time.Hour)); err != nil || !free {
				t.Errorf("%v, %v", free, err)
			}
			if free, err := tx.InsertAnswer(ctx, answer("second", at), at.Add(-time.Hour)); err != nil || free {
				t.Errorf("a stored answer was replaced too early: %v, %v", free, err)
			}
			got, ok, err := tx.Answer(ctx, "production", "tok_1", "issue", "k", at.Add(-time.Hour))
			if err != nil || !ok || got.Answer != "first" {
				t.Errorf("%v, %v, %v", got, ok, err)
			}
			if _, ok, _ := tx.Answer(ctx, "production", "tok_2", "issue", "k", at.Add(-time.Hour)); ok {
				t.Error("another token got the answer")
			}
			later := at.Add(25 * time.Hour)
			if free, err := tx.InsertAnswer(ctx, answer("third", later), at); err != nil || !free {
				t.Errorf("an expired answer was not replaced: %v, %v", free, err)
			}
			if n, err := tx.DeleteAnswers(ctx, later, 10); err != nil || n != 1 {
				t.Errorf("%d answers were deleted (%v)", n, err)
			}
			return nil
		})
	})
}

func TestKeysOverlapAndEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		update(t, db, func(tx *store.Tx) error {
			for _, k := range []store.Key{
				{ID: "A", Digest: "a"},
				{ID: "B", Digest: "b", ExpiresAt: at.Add(-time.Hour)},
				{ID: "C", Digest: "c", Imported: true, Hint: "…42"},
			} {
				k.Env, k.License, k.CreatedAt = "production", "lic_1", at
				if _, err := tx.InsertKey(ctx, k); err != nil {
					return err
				}
			}
			if err := tx.EndKeys(ctx, "production", "lic_1", "C", at); err != nil {
				return err
			}
			keys, err := tx.Keys(ctx, "production", "lic_1")
			if err != nil || len(keys) != 3 {
				t.Fatalf("%v, %v", keys, err)
			}
			if !keys[0].ExpiresAt.Equal(at) || !keys[1].ExpiresAt.Equal(at.Add(-time.Hour)) || !keys[2].ExpiresAt.IsZero() || !keys[2].Imported {
				t.Errorf("%+v", keys)
			}
			if ok, err := tx.DeleteKey(ctx, "production", "lic_1", "A"); err != nil || !ok {
				t.Errorf("%v, %v", ok, err)
			}
			if ok, err := tx.DeleteKey(ctx, "staging", "lic_1", "B"); err != nil || ok {
				t.Errorf("another environment's key was deleted: %v", err)
			}
			return nil
		})
	})
}
