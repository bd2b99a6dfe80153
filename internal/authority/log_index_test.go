package authority

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// appended stores rows of random entries. Each row is a second later than the one before it, except
// for a row that sets the clock back by three minutes.
func appended(t *testing.T, a *Authority, r *rand.Rand, at time.Time, rows int, setBack bool) time.Time {
	t.Helper()
	types := []string{licensing.LeaseBegun, licensing.LeaseBegun, licensing.LeaseEnded, licensing.LicenseRenewed, licensing.LicenseIssued, licensing.TokenCreated}
	err := a.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
		for n := range rows {
			at = at.Add(time.Second)
			var random [10]byte
			binary.BigEndian.PutUint32(random[:], r.Uint32())
			row := audit.NewRow(licensing.NewID("row", at, random))
			for range 1 + r.IntN(3) {
				e := licensing.Event{Type: types[r.IntN(len(types))], Env: testEnv, At: at, Version: 1}
				if setBack && n == rows/2 {
					e.Type = licensing.ClockSetBack
				}
				if r.IntN(4) > 0 {
					e.License = licensing.LicenseID(fmt.Sprint("lic_", r.IntN(6)))
					e.Customer = licensing.CustomerID(fmt.Sprint("cus_", r.IntN(4)))
					e.Product = []licensing.ProductName{"lathe", "lathe", "lathe", "mill"}[r.IntN(4)]
				}
				if _, err := row.Add(e, audit.Salt{}); err != nil {
					return err
				}
			}
			err := tx.AppendLog(t.Context(), store.LogRow{
				Env: testEnv, ID: row.ID(), At: at, Entries: row.Len(), Body: row.Body(), Leaves: row.Leaves(), Licenses: row.Licenses(),
			})
			if err != nil {
				return err
			}
			if setBack && n == rows/2 {
				at = at.Add(-3 * time.Minute)
			}
		}
		return nil
	})
	if err == nil {
		err = a.ledger.Sequence(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Every filter finds the same entries by the index as by reading the whole log, while the index is
// missing, incomplete or complete. No page is empty unless it is the only one.
func TestTheLogIndexFindsWhatTheLogContains(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := ready(t, db, "", nil)
		r := rand.New(rand.NewPCG(1, 2))
		begin := time.Now().Truncate(time.Second)
		at := begin
		for range 3 {
			at = appended(t, a, r, at, 80, false)
		}
		compareFilters(t, a, begin, "without an index")
		b := ready(t, db, "", a.ledger.Ring.Sealing())
		var servers sync.WaitGroup
		for _, server := range []*Authority{a, b} {
			servers.Go(func() {
				if err := server.ledger.IndexLog(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
		servers.Wait()
		at = appended(t, a, r, at, 100, true)
		compareFilters(t, a, begin, "with the index of a part")
		if err := a.ledger.IndexLog(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		appended(t, a, r, at, 60, false)
		if err := a.ledger.IndexLog(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		compareFilters(t, a, begin, "with the index")
	})
}

func compareFilters(t *testing.T, a *Authority, begin time.Time, stage string) {
	t.Helper()
	var all []v1.LogEntry
	err := a.ledger.View(t.Context(), func(tx *store.Tx) error {
		for row, err := range tx.LogRows(t.Context(), testEnv) {
			if err != nil {
				return err
			}
			entries, err := audit.ReadRow(row.Body)
			if err != nil {
				return err
			}
			for i, raw := range entries {
				e, err := ledger.ReadEntry(row.First+int64(i), raw)
				if err != nil {
					return err
				}
				all = append(all, e)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	scoped := owner()
	scoped.Product = "mill"
	customer := owner()
	customer.Customer = "cus_1"
	for _, p := range []access.Principal{owner(), scoped, customer} {
		for _, kind := range []string{"", licensing.LicenseRenewed, "license.", "nothing.", licensing.ClockSetBack} {
			for _, of := range []licensing.CustomerID{"", "cus_1"} {
				for _, id := range []licensing.LicenseID{"", "lic_3"} {
					for _, span := range [][2]time.Duration{{}, {0, 3 * time.Minute}, {2 * time.Minute, 0}, {2 * time.Minute, 5 * time.Minute}} {
						if p != owner() && of+licensing.CustomerID(id) != "" {
							continue // the scope is the filter
						}
						f := ledger.LogFilter{Type: kind, Customer: of, License: id}
						if span[0] > 0 {
							f.Since = begin.Add(span[0])
						}
						if span[1] > 0 {
							f.Until = begin.Add(span[1])
						}
						var want []int64
						for _, e := range all {
							if e.Type != kind && kind != "" && !(kind == "license." && e.Type[:8] == "license.") || of != "" && e.Customer != string(of) ||
								id != "" && e.License != string(id) || e.At.Before(f.Since) || span[1] > 0 && !e.At.Before(f.Until) ||
								!p.Sees(licensing.CustomerID(e.Customer), licensing.ProductName(e.Product)) {
								continue
							}
							want = append(want, e.Index)
						}
						var got []int64
						page := request.Page[v1.LogEntry]{}
						for first := true; first || page.Next != ""; first = false {
							if page, err = a.ledger.LogEntries(t.Context(), p, f, request.PageOf{Limit: 90, Cursor: page.Next}); err != nil {
								t.Fatal(err)
							}
							if len(page.Items) == 0 && page.Next != "" {
								t.Errorf("%s, %+v: an empty page has a next page", stage, f)
							}
							for _, e := range page.Items {
								got = append(got, e.Index)
							}
						}
						if !slices.Equal(got, want) {
							t.Fatalf("%s, %+v for product %q and customer %q: %d entries, not %d: %v, not %v", stage, f, p.Product, p.Customer, len(got), len(want), got, want)
						}
					}
				}
			}
		}
	}
}
