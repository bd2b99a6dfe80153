package authority

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// A fleetCount is what a status and the metrics count, from the rows themselves.
type fleetCount struct {
	licenses []store.LicenseCount
	sums     []store.PoolSum // without those that are zero
	fullest  []store.PoolKey
}

// recount counts the rows of testEnv one by one.
func recount(t fataler, tx *store.Tx) (c fleetCount) {
	t.Helper()
	counts, sums := map[store.LicenseCount]int64{}, map[store.PoolSum]store.PoolSum{}
	type ranked struct {
		store.Pool
		open bool
	}
	var pools []ranked
	all, err := tx.Licenses(t.Context(), testEnv, store.LicenseFilter{}, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		ended := !l.End.IsZero() && !l.End.After(tx.Now())
		counts[store.LicenseCount{Plan: l.Plan, Status: l.Status, Ended: ended}]++
		for _, name := range []string{"seats", "line", "spare", "users", "machines"} {
			p, err := tx.Pool(t.Context(), store.PoolKey{Env: testEnv, License: l.ID, Name: name})
			if err != nil {
				t.Fatal(err)
			}
			key := store.PoolSum{Env: testEnv, Product: l.Product, Pool: name}
			sum := cmp.Or(sums[key], key)
			sum.Held += p.Held
			if l.Status == licensing.Active {
				sum.Capacity += p.Capacity
			}
			sums[key] = sum
			if p.Held > 0 {
				pools = append(pools, ranked{p, l.Status == licensing.Active && !ended})
			}
		}
	}
	for key, n := range counts {
		key.Count = n
		c.licenses = append(c.licenses, key)
	}
	slices.SortFunc(c.licenses, func(a, b store.LicenseCount) int {
		return cmp.Or(cmp.Compare(a.Plan, b.Plan), cmp.Compare(a.Status, b.Status), cmp.Compare(granting.Btoi(a.Ended), granting.Btoi(b.Ended)))
	})
	c.sums = inUse(slices.Collect(maps.Values(sums)))
	slices.SortFunc(pools, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(granting.Btoi(b.open), granting.Btoi(a.open)),
			cmp.Compare(b.Held*1000/max(b.Capacity, 1), a.Held*1000/max(a.Capacity, 1)), a.Compare(b.PoolKey))
	})
	for _, p := range pools {
		c.fullest = append(c.fullest, p.PoolKey)
	}
	return c
}

func inUse(sums []store.PoolSum) []store.PoolSum {
	sums = slices.DeleteFunc(sums, func(s store.PoolSum) bool { return s.Held == 0 && s.Capacity == 0 })
	slices.SortFunc(sums, func(a, b store.PoolSum) int {
		return cmp.Or(cmp.Compare(b.Held, a.Held), cmp.Compare(a.Product, b.Product), cmp.Compare(a.Pool, b.Pool))
	})
	return sums
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Context() context.Context
}

// countsFit fails unless the counts are those of the rows.
func countsFit(t fataler, a *Authority, what string) {
	t.Helper()
	err := a.ledger.View(t.Context(), func(tx *store.Tx) error {
		var got fleetCount
		var err error
		if got.licenses, err = tx.CountLicenses(t.Context(), testEnv, store.LicenseFilter{}, tx.Now()); err != nil {
			return err
		}
		if got.sums, err = tx.PoolSums(t.Context(), 10_000); err != nil {
			return err
		}
		got.sums = inUse(slices.DeleteFunc(got.sums, func(s store.PoolSum) bool { return s.Env != testEnv }))
		pools, err := tx.FullestPools(t.Context(), testEnv, store.LicenseFilter{}, 10_000)
		for _, p := range pools {
			got.fullest = append(got.fullest, p.PoolKey)
		}
		if want := recount(t, tx); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s: counted\n%v, but the rows show\n%v", what, got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCountsAreTheirRowsAfterRandomHistories changes licenses, pools and time at random. The counts
// begin with a scan, and are then those of the rows after every step and after a restore.
func TestCountsAreTheirRowsAfterRandomHistories(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		ids := []licensing.LicenseID{issued.License.ID}
		d.acquire(t, ask("seats", 1))
		if err := s.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := 1
		rapid.Check(t, func(r *rapid.T) {
			for range rapid.IntRange(1, 4).Draw(r, "steps") {
				id := rapid.SampledFrom(ids[max(0, len(ids)-6):]).Draw(r, "license")
				p := d.p
				p.License = id
				n++
				step := rapid.SampledFrom([]string{"issue", "acquire", "acquire", "release", "suspend", "reinstate", "revoke", "except", "end", "extend", "plan", "time"}).Draw(r, "step")
				var err error
				switch step {
				case "issue":
					ids = append(ids, s.issue().License.ID)
				case "acquire":
					_, err = s.Acquire(t.Context(), p, ask(rapid.SampledFrom([]string{"seats", "line", "spare"}).Draw(r, "pool"), n))
				case "release":
					leases := leasesOf(t, s.Authority, id)
					if len(leases) > 0 {
						_, err = s.Release(t.Context(), p, granting.ReleaseRequest{Lease: leases[0].ID, Generation: leases[0].Generation})
					}
				case "suspend":
					_, err = s.SuspendLicense(t.Context(), s.p, id, "unpaid")
				case "reinstate":
					_, err = s.ReinstateLicense(t.Context(), s.p, id, "paid")
				case "revoke":
					if len(ids) > 4 {
						_, err = s.RevokeLicense(t.Context(), s.p, id, v1.RevokeRequest{Reason: "refund"})
					}
				case "except":
					_, err = s.ChangeLicense(t.Context(), s.p, id, v1.ChangeRequest{Change: licensing.Change{Except: []licensing.Exception{{
						Pool: "seats", Adjust: licensing.Adjustment{Amount: rapid.Int64Range(0, 5).Draw(r, "capacity")}, Reason: "as agreed"}}}})
				case "end":
					var short v1.Issued
					short, err = s.IssueLicense(t.Context(), s.p, v1.IssueRequest{Customer: s.customer, Plan: "studio", End: d.clock.Now().Add(time.Duration(rapid.IntRange(1, 200).Draw(r, "term")) * time.Minute).Truncate(time.Second)})
					if err == nil {
						ids = append(ids, short.License.ID)
					}
				case "extend":
					_, err = s.ExtendLicense(t.Context(), s.p, id, v1.ExtendRequest{Until: d.clock.Now().Add(time.Duration(rapid.IntRange(100, 300).Draw(r, "more")) * time.Minute).Truncate(time.Second), Reason: "as agreed"})
				case "plan":
					larger := policy.File{Name: "studio.yaml", Text: strings.Replace(explainedPlan, "capacity: 2", fmt.Sprint("capacity: ", rapid.IntRange(1, 4).Draw(r, "seats")), 1)}
					_, err = s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: []policy.File{larger}, Licenses: "all", Below: "drain"})
				case "time":
					d.clock.pass(time.Duration(rapid.IntRange(1, 90).Draw(r, "minutes")) * time.Minute)
					err = s.Sweep(t.Context())
				}
				if licensing.CodeOf(err) == licensing.Internal { // a refusal changes nothing
					r.Fatalf("%s: %v", step, err)
				}
			}
			countsFit(r, s.Authority, "a history")
		})
		restored := d.rolledBack(t, d.backup(t), t.TempDir())
		if err := restored.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		countsFit(t, restored.Authority, "a restore")
	})
}

func leasesOf(t *testing.T, a *Authority, id licensing.LicenseID) (leases []licensing.Lease) {
	t.Helper()
	err := a.ledger.View(t.Context(), func(tx *store.Tx) error {
		found, err := tx.ListLeases(t.Context(), store.LeaseFilter{Env: testEnv, License: id, Limit: 10})
		for _, l := range found {
			leases = append(leases, *l)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return leases
}

// TestCountsAreTheirRowsAfterARepair repairs a counter that was damaged behind the server's back.
func TestCountsAreTheirRowsAfterARepair(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, w workshop) {
		w.acquire(t, ask("seats", 1))
		w.damage(t, `UPDATE pool SET held = 0 WHERE name = 'seats'`)
		if err := w.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		countsFit(t, w.Authority, "before")
		if _, err := recovery.ApplyRepair(t.Context(), w.config(), func(write func(io.Writer) error) error { return write(io.Discard) }); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			countsFit(t, w.Authority, "a repair")
			if err := w.Measure(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestCountsAreTheirRowsAfterAClockIsSetBack reclaims a lease too early, which setting the clock
// back undoes.
func TestCountsAreTheirRowsAfterAClockIsSetBack(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		far := ask("seats", 1)
		far.For = 86400
		d.acquire(t, far)
		d.clock.pass(time.Minute)
		aheadAuthority(t, d, 2*24*time.Hour)
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := d.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		countsFit(t, d.Authority, "ahead")
		after, _ := d.corrected(t)
		for range 2 {
			countsFit(t, after.Authority, "a clock that was set back")
			if err := after.Measure(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestCountsOfAScopedTokenAreItsOwn compares the counts of one product and of one customer.
func TestCountsOfAScopedTokenAreItsOwn(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		d.acquire(t, ask("seats", 1))
		if err := s.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		for product, want := range map[licensing.ProductName]int64{"lathe": 1, "mill": 0} {
			p := owner()
			p.Product = product
			status, err := s.Status(t.Context(), p)
			if err != nil || status.Licenses.Active != want || int64(len(status.Pools)) != want {
				t.Errorf("%s: %+v, %d pools, %v", product, status.Licenses, len(status.Pools), err)
			}
		}
	})
}
