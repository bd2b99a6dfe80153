package authority

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

func owner() access.Principal {
	p := access.System(testEnv, "test")
	p.Spans = true
	return p
}

// signed signs a minimal document at the database's time.
func signed(ctx context.Context, a *Authority, n int64) (compact string, now time.Time, err error) {
	err = a.ledger.View(ctx, func(tx *store.Tx) error {
		now = tx.Now()
		compact, err = a.ledger.Ring.Sign(testEnv, license.TypeRevocations, license.Revocations{Claims: license.Claims{
			Issuer: a.ledger.Ring.Issuer(testEnv), Audience: []string{"lathe"}, IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Unix() + 3600,
			ID: fmt.Sprint(n), Version: license.Version, Seq: license.Seq{Epoch: a.ledger.Ring.Epoch(testEnv), Counter: n},
		}, Revoked: []license.Revocation{}}, now)
		return err
	})
	return compact, now, err
}

func verifies(t *testing.T, a *Authority, compact string, now time.Time) {
	t.Helper()
	v, err := license.NewVerifier(a.ledger.Ring.Issuer(testEnv), "lathe", a.ledger.Ring.RootSet(testEnv))
	if err != nil {
		t.Fatal(err)
	}
	if v, err = v.WithKeySet(a.ledger.Ring.KeySet(testEnv), now.Unix()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Revocations(compact, now.Unix()); err != nil {
		t.Error(err)
	}
}

func TestTenRotationsUnderLoadRefuseNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := ready(t, db, "", nil)
		if _, err := a.ExportRoot(t.Context(), owner()); err != nil {
			t.Fatal(err)
		}
		if err := a.RemoveRoot(t.Context(), owner()); err != nil {
			t.Fatal(err)
		}
		var stop atomic.Bool
		var answered atomic.Int64
		var work sync.WaitGroup
		type document struct {
			compact string
			now     time.Time
		}
		documents := make([][]document, 4)
		for w := range documents {
			work.Go(func() {
				for n := int64(0); !stop.Load(); n++ {
					compact, now, err := signed(t.Context(), a, n)
					if err != nil {
						t.Error(err)
						return
					}
					if answered.Add(1)%16 == 0 {
						documents[w] = append(documents[w], document{compact, now})
					}
				}
			})
		}
		used := map[string]bool{}
		for range 10 {
			was := answered.Load()
			k, err := a.RotateSigningKey(t.Context(), owner())
			if err != nil {
				t.Error(err)
				break
			}
			if used[k.Kid] || k.State != "signs" {
				t.Errorf("rotated to %+v", k)
			}
			used[k.Kid] = true
			for answered.Load() < was+50 && !t.Failed() {
				runtime.Gosched()
			}
		}
		stop.Store(true)
		work.Wait()
		for _, list := range documents {
			for _, d := range list {
				verifies(t, a, d.compact, d.now)
			}
		}
	})
}

func TestServersLearnOfEachOthersRotation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := ready(t, db, "", nil)
		b := ready(t, db, "", a.ledger.Ring.Sealing())
		k, err := a.RotateSigningKey(t.Context(), owner())
		if err != nil {
			t.Fatal(err)
		}
		compact, now, err := signed(t.Context(), b, 1) // with the retired key, which is still valid
		if err != nil {
			t.Fatal(err)
		}
		verifies(t, a, compact, now)
		if err := b.TendKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.ledger.Ring.Active(testEnv, now); got != k.Kid {
			t.Errorf("b signs with %s, a rotated to %s", got, k.Kid)
		}
	})
}

func TestRootLeavesAndComesBackForACeremony(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		a := ready(t, db, "", nil)
		if err := a.RemoveRoot(ctx, owner()); licensing.CodeOf(err) != licensing.Conflict {
			t.Fatalf("removed before it was exported: %v", err)
		}
		root, err := a.ExportRoot(ctx, owner())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.RemoveRoot(ctx, owner()); err != nil {
			t.Fatal(err)
		}
		active := a.ledger.Ring.Active(testEnv, a.ledger.Now())
		if _, err := a.WithdrawSigningKey(ctx, owner(), active, time.Time{}, "stolen"); licensing.CodeOf(err) != licensing.Conflict {
			t.Fatalf("withdrawn without the root: %v", err)
		}
		again := New(ledger.Config{DB: db, Ring: signing.NewRing(a.ledger.Ring.Sealing())})
		if err := again.Start(ctx); err != nil {
			t.Fatalf("starting without the root: %v", err)
		}
		if err := again.ImportRoot(ctx, owner(), root); err != nil {
			t.Fatal(err)
		}
		number := again.ledger.Ring.KeySetNumber(testEnv)
		k, err := again.WithdrawSigningKey(ctx, owner(), active, time.Time{}, "stolen")
		if err != nil || k.State != "withdrawn" {
			t.Fatalf("%+v, %v", k, err)
		}
		if again.ledger.Ring.KeySetNumber(testEnv) != number+1 {
			t.Error("no new key set")
		}
		compact, now, err := signed(ctx, again, 1)
		if err != nil {
			t.Fatal(err)
		}
		verifies(t, again, compact, now)
		if err := again.ledger.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
		entries, err := again.ledger.LogEntries(ctx, owner(), ledger.LogFilter{Type: "root_set."}, request.PageOf{})
		if err != nil || len(entries.Items) != 4 {
			t.Errorf("%d entries about the root, %v", len(entries.Items), err)
		}
	})
}

// sell creates the product lathe.
func sell(t *testing.T, a *Authority) {
	t.Helper()
	lathe := licensing.Product{Name: "lathe", Owner: licensing.Owner{Team: "cad", Pager: "cad@example.com", Runbook: "https://example.com/run"}}
	if _, err := a.CreateProduct(t.Context(), owner(), lathe); err != nil {
		t.Fatal(err)
	}
}

func TestFeatureKeyIsMadeOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := ready(t, db, "", nil)
		if _, err := a.FeatureKey(t.Context(), owner(), "lathe", "export"); licensing.CodeOf(err) != licensing.NotFound {
			t.Errorf("a key for a product that does not exist: %v", err)
		}
		sell(t, a)
		first, err := a.FeatureKey(t.Context(), owner(), "lathe", "export")
		if err != nil {
			t.Fatal(err)
		}
		again, err := a.FeatureKey(t.Context(), owner(), "lathe", "export")
		if err != nil || string(again) != string(first) {
			t.Fatalf("another key: %v", err)
		}
	})
}

// install completes a ceremony with the server's root, and returns the new root.
func install(t *testing.T, a *Authority, old signing.Secret, want signing.RootChoice) (signing.RootCeremony, signing.Secret) {
	t.Helper()
	c, err := a.ProposeRootSet(t.Context(), owner(), want)
	if err != nil {
		t.Fatal(err)
	}
	c, fresh, err := c.MakeRoots(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []signing.Secret{old, fresh} {
		if c, _, err = c.Sign(text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.InstallRootSet(t.Context(), owner(), c.RootSet, c.KeySet); err != nil {
		t.Fatal(err)
	}
	return c, fresh
}

func TestANewRootSetIsInstalledOnEveryServer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		a := ready(t, db, "", nil)
		old, err := a.ExportRoot(ctx, owner())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.RemoveRoot(ctx, owner()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.ProposeRootSet(ctx, owner(), signing.RootChoice{}); err != nil { // abandoned
			t.Fatal(err)
		}
		first, fresh := install(t, a, old, signing.RootChoice{Roots: 1})
		for what, sets := range map[string][2][]string{"again": {first.RootSet, first.KeySet}, "the first": {first.From, first.KeySet}} {
			if _, err := a.InstallRootSet(ctx, owner(), sets[0], sets[1]); licensing.CodeOf(err) != licensing.Conflict && licensing.CodeOf(err) != licensing.Invalid {
				t.Errorf("installed %s: %v", what, err)
			}
		}
		if err := a.ImportRoot(ctx, owner(), old); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("a removed root came back: %v", err)
		}
		install(t, a, fresh, signing.RootChoice{Roots: 2, Threshold: 2})

		again := New(ledger.Config{DB: db, Ring: signing.NewRing(a.ledger.Ring.Sealing())})
		if err := again.Start(ctx); err != nil {
			t.Fatal(err)
		}
		v, err := license.NewVerifier(a.ledger.Ring.Issuer(testEnv), "lathe", first.From)
		if err != nil {
			t.Fatal(err)
		}
		for number := int64(2); number <= 3; number++ {
			set, err := again.RootSetNumbered(testEnv, number)
			if err != nil {
				t.Fatal(err)
			}
			if v, err = v.WithRootSet(set, again.ledger.Now().Unix()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := again.RootSetNumbered(testEnv, 4); licensing.CodeOf(err) != licensing.NotFound {
			t.Errorf("root set 4: %v", err)
		}
		if v, err = v.WithKeySet(again.KeySet(testEnv), again.ledger.Now().Unix()); err != nil {
			t.Fatal(err)
		}
		if _, err := again.RotateSigningKey(ctx, owner()); err != nil {
			t.Fatal(err)
		}
		compact, now, err := signed(ctx, again, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Revocations(compact, now.Unix()); err != nil {
			t.Error(err)
		}
		entries, err := again.ledger.LogEntries(ctx, owner(), ledger.LogFilter{Type: "root_set."}, request.PageOf{})
		count := map[string]int{}
		for _, e := range entries.Items {
			count[e.Type]++
		}
		if err != nil || count[licensing.RootSetProposed] != 3 || count[licensing.RootSetInstalled] != 2 {
			t.Errorf("%v, %v", count, err)
		}
	})
}
