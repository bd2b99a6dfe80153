package store_test

import (
	"reflect"
	"testing"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
)

// Licenses of one revision share the decoded plan. A revision is found by its plan and environment,
// too: the same plan file in another environment is another revision.
func TestLicensesShareTheirRevision(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		rev, err := licensing.NewRevision(licensing.Plan{Name: "team", Product: "lathe", Pools: map[string]licensing.Pool{"seats": {Capacity: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.InsertPlan(t.Context(), "production", store.Plan{Name: "team", Product: "lathe"}); err != nil {
				return err
			}
			_, err := tx.InsertRevision(t.Context(), "production", store.Revision{Revision: rev})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		read := func(env licensing.Env, plan licensing.PlanName) (found licensing.Revision, ok bool) {
			t.Helper()
			err := db.View(t.Context(), func(tx *store.Tx) (err error) {
				found, ok, err = tx.RevisionOf(t.Context(), licensing.License{Env: env, Plan: plan, Granted: rev.ID})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return found, ok
		}
		first, ok := read("production", "team")
		second, again := read("production", "team")
		if !ok || !again || reflect.ValueOf(first.Plan.Pools).Pointer() != reflect.ValueOf(second.Plan.Pools).Pointer() {
			t.Error("two licenses do not share their revision")
		}
		if _, ok := read("staging", "team"); ok {
			t.Error("a revision was found in an environment that does not have it")
		}
		if _, ok := read("production", "other"); ok {
			t.Error("a revision was found under another plan")
		}
	})
}
