package authority

import (
	"testing"
	"time"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// TestAnIdleServerWritesNothing runs every background task of a server that has a license, a lease
// and a denial, but nothing to do.
func TestAnIdleServerWritesNothing(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		d.acquire(t, ask("seats", 1))
		d.acquire(t, ask("line", 1))
		if _, err := d.Acquire(t.Context(), d.p, ask("line", 2)); err != nil { // queued
			t.Fatal(err)
		}
		tasks := func() {
			t.Helper()
			for name, err := range map[string]error{
				"sequencer": s.ledger.Sequence(t.Context()), "clock": s.ledger.LookAtClock(t.Context()), "measure": s.Measure(t.Context()),
				"terms": s.BeginTerms(t.Context()), "moves": s.FinishMoves(t.Context(), ""), "answers": s.ForgetAnswers(t.Context()),
				"keys": s.TendKeys(t.Context()), "credentials": s.SaveTokenUses(t.Context()), "changes": s.LookForChanges(t.Context()),
				"repeats": s.StoreRepeats(t.Context()), "denials": s.CountDenials(t.Context()), "forget": s.Forget(t.Context()),
				"waiters": s.KeepWaiters(t.Context()), "sweep": s.Sweep(t.Context()),
			} {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		tasks()
		before := s.ledger.DB.Written()
		tasks()
		if after := s.ledger.DB.Written(); after != before {
			t.Errorf("the tasks of an idle server began %d transactions that write", after-before)
		}
	})
}

// TestWhatCanBeForgottenIsForgotten checks that a task which looks before it writes finds its work.
func TestWhatCanBeForgottenIsForgotten(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		d.acquire(t, ask("seats", 1))
		d.acquire(t, ask("seats", 2))
		if g, err := d.Acquire(t.Context(), d.p, ask("seats", 3)); err != nil || g.Lease != nil {
			t.Fatalf("a full pool answered %+v, %v", g, err)
		}
		if err := s.StoreRepeats(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.clock.pass(granting.DenialsKnown + time.Hour)
		for _, want := range []bool{true, false} {
			err := s.ledger.View(t.Context(), func(tx *store.Tx) error {
				now := tx.Now()
				some, err := tx.Forgettable(t.Context(), now, now, now, now)
				if some != want {
					t.Errorf("something to forget: %v, want %v", some, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
