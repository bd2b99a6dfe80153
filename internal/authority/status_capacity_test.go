package authority

import (
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// statusOf returns the status of a license's pool.
func statusOf(t *testing.T, a *Authority, id licensing.LicenseID, pool string) v1.PoolStatus {
	t.Helper()
	s, err := a.Status(t.Context(), owner())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Pools {
		if p.License == id && p.Pool == pool {
			return p
		}
	}
	t.Fatalf("no pool %s of %s in %+v", pool, id, s.Pools)
	return v1.PoolStatus{}
}

// TestStatusShowsCapacitiesAsTheyAre checks that the status uses the current plan, add-ons and
// exceptions, without an acquire that would update the stored row.
func TestStatusShowsCapacitiesAsTheyAre(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		id := issued.License.ID
		d.acquire(t, ask("seats", 1))
		shows := func(what string, capacity int64, refused string) {
			t.Helper()
			if p := statusOf(t, s.Authority, id, "seats"); p.Held != 1 || p.Capacity != capacity || p.Refused != refused {
				t.Errorf("%s: %+v, want a capacity of %d, refused %q", what, p, capacity, refused)
			}
		}
		stored := func(what string, capacity int64) { // the value that metrics add up
			t.Helper()
			if err := s.ledger.View(t.Context(), func(tx *store.Tx) error {
				sums, err := tx.PoolSums(t.Context(), 10)
				if err != nil || len(sums) != 1 || sums[0].Capacity != capacity {
					t.Errorf("%s: %+v, %v; want %d", what, sums, err, capacity)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		change := func(c licensing.Change) {
			t.Helper()
			if _, err := s.ChangeLicense(t.Context(), s.p, id, v1.ChangeRequest{Change: c}); err != nil {
				t.Fatal(err)
			}
		}
		shows("the plan", 2, "")
		change(licensing.Change{Add: []licensing.Grant{{Addon: "more", Quantity: 2, Until: d.clock.Now().Add(2 * time.Hour)}}})
		shows("an add-on", 8, "")
		stored("an add-on", 8)
		change(licensing.Change{Except: []licensing.Exception{{Pool: "seats", Adjust: licensing.Adjustment{Add: true, Amount: -1}, Reason: "as agreed", Until: d.clock.Now().Add(time.Hour)}}})
		shows("an exception", 7, "")
		d.clock.pass(time.Hour)
		shows("after the exception", 8, "")
		d.clock.pass(time.Hour)
		shows("after the add-on", 2, "")
		larger := policy.File{Name: "studio.yaml", Text: strings.Replace(explainedPlan, "capacity: 2", "capacity: 4", 1)}
		if _, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: []policy.File{larger}, Licenses: "all"}); err != nil {
			t.Fatal(err)
		}
		shows("another revision", 4, "")
		stored("another revision", 4)
		if _, err := s.SuspendLicense(t.Context(), s.p, id, "unpaid"); err != nil {
			t.Fatal(err)
		}
		shows("suspended", 0, license.CodeSuspended)
		stored("suspended", 0)
		if _, err := s.ReinstateLicense(t.Context(), s.p, id, "paid"); err != nil {
			t.Fatal(err)
		}
		shows("reinstated", 4, "")
		d.clock.pass(370 * 24 * time.Hour)
		shows("ended", 0, license.CodeTermEnded)
		if _, err := s.RevokeLicense(t.Context(), s.p, id, v1.RevokeRequest{Reason: "refund"}); err != nil {
			t.Fatal(err)
		}
		shows("revoked", 0, license.CodeRevoked)
	})
}

// TestStatusListsTheFullestPoolsByWhatTheyAre checks that a pool that a change has filled comes
// first, and one whose license admits no new holders comes last.
func TestStatusListsTheFullestPoolsByWhatTheyAre(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		license := func() *testAuthority {
			p := d.p
			p.License = s.issue().License.ID
			return &testAuthority{s.Authority, p, d.clock}
		}
		half, filled, revoked := license(), license(), license()
		for _, one := range []*testAuthority{half, filled, revoked} {
			one.acquire(t, ask("seats", 1))
		}
		change := v1.ChangeRequest{Change: licensing.Change{Except: []licensing.Exception{{Pool: "seats", Adjust: licensing.Adjustment{Amount: 1}, Reason: "as agreed"}}}}
		if _, err := s.ChangeLicense(t.Context(), s.p, filled.p.License, change); err != nil {
			t.Fatal(err)
		}
		if _, err := s.RevokeLicense(t.Context(), s.p, revoked.p.License, v1.RevokeRequest{Reason: "refund"}); err != nil {
			t.Fatal(err)
		}
		status, err := s.Status(t.Context(), owner())
		if err != nil || len(status.Pools) != 3 {
			t.Fatalf("%+v, %v", status.Pools, err)
		}
		for i, want := range []*testAuthority{filled, half, revoked} {
			if status.Pools[i].License != want.p.License {
				t.Errorf("place %d: %+v", i, status.Pools[i])
			}
		}
	})
}

// TestStatusSaysThatAFenceRefusesNewcomers checks the current capacity and the wait.
func TestStatusSaysThatAFenceRefusesNewcomers(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		sell(t, before.Authority)
		before.acquire(t, ask("seats", 1))
		d := before.rolledBack(t, before.backup(t), t.TempDir())
		if p := statusOf(t, d.Authority, d.p.License, "seats"); p.Capacity != 5 || p.Refused != fenced {
			t.Errorf("%+v", p)
		}
	})
}
