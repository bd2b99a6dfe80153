package authority

import (
	"testing"
	"time"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// TestWhatChangesNothingLeavesNoTrace repeats changes to a license. Nothing is stored, so the seq
// does not change, programs fetch no document, and the log gets no entry.
func TestWhatChangesNothingLeavesNoTrace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		id := s.issue().License.ID
		to, err := s.CreateCustomer(t.Context(), s.p, licensing.Customer{Name: "Other"})
		if err != nil {
			t.Fatal(err)
		}
		text := "crm-1"
		type act struct {
			name string
			do   func() (licensing.License, error)
		}
		for _, a := range []act{
			{"suspend", func() (licensing.License, error) { return s.SuspendLicense(t.Context(), s.p, id, "unpaid") }},
			{"reinstate", func() (licensing.License, error) { return s.ReinstateLicense(t.Context(), s.p, id, "paid") }},
			{"payment", func() (licensing.License, error) {
				return s.ChangeLicense(t.Context(), s.p, id, v1.ChangeRequest{Payment: licensing.Unpaid})
			}},
			{"reference", func() (licensing.License, error) {
				return s.ChangeLicense(t.Context(), s.p, id, v1.ChangeRequest{Reference: &text})
			}},
			{"plan", func() (licensing.License, error) {
				return s.ChangeLicense(t.Context(), s.p, id, v1.ChangeRequest{Change: licensing.Change{Plan: "studio"}})
			}},
			{"transfer", func() (licensing.License, error) {
				done, err := s.TransferLicense(t.Context(), s.p, id, v1.TransferRequest{Customer: to.ID})
				return licensing.License(done.License), err
			}},
			{"revoke", func() (licensing.License, error) {
				return s.RevokeLicense(t.Context(), s.p, id, v1.RevokeRequest{Reason: "key published"})
			}},
		} {
			first, err := a.do()
			if err != nil {
				t.Fatalf("%s: %v", a.name, err)
			}
			entries := s.logged(id)
			if again, err := a.do(); err != nil || again.Seq != first.Seq || s.license(id).Seq != first.Seq || s.logged(id) != entries {
				t.Errorf("%s again: seq %v after %v, %d entries after %d (%v)", a.name, again.Seq, first.Seq, s.logged(id), entries, err)
			}
		}
	})
}

// logged counts the entries about a license.
func (s *shop) logged(id licensing.LicenseID) int {
	s.t.Helper()
	if err := s.ledger.Sequence(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	entries, err := s.ledger.LogEntries(s.t.Context(), s.p, ledger.LogFilter{License: id}, request.PageOf{Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(entries.Items)
}

// TestAHolderIsFoundAsListsShowIt filters leases by the text in lists: KIND:ID, or only the id. An
// id can itself look like an id with a kind.
func TestAHolderIsFoundAsListsShowIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		id := s.issue().License.ID
		now := time.Now()
		var leases []*licensing.Lease
		for n, holder := range []struct{ kind, id string }{{"user", "ann"}, {"machine", "ann"}, {"user", "machine:ann"}, {"user_", "ann"}, {"", "ann"}} {
			leases = append(leases, &licensing.Lease{
				Env: testEnv, ID: licensing.LeaseID([]string{"lse_0", "lse_1", "lse_2", "lse_3", "lse_4"}[n]), License: id, Pool: "seats", Holder: holder.id,
				Instance: string(rune('a' + n)), Units: 1, Charge: 1, Generation: 1, Granted: now, Renewed: now, Expires: now.Add(time.Hour), Due: now.Add(time.Hour),
				Asker: licensing.Asker{Kind: holder.kind, Components: map[string]string{"board": "x"}},
			})
		}
		if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertLeases(t.Context(), leases) }); err != nil {
			t.Fatal(err)
		}
		for holder, want := range map[string]string{
			"": "01234", "ann": "0134", "user:ann": "0", "machine:ann": "12", "user:machine:ann": "2", "user_:ann": "3", "userx:ann": "", "bob": "", ":ann": "",
		} {
			found, err := s.Leases(t.Context(), s.p, LeaseFilter{Holder: holder}, request.PageOf{Limit: 100})
			got := ""
			for _, l := range found.Items {
				got += string(l.ID[len("lse_"):])
			}
			if err != nil || got != want {
				t.Errorf("leases of %q: %q, want %q (%v)", holder, got, want, err)
			}
		}
	})
}
