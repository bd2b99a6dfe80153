package authority

import (
	"errors"
	"testing"
	"time"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

const day = 24 * time.Hour

// openLater opens a shop whose time the test controls.
func openLater(t *testing.T, db *store.DB) (*shop, *testClock) {
	t.Helper()
	clock := newTestClock()
	db.Now = clock.Now
	sealing, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	a := New(ledger.Config{DB: db, Ring: signing.NewRing(sealing), Now: clock.Now, Machine: clock.machine()})
	t.Cleanup(a.Close)
	if err := errors.Join(a.Start(t.Context()), a.PrepareKeys(t.Context(), testEnv)); err != nil {
		t.Fatal(err)
	}
	return openShopOf(t, a), clock
}

// TestARepeatedRenewalGivesNoSecondTerm repeats a renewal by hand, a week later, with another
// Idempotency-Key and twice at once. Each time, the answer is the license renewed once.
func TestARepeatedRenewalGivesNoSecondTerm(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, clock := openLater(t, db)
		issued := s.issue().License
		renew := func(after time.Time) licensing.License {
			t.Helper()
			l, err := s.RenewLicense(t.Context(), s.p, issued.ID, v1.RenewRequest{After: after})
			if err != nil {
				t.Error(err)
			}
			return l
		}
		parallel(4, func(int) { renew(issued.End) })
		once := s.license(issued.ID)
		if want := issued.Start.AddDate(2, 0, 0); !once.End.Equal(want) || len(once.Renewed) != 1 {
			t.Fatalf("renewed by four at once until %s, want %s", once.End, want)
		}
		clock.pass(7 * day)
		if again := renew(issued.End); !again.End.Equal(once.End) || again.Seq != once.Seq {
			t.Errorf("a week later: %+v, was %+v", again, once)
		}
		if s.entries(licensing.LicenseRenewed) != 1 {
			t.Errorf("%d renewals are in the log", s.entries(licensing.LicenseRenewed))
		}
		_, err := s.RenewLicense(t.Context(), s.p, issued.ID, v1.RenewRequest{After: issued.End.Add(day)})
		if licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("a term that never was: %v", err)
		}
		if _, err := s.RenewLicense(t.Context(), s.p, issued.ID, v1.RenewRequest{}); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("no term: %v", err)
		}

		// An extension moves the end, but not the date from which the next term is counted.
		if _, err := s.ExtendLicense(t.Context(), s.p, issued.ID, v1.ExtendRequest{Until: once.End.Add(14 * day)}); err != nil {
			t.Fatal(err)
		}
		if twice := renew(once.End); !twice.End.Equal(issued.Start.AddDate(3, 0, 0)) || !twice.TermEnd.IsZero() {
			t.Errorf("renewed after an extension: %+v", twice)
		}
	})
}

// TestRenewingEarlyLeavesTodaysRights checks that changes scheduled for the renewal are made when
// the new term begins, regardless of the units in use, and immediately if it has already begun.
func TestRenewingEarlyLeavesTodaysRights(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, clock := openLater(t, db)
		issued := s.issue()
		id := issued.License.ID
		holder, err := s.Authenticate(t.Context(), "License "+issued.Key.Text, "", free)
		if err != nil {
			t.Fatal(err)
		}
		fewer := v1.ChangeRequest{Capacity: map[string]int64{"seats": 1}}
		fewer.When, fewer.Below = licensing.ChangeAtRenewal, licensing.BelowRefuse
		if _, err := s.ChangeLicense(t.Context(), s.p, id, fewer); err != nil {
			t.Fatal(err)
		}
		capacity := func() int64 {
			t.Helper()
			e, err := s.ExplainLicense(t.Context(), s.p, id)
			if err != nil {
				t.Fatal(err)
			}
			return e.Pools["seats"].Capacity
		}
		end := issued.License.End
		if l, err := s.RenewLicense(t.Context(), s.p, id, v1.RenewRequest{After: end}); err != nil || !l.ChangeAt.Equal(end) || capacity() != 5 {
			t.Fatalf("renewed early: %+v, %v; %d seats", l, err, capacity())
		}
		tick := func(d time.Duration, want int64) {
			t.Helper()
			clock.pass(d)
			if err := s.BeginTerms(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := capacity(); n != want {
				t.Errorf("at %s %d seats, want %d", clock.Now(), n, want)
			}
		}
		tick(end.Sub(clock.Now())-time.Second, 5)
		for n := range 2 {
			if g, err := s.Acquire(t.Context(), holder, ask("seats", n)); err != nil || g.Lease == nil {
				t.Fatalf("%+v, %v", g, err)
			}
		}
		tick(time.Second, 1)
		seq := s.license(id).Seq
		tick(time.Second, 1)
		if l := s.license(id); l.Seq != seq || len(l.Scheduled) != 0 || !l.ChangeAt.IsZero() || !l.End.Equal(end.AddDate(1, 0, 0)) {
			t.Errorf("after the changes: %+v", l)
		}
		if g, err := s.Acquire(t.Context(), holder, ask("seats", 3)); err != nil || g.Lease != nil {
			t.Errorf("a third seat of one: %+v, %v", g, err)
		}
		if result := reconciledShop(t, s); len(result) != 0 {
			t.Errorf("rows and log: %v", result)
		}

		// In the grace after the end, the new term has already begun.
		more := v1.ChangeRequest{Capacity: map[string]int64{"seats": 7}}
		more.When = licensing.ChangeAtRenewal
		if _, err := s.ChangeLicense(t.Context(), s.p, id, more); err != nil {
			t.Fatal(err)
		}
		tick(s.license(id).End.Sub(clock.Now())+day, 1)
		if _, err := s.RenewLicense(t.Context(), s.p, id, v1.RenewRequest{After: s.license(id).End}); err != nil || capacity() != 7 {
			t.Errorf("renewed in its grace: %d seats, %v", capacity(), err)
		}
	})
}

// TestAChangeThatCannotBeMadeHoldsUpNoOther begins the terms of two licenses, of which one has lost
// a scheduled add-on.
func TestAChangeThatCannotBeMadeHoldsUpNoOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, clock := openLater(t, db)
		bad, good := s.issue().License, s.issue().License
		for _, l := range []v1.License{bad, good} {
			c := v1.ChangeRequest{Capacity: map[string]int64{"seats": 9}}
			c.When = licensing.ChangeAtRenewal
			if _, err := s.ChangeLicense(t.Context(), s.p, l.ID, c); err != nil {
				t.Fatal(err)
			}
			if _, err := s.RenewLicense(t.Context(), s.p, l.ID, v1.RenewRequest{After: l.End}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Update(t.Context(), func(tx *store.Tx) error {
			l, _, err := tx.License(t.Context(), testEnv, bad.ID)
			if err != nil {
				return err
			}
			l.Scheduled[0].Remove = []string{"gone"}
			return tx.UpdateLicense(t.Context(), l)
		}); err != nil {
			t.Fatal(err)
		}
		clock.pass(366 * day)
		if err := s.BeginTerms(t.Context()); licensing.CodeOf(err) != licensing.NotFound {
			t.Errorf("the change that cannot be made: %v", err)
		}
		if l := s.license(good.ID); len(l.Scheduled) != 0 || len(l.Exceptions) != 1 {
			t.Errorf("the other: %+v", l)
		}
		if l := s.license(bad.ID); len(l.Scheduled) != 1 {
			t.Errorf("the one is not kept: %+v", l)
		}
	})
}

// TestAServerOfAnEarlierVersionMayRenewInBetween checks a server that makes the changes immediately
// and does not reset their due time.
func TestAServerOfAnEarlierVersionMayRenewInBetween(t *testing.T) {
	storetest.Each(t, func(t *testing.T, other *store.DB) {
		db, raw := exposed(t, other.Engine())
		s, clock := openLater(t, db)
		l := s.issue().License
		if _, err := raw.ExecContext(t.Context(), `UPDATE license SET change_at = $1`, clock.Now().UnixMicro()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.BeginTerms(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var left int64
		if err := raw.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM license WHERE change_at <> 0`).Scan(&left); err != nil || left != 0 || s.license(l.ID).Seq != l.Seq {
			t.Errorf("%d are still looked at, %v", left, err)
		}
	})
}

// entries counts the log entries of a type.
func (s *shop) entries(kind string) int {
	s.t.Helper()
	page, err := s.ledger.LogEntries(s.t.Context(), s.p, ledger.LogFilter{Type: kind}, request.PageOf{Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(page.Items)
}

func reconciledShop(t *testing.T, s *shop) []string {
	t.Helper()
	r, err := s.ledger.ReconcileLog(t.Context(), s.p)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range r.Mismatches {
		all = append(all, m.Row+" "+m.What)
	}
	return all
}
