package authority

import (
	"slices"
	"testing"
	"time"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// eachPoolModel runs fn on both engines, with a license whose pool has the drafted rule.
func eachPoolModel(t *testing.T, pool draftPool, fn func(t *testing.T, w *poolModel)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := openPoolModel(t, db, 1)
		w.becomes(pool)
		fn(t, w)
	})
}

// becomes gives the license's pool another rule, whatever is in use.
func (w *poolModel) becomes(pool draftPool) {
	w.t.Helper()
	w.draft = pool
	if err := w.apply("all", licensing.BelowDrain); err != nil {
		w.t.Fatal(err)
	}
}

// of returns an acquire by an instance of a holder for the model's pool.
func of(holder string, n int) granting.AcquireRequest {
	q := ask("unit", n)
	q.Holder.ID = holder
	return q
}

// counts fails unless the pool counts the given units and leases.
func (w *poolModel) counts(held, leases int64) {
	w.t.Helper()
	if counter, charged, live := w.testAuthority.held(w.t, "unit"); counter != held || charged != held || live != leases {
		w.t.Errorf("counter %d, charged %d, live %d; want %d by %d", counter, charged, live, held, leases)
	}
}

// later advances the time and sweeps.
func (w *poolModel) later(d time.Duration) {
	w.t.Helper()
	w.clock.pass(d)
	if err := w.Sweep(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// TestInstancesThatShareNoMoreAreCountedEach stops sharing in a plan while two instances of a
// holder use one unit, and after the lease of a third was ended by force.
func TestInstancesThatShareNoMoreAreCountedEach(t *testing.T) {
	shared := draftPool{capacity: 3, lease: "15m", grace: "1m", share: "holder", full: "deny"}
	for _, after := range []draftPool{
		{capacity: 3, lease: "15m", grace: "1m", share: "none", full: "deny"},
		{capacity: 3, lease: "none", share: "none", full: "deny"},
		{gone: true},
	} {
		eachPoolModel(t, shared, func(t *testing.T, w *poolModel) {
			first := w.acquire1(of("ada", 1))
			w.acquire1(of("ada", 2))
			forced := w.acquire1(of("ada", 3))
			if _, err := w.Release(t.Context(), w.admin, granting.ReleaseRequest{Lease: forced.Lease.ID, Force: true}); err != nil {
				t.Fatal(err)
			}
			w.counts(1, 2)
			tight := after
			tight.capacity = 2
			w.draft = tight
			if err := w.apply("all", licensing.BelowRefuse); licensing.CodeOf(err) != licensing.Conflict {
				t.Errorf("three of two are refused: %v", err)
			}
			w.counts(1, 2)
			w.becomes(after)
			w.counts(3, 2)
			if _, err := w.Release(t.Context(), w.p, granting.ReleaseRequest{Lease: first.Lease.ID, Generation: 1}); err != nil {
				t.Fatal(err)
			}
			w.counts(2, 1)
			if !after.gone {
				w.acquire1(of("bob", 4))
				if g, err := w.Acquire(t.Context(), w.p, of("eve", 5)); err != nil || g.Lease != nil {
					t.Errorf("a fourth of three: %+v, %v", g.Decision, err)
				}
			}
		})
	}
}

// acquire1 is acquire, but must be granted.
func (w *poolModel) acquire1(q granting.AcquireRequest) granting.Granted {
	w.t.Helper()
	g := w.testAuthority.acquire(w.t, q)
	if g.Lease == nil {
		w.t.Fatalf("%s asks: %+v", q.RequestID, g.Decision)
	}
	return g
}

// TestALeaseIsKeptAsLongAsItsDocumentWhateverItsPoolBecomes checks a lease with an end in a pool
// that no longer has one, and a lease without end in a pool that now has one.
func TestALeaseIsKeptAsLongAsItsDocumentWhateverItsPoolBecomes(t *testing.T) {
	ends, endless := draftPool{capacity: 1, lease: "15m", grace: "1m", share: "none", full: "deny"}, draftPool{capacity: 1, lease: "none", share: "none", full: "deny"}
	eachPoolModel(t, ends, func(t *testing.T, w *poolModel) {
		g := w.acquire1(of("ada", 1))
		w.becomes(endless)
		g = w.testAuthority.kept(t, g, "nonce-0001")
		w.later(7 * time.Hour)
		w.counts(1, 1)
		w.testAuthority.kept(t, g, "nonce-0002")
		if g := w.testAuthority.acquire(t, of("bob", 2)); g.Lease != nil {
			t.Errorf("a second of one: %+v", g.Lease)
		}
		w.later(8*time.Hour + w.ledger.Skew) // the instance could not find its lease again
		w.counts(0, 0)
	})
	eachPoolModel(t, endless, func(t *testing.T, w *poolModel) {
		lost := w.acquire1(of("ada", 1))
		w.becomes(ends)
		w.later(8*time.Hour + w.ledger.Skew - time.Second)
		w.counts(1, 1)
		w.later(time.Second)
		w.counts(0, 0)
		w.becomes(endless)
		if kept := w.acquire1(of("ada", 1001)); kept.Lease.ID == lost.Lease.ID {
			t.Error("an ended lease was returned again")
		}
	})
}

// TestDrainingToNothingLetsHoldersGoOn checks that holders can renew and repeat their requests, and
// that new holders get no units.
func TestDrainingToNothingLetsHoldersGoOn(t *testing.T) {
	eachPoolModel(t, draftPool{capacity: 2, lease: "15m", grace: "1m", share: "none", full: "deny"}, func(t *testing.T, w *poolModel) {
		g := w.acquire1(of("ada", 1))
		w.becomes(draftPool{capacity: 0, lease: "15m", grace: "1m", share: "none", full: "deny"})
		w.acquire1(of("ada", 1))
		w.testAuthority.kept(t, g, "nonce-0001")
		if g := w.testAuthority.acquire(t, of("bob", 2)); g.Decision.Code != license.CodeTooManyUnits {
			t.Errorf("%+v", g.Decision)
		}
	})
}

// TestNobodyBorrowsForLongerByAskingAgain checks a holder's new request, and a repeated request
// from a time when the borrowing limit was higher.
func TestNobodyBorrowsForLongerByAskingAgain(t *testing.T) {
	pool := draftPool{capacity: 2, lease: "15m", grace: "1m", borrow: "1d", share: "none", full: "deny"}
	eachPoolModel(t, pool, func(t *testing.T, w *poolModel) {
		w.acquire1(of("ada", 1))
		longer := of("ada", 1)
		longer.RequestID, longer.For = "longer", 30*86400
		if g := w.testAuthority.acquire(t, longer); g.Decision.Code != license.CodeBorrowTooLong || g.Document != "" {
			t.Errorf("%+v", g.Decision)
		}
		day := of("bob", 2)
		day.For = 86400
		w.acquire1(day)
		pool.borrow = ""
		w.becomes(pool)
		if g := w.testAuthority.acquire(t, day); g.Decision.Code != license.CodeBorrowTooLong || g.Document != "" {
			t.Errorf("%+v", g.Decision)
		}
	})
}

// TestAHolderThatHasALeaseClaimsNoOther checks a program that asked again and was served before the
// offer to its first request.
func TestAHolderThatHasALeaseClaimsNoOther(t *testing.T) {
	eachPoolModel(t, draftPool{capacity: 2, lease: "15m", grace: "1m", share: "none", full: "queue"}, func(t *testing.T, w *poolModel) {
		one, two := w.acquire1(of("ada", 1)), w.acquire1(of("bob", 2))
		first := of("eve", 3)
		if g := w.testAuthority.acquire(t, first); g.Ticket == nil {
			t.Fatalf("%+v", g.Decision)
		}
		for _, g := range []granting.Granted{one, two} {
			if _, err := w.Release(t.Context(), w.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
				t.Fatal(err)
			}
		}
		anew := of("eve", 3)
		anew.RequestID = "anew"
		g := w.acquire1(anew)
		if again := w.acquire1(first); again.Lease.ID != g.Lease.ID || again.Lease.Generation != 2 {
			t.Errorf("%+v, want %s in generation 2", again.Lease, g.Lease.ID)
		}
		w.counts(1, 1)
	})
}

// TestAWaitingInstanceSharesWhatAnotherGets lets two instances of one holder wait, and another
// holder behind them. The units granted to the first serve the second too. It is told immediately,
// and its place delays nobody.
func TestAWaitingInstanceSharesWhatAnotherGets(t *testing.T) {
	eachPoolModel(t, draftPool{capacity: 1, lease: "15m", grace: "1m", share: "holder", full: "queue"}, func(t *testing.T, w *poolModel) {
		held := w.acquire1(of("ada", 1))
		first := of("eve", 2)
		if g := w.testAuthority.acquire(t, first); g.Ticket == nil {
			t.Fatalf("%+v", g.Decision)
		}
		granted := make(chan granting.Granted, 1)
		go func() {
			q := of("eve", 3)
			q.Wait = 300
			g, err := w.Acquire(t.Context(), w.p, q)
			if err != nil {
				t.Error(err)
			}
			granted <- g
		}()
		w.awaitWaiters(t, 1)
		behind := of("bob", 4)
		if g := w.testAuthority.acquire(t, behind); g.Ticket == nil {
			t.Fatalf("%+v", g.Decision)
		}
		if _, err := w.Release(t.Context(), w.p, granting.ReleaseRequest{Lease: held.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		one := w.acquire1(first)
		two := <-granted
		if two.Lease == nil || two.Decision.Rule != "pool.share" {
			t.Fatalf("the other instance: %+v", two.Decision)
		}
		w.counts(1, 2)
		if g := w.testAuthority.acquire(t, behind); g.Ticket == nil || w.row().Waiting != 1 {
			t.Errorf("the next waiter: %+v, %d wait", g.Decision, w.row().Waiting)
		}
		for _, g := range []granting.Granted{one, two} {
			if _, err := w.Release(t.Context(), w.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
				t.Fatal(err)
			}
		}
		w.acquire1(behind)
	})
}

// TestAClaimDoesNotBeginTheOverdraftAnew checks this because the units have been held since the
// offer.
func TestAClaimDoesNotBeginTheOverdraftAnew(t *testing.T) {
	eachPoolModel(t, draftPool{capacity: 1, lease: "15m", grace: "1m", share: "none", full: "queue", overdraft: true}, func(t *testing.T, w *poolModel) {
		g := w.acquire1(of("ada", 1))
		w.acquire1(of("bob", 2))
		waits := of("eve", 3)
		w.testAuthority.acquire(t, waits)
		if _, err := w.Release(t.Context(), w.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		since := w.row().OverSince
		w.clock.pass(20 * time.Second)
		w.acquire1(waits)
		if at := w.row().OverSince; since.IsZero() || !at.Equal(since) {
			t.Errorf("over since %v, and since %v after the claim", since, at)
		}
	})
}

// TestInstancesOnAMatchedMachineHaveLeasesOfTheirOwn checks that a second program on a machine
// takes nothing over from the first if each instance counts.
func TestInstancesOnAMatchedMachineHaveLeasesOfTheirOwn(t *testing.T) {
	eachPoolModel(t, draftPool{capacity: 2, lease: "15m", grace: "1m", share: "none", full: "deny", matched: true}, func(t *testing.T, w *poolModel) {
		var held []granting.Granted
		for n := range 3 {
			q := machine(1)
			q.RequestID, q.Instance, q.Pool = ask("unit", n).RequestID, ask("unit", n).Instance, "unit"
			if g := w.testAuthority.acquire(t, q); (g.Lease != nil) != (n < 2) {
				t.Errorf("instance %d of a machine: %+v", n, g.Decision)
			} else if g.Lease != nil {
				held = append(held, g)
			}
		}
		for _, g := range held {
			w.testAuthority.kept(t, g, "nonce-0001")
		}
		renamed := machine(1)
		renamed.RequestID, renamed.Instance, renamed.Pool, renamed.Holder.ID = "renamed", ask("unit", 1).Instance, "unit", "renamed"
		if g := w.acquire1(renamed); !slices.ContainsFunc(held, func(h granting.Granted) bool { return h.Lease.ID == g.Lease.ID }) {
			t.Errorf("the instance of a renamed machine: %+v", g.Lease)
		}
		w.counts(2, 2)
	})
}

// TestARequestIsTheSameWhateverItsPoolBecomes checks requests with and without instances.
func TestARequestIsTheSameWhateverItsPoolBecomes(t *testing.T) {
	ends, endless := draftPool{capacity: 1, lease: "15m", grace: "1m", share: "none", full: "deny"}, draftPool{capacity: 1, lease: "none", share: "none", full: "deny"}
	for _, pools := range [][2]draftPool{{ends, endless}, {endless, ends}} {
		eachPoolModel(t, pools[0], func(t *testing.T, w *poolModel) {
			g := w.acquire1(of("ada", 1))
			w.becomes(pools[1])
			if again := w.acquire1(of("ada", 1)); again.Lease.ID != g.Lease.ID {
				t.Errorf("%+v, want %s", again.Lease, g.Lease.ID)
			}
		})
	}
}

// TestNobodyWaitsForMoreThanThePoolHas checks a waiter that asked for more units than the pool has
// left. It blocks nobody.
func TestNobodyWaitsForMoreThanThePoolHas(t *testing.T) {
	pool := draftPool{capacity: 3, lease: "15m", grace: "1m", share: "none", full: "queue"}
	eachPoolModel(t, pool, func(t *testing.T, w *poolModel) {
		one, two := w.acquire1(of("ada", 1)), w.acquire1(of("bob", 2))
		large := of("eve", 3)
		large.Units = 3
		w.testAuthority.acquire(t, large)
		w.testAuthority.acquire(t, of("dan", 4))
		pool.capacity = 2
		w.becomes(pool)
		if _, err := w.Release(t.Context(), w.p, granting.ReleaseRequest{Lease: one.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		w.testAuthority.kept(t, two, "nonce-0001")
		w.acquire1(of("dan", 4))
		if g := w.testAuthority.acquire(t, large); g.Decision.Code != license.CodeTooManyUnits {
			t.Errorf("%+v", g.Decision)
		}
		w.counts(2, 2)
	})
}

// TestAWaitingInstanceSharesItsHoldersUnits checks that it does so as soon as another instance has
// them.
func TestAWaitingInstanceSharesItsHoldersUnits(t *testing.T) {
	eachPoolModel(t, draftPool{capacity: 1, lease: "15m", grace: "1m", share: "holder", full: "queue"}, func(t *testing.T, w *poolModel) {
		g := w.acquire1(of("bob", 1))
		w.testAuthority.acquire(t, of("ada", 2))
		w.testAuthority.acquire(t, of("ada", 3))
		if _, err := w.Release(t.Context(), w.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		w.acquire1(of("ada", 2))
		if g := w.acquire1(of("ada", 3)); g.Lease.Charge != 0 {
			t.Errorf("%+v", g.Lease)
		}
		w.counts(1, 2)
	})
}
