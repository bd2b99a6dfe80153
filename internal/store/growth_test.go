package store_test

import (
	"fmt"
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// few is how many licenses match a filter by one rare thing, however many licenses there are.
const few = 5

// A fleet fills a database with licenses, each with a lease, usage and a denial. Few of them have
// another product, plan, revision, status or customer than the others.
type fleet struct {
	t   *testing.T
	db  *store.DB
	now time.Time
	n   int
}

func (f *fleet) grow(to int) {
	f.t.Helper()
	for f.n < to {
		until := min(f.n+500, to)
		err := f.db.Update(f.t.Context(), func(tx *store.Tx) error {
			var leases []*licensing.Lease
			var totals []*store.UsageTotal
			var denials []store.Denial
			var events []store.UsageEvent
			for n := f.n; n < until; n++ {
				l := f.license(n)
				if _, err := tx.InsertLicense(f.t.Context(), l); err != nil {
					return err
				}
				leases = append(leases, &licensing.Lease{Env: l.Env, ID: licensing.LeaseID(fmt.Sprintf("lse_%06d", n)), License: l.ID, Pool: "seats",
					Holder: fmt.Sprint("holder-", n), Instance: "1", Units: 1, Charge: 1, Generation: 1, Granted: f.now, Renewed: f.now, Expires: f.now.Add(time.Hour), Due: f.now.Add(time.Hour)})
				totals = append(totals, &store.UsageTotal{MeterKey: store.MeterKey{Env: l.Env, License: l.ID, Meter: "calls"}, Window: licensing.Window{Start: f.now, End: f.now.Add(time.Hour)}, Used: 1, Events: 1})
				events = append(events, store.UsageEvent{Env: l.Env, License: l.ID, ID: fmt.Sprint("evt-", n), Meter: "calls", Quantity: 1, At: f.now, Recorded: f.now, Period: f.now})
				denials = append(denials, store.Denial{PoolKey: store.PoolKey{Env: l.Env, License: l.ID, Name: "seats"}, Holder: "h", Code: "pool_full",
					Minute: f.now.Add(-time.Duration(n) * time.Minute), At: f.now.Add(-time.Duration(n) * time.Minute), Request: fmt.Sprint("req-", n), Times: 1,
					Decision: license.Decision{Outcome: license.Denied, Code: license.CodePoolFull}})
			}
			if err := tx.InsertLeases(f.t.Context(), leases); err != nil {
				return err
			}
			if err := tx.PutTotals(f.t.Context(), totals); err != nil {
				return err
			}
			if err := tx.InsertEvents(f.t.Context(), events); err != nil {
				return err
			}
			_, err := tx.PutDenials(f.t.Context(), denials)
			return err
		})
		if err != nil {
			f.t.Fatal(err)
		}
		f.n = until
	}
}

func (f *fleet) license(n int) licensing.License {
	l := licensing.License{
		Env: "production", ID: licensing.LicenseID(fmt.Sprintf("lic_%06d", n)), Product: "lathe", Customer: licensing.CustomerID(fmt.Sprint("cus_", n%100_000)),
		Plan: "team", Revision: "rev", Granted: "rev", Status: licensing.Active, Reference: fmt.Sprint("order-", n), Issued: f.now, Start: f.now, End: f.now.AddDate(1, 0, n%300),
	}
	if n%50 == 9 && n < 50*few {
		l.End = f.now.AddDate(0, 1, 0)
	}
	if n%50 == 7 && n < 50*few { // spread over the smallest fleet
		l.Product, l.Plan, l.Granted, l.Revision, l.Status, l.Customer = "mill", "solo", "rare", "rare", licensing.Revoked, "cus_rare"
	}
	return l
}

// bounded has the lists that read more in a large deployment, and how much they read at most.
var bounded = map[string]int64{
	"usage of most of a product": 4200, // licenses of the product are counted up to 4,096
}

// Lists and searches read as much in a large deployment as in a small one, if they find the same.
func TestListsReadNoMoreAsDataGrows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := &fleet{t: t, db: db, now: time.Unix(1_800_000_000, 0)}
		licenses := func(filter store.LicenseFilter) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) {
				found, err := tx.Licenses(t.Context(), "production", filter, "", 20)
				return len(found), err
			}
		}
		leases := func(filter store.LeaseFilter) func(*store.Tx) (int, error) {
			filter.Env, filter.Limit = "production", 20
			return func(tx *store.Tx) (int, error) {
				found, err := tx.ListLeases(t.Context(), filter)
				return len(found), err
			}
		}
		usage := func(filter store.UsageFilter) func(*store.Tx) (int, error) {
			filter.Env, filter.Limit, filter.Since = "production", 20, f.now
			return func(tx *store.Tx) (int, error) {
				found, err := tx.ListUsage(t.Context(), filter)
				return len(found), err
			}
		}
		events := func(id string) func(*store.Tx) (int, error) {
			return func(tx *store.Tx) (int, error) {
				found, err := tx.Events(t.Context(), "production", id, "", "")
				return len(found), err
			}
		}
		cases := map[string]struct {
			read func(*store.Tx) (int, error)
			want int
		}{
			"licenses":                       {licenses(store.LicenseFilter{}), 20},
			"licenses by reference":          {licenses(store.LicenseFilter{Reference: "order-33"}), 1},
			"licenses by unknown reference":  {licenses(store.LicenseFilter{Reference: "order-none"}), 0},
			"licenses by customer":           {licenses(store.LicenseFilter{Customer: "cus_rare"}), few},
			"licenses by status":             {licenses(store.LicenseFilter{Status: licensing.Revoked}), few},
			"active licenses":                {licenses(store.LicenseFilter{Status: licensing.Active}), 20},
			"licenses by product":            {licenses(store.LicenseFilter{Product: "mill"}), few},
			"licenses by plan":               {licenses(store.LicenseFilter{Plan: "solo"}), few},
			"licenses by revision":           {licenses(store.LicenseFilter{Revision: "rare"}), few},
			"active licenses of a customer":  {licenses(store.LicenseFilter{Customer: "cus_rare", Status: licensing.Active}), 0},
			"revoked licenses of a plan":     {licenses(store.LicenseFilter{Plan: "team", Status: licensing.Revoked}), 0},
			"active licenses of a plan":      {licenses(store.LicenseFilter{Plan: "solo", Status: licensing.Active}), 0},
			"active licenses of a product":   {licenses(store.LicenseFilter{Product: "mill", Status: licensing.Active}), 0},
			"licenses that end soon":         {licenses(store.LicenseFilter{ByEnd: true, EndsBefore: f.now.AddDate(0, 2, 0)}), few},
			"licenses that end":              {licenses(store.LicenseFilter{ByEnd: true, EndsBefore: f.now.AddDate(9, 0, 0)}), 20},
			"a plan's that end soon":         {licenses(store.LicenseFilter{Plan: "team", ByEnd: true, EndsBefore: f.now.AddDate(0, 2, 0)}), few},
			"a rare plan's that end":         {licenses(store.LicenseFilter{Plan: "solo", ByEnd: true, EndsBefore: f.now.AddDate(9, 0, 0)}), few},
			"a plan's with a rare product":   {licenses(store.LicenseFilter{Plan: "team", Product: "mill"}), 0},
			"a product's with a rare plan":   {licenses(store.LicenseFilter{Plan: "solo", Product: "lathe"}), 0},
			"a revision's of a rare product": {licenses(store.LicenseFilter{Revision: "rev", Product: "mill", Status: licensing.Active}), 0},
			"leases of a rare product":       {leases(store.LeaseFilter{Product: "mill"}), few},
			"a common holder's of a product": {leases(store.LeaseFilter{Product: "lathe", Holder: "holder-7"}), 0},
			"usage of a rare product":        {usage(store.UsageFilter{Product: "mill"}), few},
			"a usage event":                  {events("evt-3"), 1},
			"an unknown usage event":         {events("evt-none"), 0},
			"a customer's of another":        {licenses(store.LicenseFilter{Customer: "cus_rare", NotProduct: "mill"}), 0},
			"leases":                         {leases(store.LeaseFilter{}), 20},
			"leases of a license":            {leases(store.LeaseFilter{License: "lic_000007"}), 1},
			"all leases of a license":        {leases(store.LeaseFilter{License: "lic_000007", Ended: true}), 1},
			"leases of an unknown license":   {leases(store.LeaseFilter{License: "lic_none"}), 0},
			"leases of a customer":           {leases(store.LeaseFilter{Customer: "cus_rare"}), few},
			"leases of a customer's license": {leases(store.LeaseFilter{Customer: "cus_rare", License: "lic_000008"}), 0},
			"leases of a holder":             {leases(store.LeaseFilter{Holder: "holder-9"}), 1},
			"leases of an unknown holder":    {leases(store.LeaseFilter{Holder: "user:nobody"}), 0},
			"leases of most of a product":    {leases(store.LeaseFilter{Product: "lathe"}), 20},
			"a holder's leases of a product": {leases(store.LeaseFilter{Product: "mill", Holder: "holder-7"}), 1},
			"usage":                          {usage(store.UsageFilter{}), 20},
			"usage of a license":             {usage(store.UsageFilter{License: "lic_000007"}), 1},
			"usage of a customer":            {usage(store.UsageFilter{Customer: "cus_rare"}), few},
			"usage of most of a product":     {usage(store.UsageFilter{Product: "lathe"}), 20},
			"denials of a request": {func(tx *store.Tx) (int, error) {
				found, err := tx.Denials(t.Context(), "production", "req-3")
				return len(found), err
			}, 1},
			"repeated denials": {func(tx *store.Tx) (int, error) {
				found, err := tx.RepeatedDenials(t.Context(), "production", "req-3", f.now.Add(-30*time.Minute))
				return len(found), err
			}, 0},
			"denials of a call": {func(tx *store.Tx) (int, error) {
				found, err := tx.DenialsOfCall(t.Context(), "production", "req_none", f.now.Add(-30*time.Minute), f.now)
				return len(found), err
			}, 0},
		}
		measure := func(read func(*store.Tx) (int, error), want int) (cost int64) {
			t.Helper()
			err := db.View(t.Context(), func(tx *store.Tx) error {
				for range 2 { // the first prepares the statement
					before, err := tx.Read(t.Context())
					if err != nil {
						return err
					}
					n, err := read(tx)
					if err != nil {
						return err
					}
					if n != want {
						t.Errorf("%d found, not %d", n, want)
					}
					after, err := tx.Read(t.Context())
					if err != nil {
						return err
					}
					cost = after - before
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return cost
		}
		f.grow(300)
		small := map[string]int64{}
		for name, c := range cases {
			small[name] = measure(c.read, c.want)
		}
		f.grow(4500)
		for name, c := range cases {
			if large := measure(c.read, c.want); large > max(2*small[name]+30, bounded[name]) { // trees are higher, and pages are shared less
				t.Errorf("%s: %d read with 4,500 licenses, %d with 300", name, large, small[name])
			}
		}
	})
}
