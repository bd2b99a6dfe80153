package authority

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

func TestTheSameRequestGivesTheSameLease(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		first := d.acquire(t, ask("seats", 1))
		again := d.acquire(t, ask("seats", 1))
		if again.Lease.ID != first.Lease.ID || again.Lease.Generation != first.Lease.Generation {
			t.Errorf("again: lease %s/%d, want %s/%d", again.Lease.ID, again.Lease.Generation, first.Lease.ID, first.Lease.Generation)
		}
		other := ask("seats", 2)
		other.RequestID = ask("seats", 1).RequestID
		if _, err := d.Acquire(t.Context(), d.p, other); licensing.CodeOf(err) != licensing.IdempotencyMismatch {
			t.Errorf("same id, another body: %v", err)
		}
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: first.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: first.Lease.ID, Generation: 1}); err != nil {
			t.Errorf("releasing again: %v", err)
		}
		d.clock.pass(23 * time.Hour)
		if _, err := d.Acquire(t.Context(), d.p, ask("seats", 1)); licensing.CodeOf(err) != licensing.Gone {
			t.Errorf("the id of a released lease after 23 h: %v, want gone", err)
		}
		d.clock.pass(2 * time.Hour)
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if g := d.acquire(t, ask("seats", 1)); g.Lease == nil || g.Lease.ID == first.Lease.ID {
			t.Errorf("the id after 25 h: %+v, want a new lease", g.Lease)
		}
	})
}

func TestAnInstanceHasOneLeaseOfAPool(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		first := d.acquire(t, ask("seats", 1))
		q := ask("seats", 1)
		q.RequestID = "another"
		again := d.acquire(t, q)
		if again.Lease.ID != first.Lease.ID || again.Lease.Generation != 2 {
			t.Errorf("lease %s/%d, want %s/2", again.Lease.ID, again.Lease.Generation, first.Lease.ID)
		}
		if counter, _, live := d.held(t, "seats"); counter != 1 || live != 1 {
			t.Errorf("held %d by %d leases, want 1 by 1", counter, live)
		}
	})
}

func TestAUnitIsNotReclaimedBeforeItsLeaseHasEndedEverywhere(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		for n := range 5 {
			d.acquire(t, ask("seats", n))
		}
		ends := 900*time.Second + time.Hour + d.ledger.Skew
		d.clock.pass(ends - time.Second)
		g := d.acquire(t, ask("seats", 10))
		if g.Lease != nil || g.Decision.FreeAt != d.clock.Now().Add(time.Second).Unix() {
			t.Errorf("a second before: %+v", g.Decision)
		}
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if counter, _, _ := d.held(t, "seats"); counter != 5 {
			t.Errorf("a second before %d units are held, want 5", counter)
		}
		d.clock.pass(time.Second)
		if g := d.acquire(t, ask("seats", 11)); g.Lease == nil {
			t.Errorf("at exp and skew: %+v, want a lease", g.Decision)
		}
		if counter, charged, live := d.held(t, "seats"); counter != 1 || charged != 1 || live != 1 {
			t.Errorf("counter %d, charged %d, live %d; want 1 each", counter, charged, live)
		}
	})
}

func TestARenewalKeepsTheUnit(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("seats", 1))
		for n := range int64(20) {
			d.clock.pass(10 * time.Minute)
			r, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: n + 1, Nonce: fmt.Sprint("nonce-of-", n)})
			if err != nil || r.Lease == nil || r.Lease.Generation != n+2 || r.Document == "" {
				t.Fatalf("renewal %d: %v %+v", n, err, r)
			}
		}
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if counter, _, live := d.held(t, "seats"); counter != 1 || live != 1 {
			t.Errorf("held %d by %d", counter, live)
		}
		d.clock.pass(900*time.Second + time.Hour + d.ledger.Skew - time.Second)
		for _, want := range []int64{1, 0} {
			if err := d.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if counter, _, live := d.held(t, "seats"); counter != want || live != want {
				t.Errorf("%v after the last renewal held %d by %d, want %d", d.clock.Now(), counter, live, want)
			}
			d.clock.pass(time.Second)
		}
	})
}

func TestACopyIsToldAndSoIsTheOneThatGoesOn(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("seats", 1))
		renew := func(generation int64, nonce string) license.Decision {
			t.Helper()
			r, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: generation, Nonce: nonce})
			if err != nil {
				t.Fatal(err)
			}
			return r.Decision
		}
		if got := renew(1, "the-first"); got.Code != license.CodeOK {
			t.Errorf("first: %+v", got)
		}
		if got := renew(1, "the-first"); got.Code != license.CodeOK {
			t.Errorf("the same request again, its answer lost: %+v", got)
		}
		if got := renew(1, "the-copy"); got.Outcome != license.Denied || got.Code != license.CodeClone {
			t.Errorf("copy: %+v", got)
		}
		if got := renew(2, "the-second"); got.Outcome != license.Allowed || got.Code != license.CodeClone {
			t.Errorf("the remaining copy is not told: %+v", got)
		}
		if got := renew(3, "the-third"); got.Code != license.CodeOK {
			t.Errorf("told twice: %+v", got)
		}
	})
}

func TestARenewalWhoseAnswerWasLostCanBeGivenBack(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("seats", 1))
		if _, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: 1, Nonce: "the-lost-one"}); err != nil {
			t.Fatal(err)
		}
		release := func(generation int64, nonce string) licensing.Code {
			t.Helper()
			r, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: generation, Nonce: nonce})
			if err == nil && !r.FreeAt.Equal(d.clock.Now()) {
				t.Errorf("free at %v, want now", r.FreeAt)
			}
			if err != nil {
				return licensing.CodeOf(err)
			}
			return ""
		}
		for _, nonce := range []string{"", "another-nonce"} {
			if code := release(1, nonce); code != licensing.Conflict {
				t.Errorf("a copy with nonce %q: %q, want conflict", nonce, code)
			}
		}
		for range 2 {
			if code := release(1, "the-lost-one"); code != "" {
				t.Errorf("the holder: %q", code)
			}
		}
		if counter, charged, live := d.held(t, "seats"); counter != 0 || live != 0 {
			t.Errorf("counter %d, charged %d, live %d; want none", counter, charged, live)
		}
	})
}

func TestOverdraftEnds(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		hold := func() {
			for n := range 3 {
				q := ask("over", n)
				q.RequestID = fmt.Sprint(q.RequestID, "-", d.clock.Now().Unix())
				d.acquire(t, q)
			}
		}
		hold()
		if counter, _, _ := d.held(t, "over"); counter != 3 {
			t.Fatalf("%d held of 2 and an overdraft of 1", counter)
		}
		for range 10 {
			d.clock.pass(12 * time.Minute)
			hold()
		}
		third := ask("over", 2)
		third.RequestID = "last"
		g := d.acquire(t, third)
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: g.Lease.Generation}); err != nil {
			t.Fatal(err)
		}
		// The pool is within its capacity again, so a new overdraft can begin.
		if g := d.acquire(t, ask("over", 7)); g.Decision.Code != license.CodeOverdraft {
			t.Errorf("%+v, want an overdraft", g.Decision)
		}
		d.clock.pass(11 * time.Minute)
		hold() // 0 and 1 continue; for 2, the overdraft is used up
		if g := d.acquire(t, ask("over", 8)); g.Lease != nil || g.Decision.Code != license.CodePoolFull {
			t.Errorf("%+v, want full", g.Decision)
		}
	})
}

func TestBorrowedUnitsAreKeptAndReturnEarly(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		q := ask("seats", 1)
		q.For = 86401
		if g := d.acquire(t, q); g.Decision.Code != license.CodeBorrowTooLong {
			t.Errorf("%+v, want borrow_too_long", g.Decision)
		}
		q.For, q.RequestID = 86400, "borrow"
		g := d.acquire(t, q)
		if g.Lease == nil || !g.Lease.Borrowed {
			t.Fatalf("%+v", g.Decision)
		}
		d.clock.pass(20 * time.Hour)
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if counter, _, _ := d.held(t, "seats"); counter != 1 {
			t.Errorf("%d held after 20 of 24 h", counter)
		}
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if counter, _, _ := d.held(t, "seats"); counter != 0 {
			t.Errorf("%d held after an early return", counter)
		}
	})
}

func TestAForcedReleaseFreesTheUnitWhenNobodyCanUseIt(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("queue", 1))
		admin := access.System(testEnv, "test")
		r, err := d.Release(t.Context(), admin, granting.ReleaseRequest{Lease: g.Lease.ID, Force: true})
		if err != nil {
			t.Fatal(err)
		}
		if want := d.clock.Now().Add(960*time.Second + d.ledger.Skew); !r.FreeAt.Equal(want) {
			t.Errorf("free at %v, want %v", r.FreeAt, want)
		}
		if counter, _, live := d.held(t, "queue"); counter != 1 || live != 0 {
			t.Errorf("held %d by %d live leases, want 1 by 0", counter, live)
		}
		counts := func(want int) {
			t.Helper()
			list, err := d.Leases(t.Context(), admin, LeaseFilter{Pool: "queue"}, request.PageOf{})
			if err != nil || len(list.Items) != want || want > 0 && (list.Items[0].Forced.IsZero() || list.Items[0].Holder.ID != "holder-1") {
				t.Errorf("listed: %+v, %v", list.Items, err)
			}
		}
		counts(1)
		next := ask("queue", 2)
		next.RequestID = "too-early"
		if g := d.acquire(t, next); g.Ticket == nil || g.Decision.FreeAt != r.FreeAt.Unix() {
			t.Errorf("%+v: want it free at %v", g.Decision, r.FreeAt)
		} else if _, err := d.Withdraw(t.Context(), d.p, g.Ticket.ID); err != nil {
			t.Error(err)
		}
		d.clock.pass(960*time.Second + d.ledger.Skew)
		if g := d.acquire(t, ask("queue", 2)); g.Lease == nil {
			t.Errorf("%+v, want a lease", g.Decision)
		}
		if list, err := d.Leases(t.Context(), admin, LeaseFilter{Pool: "queue"}, request.PageOf{}); err != nil || len(list.Items) != 1 || list.Items[0].Holder.ID != "holder-2" {
			t.Errorf("listed: %+v, %v", list.Items, err)
		}
	})
}

func TestInstancesOfAHolderShareItsUnits(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		var leases []*licensing.Lease
		for n := range 3 {
			q := ask("shared", n)
			q.Holder.ID = "ada"
			leases = append(leases, d.acquire(t, q).Lease)
		}
		if counter, charged, live := d.held(t, "shared"); counter != 1 || charged != 1 || live != 3 {
			t.Fatalf("counter %d, charged %d, live %d; want 1, 1, 3", counter, charged, live)
		}
		for i, want := range []int64{1, 1, 0} {
			if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: leases[i].ID, Generation: 1}); err != nil {
				t.Fatal(err)
			}
			if counter, charged, _ := d.held(t, "shared"); counter != want || charged != want {
				t.Errorf("after %d releases counter %d, charged %d, want %d", i+1, counter, charged, want)
			}
		}
	})
}

func TestAMachineIsKnownByMostOfItsParts(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		first := d.acquire(t, machine(1))
		q := machine(1)
		q.RequestID, q.Holder.ID = "renamed", "renamed"
		q.Holder.Components = map[string]string{"board": "b1", "disk": "new", "cpu": "c1"}
		if g := d.acquire(t, q); g.Lease == nil || g.Lease.ID != first.Lease.ID {
			t.Errorf("one part replaced: %+v, want lease %s", g.Lease, first.Lease.ID)
		}
		q = machine(1)
		q.RequestID = "copied-id"
		q.Holder.Components = map[string]string{"board": "x", "disk": "y", "cpu": "z"}
		if g := d.acquire(t, q); g.Decision.Code != license.CodeBindingMismatch {
			t.Errorf("another machine with its name: %+v", g.Decision)
		}
	})
}

func TestWaitersAreServedInOrder(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		const waiting = 50
		held := d.acquire(t, ask("queue", 0))
		var mu sync.Mutex
		var served []int
		granted := make(chan granting.Granted)
		var all sync.WaitGroup
		for n := 1; n <= waiting; n++ {
			all.Go(func() {
				q := ask("queue", n)
				q.Wait = 300
				g, err := d.Acquire(t.Context(), d.p, q)
				if err != nil || g.Lease == nil {
					t.Errorf("waiter %d: %v %+v", n, err, g.Decision)
					return
				}
				mu.Lock()
				served = append(served, n)
				mu.Unlock()
				granted <- g
			})
			d.awaitWaiters(t, n) // its place is taken before the next request
		}
		slowest := time.Duration(0)
		for range waiting {
			began := time.Now()
			if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: held.Lease.ID, Generation: held.Lease.Generation}); err != nil {
				t.Fatal(err)
			}
			held = <-granted
			slowest = max(slowest, time.Since(began))
		}
		all.Wait()
		if !slices.IsSorted(served) || len(served) != waiting {
			t.Errorf("served in order %v", served)
		}
		t.Logf("slowest handover %v", slowest)
	})
}

func TestAVanishedWaiterLosesItsPlace(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		held := d.acquire(t, ask("queue", 0))
		first, second := d.acquire(t, ask("queue", 1)), d.acquire(t, ask("queue", 2))
		if first.Ticket == nil || second.Ticket == nil || first.Decision.Code != license.CodeQueued {
			t.Fatalf("%+v %+v", first.Decision, second.Decision)
		}
		d.clock.pass(licensing.TicketLasts - time.Second)
		if _, err := d.Ticket(t.Context(), d.p, second.Ticket.ID); err != nil {
			t.Fatal(err)
		}
		d.clock.pass(2 * time.Second)
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: held.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		q, err := d.Ticket(t.Context(), d.p, second.Ticket.ID)
		if err != nil || q.Decision.Code != license.CodeOffered {
			t.Fatalf("second: %v %+v, want an offer", err, q.Decision)
		}
		if g := d.acquire(t, ask("queue", 2)); g.Lease == nil {
			t.Errorf("claiming: %+v", g.Decision)
		}
	})
}

func TestAnOfferLapses(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		held := d.acquire(t, ask("queue", 0))
		d.acquire(t, ask("queue", 1))
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: held.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if g := d.acquire(t, ask("queue", 2)); g.Ticket == nil {
			t.Errorf("an offered unit went to another holder: %+v", g.Decision)
		}
		d.clock.pass(licensing.OfferLasts)
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if counter, _, live := d.held(t, "queue"); counter != 0 || live != 0 {
			t.Errorf("held %d by %d after the offer lapsed and the other vanished", counter, live)
		}
	})
}

func TestUsageCountsOnce(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		send := func(ids ...string) (got []licensing.UsageStatus) {
			t.Helper()
			var events []granting.UsageEvent
			for _, id := range ids {
				events = append(events, granting.UsageEvent{ID: id, Meter: "calls", Quantity: "2"})
			}
			r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: events, Nonce: "nonce-12345"})
			if err != nil || r.Reply == "" {
				t.Fatal(err, r)
			}
			for _, one := range r.Results {
				got = append(got, one.Status)
			}
			return got
		}
		if got, want := send("a", "a", "b", "c"), []licensing.UsageStatus{licensing.RecordedUsage, licensing.DuplicateUsage, licensing.RecordedUsage, licensing.DeniedUsage}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := send("a", "b"); !slices.Equal(got, []licensing.UsageStatus{licensing.DuplicateUsage, licensing.DuplicateUsage}) {
			t.Errorf("sent again: %v", got)
		}
		c, err := d.Check(t.Context(), d.p, granting.CheckRequest{Meter: "calls"})
		if err != nil || c.Decision.Held != 5 {
			t.Errorf("check: %v %+v, want 5 with one more", err, c.Decision)
		}
	})
}

func TestABadRequestDoesNotFailItsNeighbours(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		bad := access.Principal{Kind: access.KindLicense, Env: testEnv, License: "lic_none", Actor: "license:none"}
		parallel(20, func(n int) {
			p := d.p
			if n%2 == 0 {
				p = bad
			}
			q := ask("users", n/4)
			_, err := d.Acquire(t.Context(), p, q)
			if n%2 == 0 && licensing.CodeOf(err) != licensing.NotFound {
				t.Errorf("a license that does not exist: %v", err)
			}
			if n%2 == 1 && err != nil {
				t.Errorf("another request in the batch failed: %v", err)
			}
		})
	})
}

// TestABatchThatFailsFailsOnlyWhoMadeItFail puts an unreadable license into a batch with others.
func TestABatchThatFailsFailsOnlyWhoMadeItFail(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		rev, err := licensing.NewRevision(testPlan())
		if err != nil {
			t.Fatal(err)
		}
		rev.ID = "rev_none"
		broken := d.issue(t, rev)
		parallel(40, func(n int) {
			if n%4 == 0 {
				if g, err := d.Acquire(t.Context(), broken, ask("big", n)); err == nil {
					t.Errorf("a license without a revision: %+v", g.Decision)
				}
				return
			}
			if g, err := d.Acquire(t.Context(), d.p, ask("big", n)); err != nil || g.Lease == nil {
				t.Errorf("another request in the batch failed: %v %+v", err, g.Decision)
			}
		})
		if counter, charged, live := d.held(t, "big"); counter != 30 || charged != 30 || live != 30 {
			t.Errorf("counter %d, charged %d, live %d; want 30 each", counter, charged, live)
		}
	})
}
