package authority

import (
	"strings"
	"testing"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// TestADenialNamesHoldersWhereThePlanSaysSo checks that programs get the holders only if the plan
// permits it, at most ten, and that the signed reply contains the same.
func TestADenialNamesHoldersWhereThePlanSaysSo(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		plan := testPlan()
		plan.Name = "open"
		for name, rule := range map[string]licensing.Pool{"seats": plan.Pools["seats"], "users": plan.Pools["users"], "hidden": plan.Pools["seats"]} {
			rule.Capacity, rule.ShowHolders = 12, name != "hidden"
			plan.Pools[name] = rule
		}
		d.p = d.license(t, plan)
		for _, pool := range []string{"seats", "users", "hidden"} {
			for n := range 12 {
				d.acquire(t, ask(pool, n))
			}
			g := d.acquire(t, ask(pool, 12))
			named := len(g.Decision.Holders)
			if want := map[string]int{"seats": granting.ShownHolders, "users": granting.ShownHolders}[pool]; named != want || g.Decision.Code != license.CodePoolFull {
				t.Errorf("%s: %d holders are named, want %d: %+v", pool, named, want, g.Decision)
			}
			v, err := d.ledger.Ring.Verifier(testEnv)
			if err != nil {
				t.Fatal(err)
			}
			r, err := v.Reply(g.Reply, ask(pool, 12).Nonce, d.clock.Now().Unix())
			if err != nil || len(r.Decision.Holders) != named {
				t.Errorf("%s: signed is %+v, %v", pool, r, err)
			}
			for _, h := range g.Decision.Holders {
				if !strings.HasPrefix(h.Holder, "holder-") || h.Since == 0 || (h.FreeAt == 0) != (pool == "users") {
					t.Errorf("%s: %+v", pool, h)
				}
			}
			if (g.Decision.FreeAt == 0) != (pool == "users") {
				t.Errorf("%s: free at %d", pool, g.Decision.FreeAt)
			}
		}
	})
}

// TestAServerHearsThatAnotherDeletedAKey checks that listeners on the other server are notified.
func TestAServerHearsThatAnotherDeletedAKey(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		if !b.ledger.DB.Shared() {
			return // this process makes all changes to keys, and announces them immediately
		}
		k := store.Key{Env: testEnv, License: a.p.License, ID: "key_1", Digest: "00", CreatedAt: a.clock.Now()}
		change := func(fn func(tx *store.Tx) error) {
			t.Helper()
			if err := a.ledger.DB.Update(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		change(func(tx *store.Tx) error { _, err := tx.InsertKey(t.Context(), k); return err })
		listener, err := b.Listen(t.Context(), b.p, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		look := func() ledger.Notice {
			t.Helper()
			if err := b.LookForChanges(t.Context()); err != nil {
				t.Fatal(err)
			}
			return listener.Take()
		}
		if n := look(); n != 0 {
			t.Errorf("notified of %b before any change", n)
		}
		change(func(tx *store.Tx) error { return tx.EndKeys(t.Context(), testEnv, k.License, "", a.clock.Now()) })
		if n := look(); n != ledger.KeysChanged {
			t.Errorf("notified of %b when a key got an end", n)
		}
		change(func(tx *store.Tx) error { _, err := tx.DeleteKey(t.Context(), testEnv, k.License, k.ID); return err })
		if n := look(); n != ledger.KeysChanged {
			t.Errorf("notified of %b when the last key was deleted", n)
		}
		if n := look(); n != 0 {
			t.Errorf("told of %b again", n)
		}
	})
}
