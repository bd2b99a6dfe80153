package authority

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// TestALeaseThatEndsOnOneServerIsNotRenewedOnAnother gives leases back on one
// server while the other renews them: each comes out held or not, and counted so.
func TestALeaseThatEndsOnOneServerIsNotRenewedOnAnother(t *testing.T) {
	servers(t, func(t *testing.T, a, b *desk) {
		const leases = 40
		for round := range 3 {
			var ids [leases]licensing.LeaseID
			for n := range ids {
				ids[n] = a.acquire(t, ask("big", round*leases+n)).Lease.ID
			}
			before, _, _ := a.held(t, "big")
			var released, renewed atomic.Int64
			parallel(2*leases, func(n int) {
				id := ids[n/2]
				if n%2 == 0 {
					_, err := a.Release(t.Context(), a.p, ReleaseRequest{Lease: id, Generation: 1})
					if code := licensing.CodeOf(err); err != nil && code != licensing.Conflict {
						t.Errorf("releasing: %v", err)
					}
					released.Add(btoi(err == nil))
					return
				}
				_, err := b.Renew(t.Context(), b.p, RenewalRequest{Lease: id, Generation: 1, Nonce: "nonce"})
				if code := licensing.CodeOf(err); err != nil && code != licensing.Gone {
					t.Errorf("renewing: %v", err)
				}
				renewed.Add(btoi(err == nil))
			})
			counter, charged, live := a.held(t, "big")
			if released.Load()+renewed.Load() != leases || counter != charged || counter != live || counter != before-released.Load() {
				t.Fatalf("%d of %d released and %d renewed: %d counted, %d charged, %d live", released.Load(), leases, renewed.Load(), counter, charged, live)
			}
		}
	})
}

// TestARenewalDoesNotReviveWhatAnotherServerEnded ends a lease on one server
// while the renewal at the other has begun and waits for the pool.
func TestARenewalDoesNotReviveWhatAnotherServerEnded(t *testing.T) {
	url := storetest.PostgresURL(t)
	a := newDesk(t, connect(t, url))
	b := a.beside(t, connect(t, url))
	raw, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	l := a.acquire(t, ask("seats", 1)).Lease
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	renewed := make(chan error, 1)
	var renew sync.Once
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		pools, err := tx.LockPools(ctx, []store.PoolKey{{Env: testEnv, License: a.p.License, Name: "seats"}})
		if err != nil {
			return err
		}
		renew.Do(func() {
			go func() {
				_, err := b.Renew(ctx, b.p, RenewalRequest{Lease: l.ID, Generation: 1, Nonce: "nonce"})
				renewed <- err
			}()
			for waiting := 0; waiting == 0 && err == nil; {
				err = raw.QueryRowContext(ctx, "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
			}
		})
		if err != nil {
			return err
		}
		ended, err := tx.Release(ctx, []store.Release{{Env: testEnv, License: a.p.License, Lease: l.ID, Generation: 1}}, tx.Now(), tx.Now().Add(licensing.Remembered))
		pools[0].Held -= int64(len(ended))
		pools[0].Leases -= int64(len(ended))
		return errors.Join(err, tx.PutPools(ctx, []*store.Pool{&pools[0]}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-renewed; err != nil && licensing.CodeOf(err) != licensing.Gone {
		t.Errorf("renewing: %v", err)
	}
	if counter, charged, live := a.held(t, "seats"); counter != live || counter != charged {
		t.Errorf("counter %d, charged %d, live %d", counter, charged, live)
	}
}

// TestWhatIsTakenAwayIsNotGrantedMeanwhile lowers a capacity to what is held on
// one server while others ask for more at the other.
func TestWhatIsTakenAwayIsNotGrantedMeanwhile(t *testing.T) {
	servers(t, func(t *testing.T, a, b *desk) {
		rev, err := licensing.NewRevision(testPlan())
		if err != nil {
			t.Fatal(err)
		}
		for round := range 10 {
			a.p = a.issue(t, rev)
			b.p = a.p
			for n := range 2 {
				b.acquire(t, ask("seats", n))
			}
			var refused atomic.Bool
			parallel(9, func(n int) {
				if n > 0 {
					if _, err := b.Acquire(t.Context(), b.p, ask("seats", 10+n)); err != nil {
						t.Error(err)
					}
					return
				}
				_, err := a.ChangeLicense(t.Context(), owner(), a.p.License, ChangeRequest{Capacity: map[string]int64{"seats": 2}, Reason: "fewer"})
				if err != nil && licensing.CodeOf(err) != licensing.Conflict {
					t.Error(err)
				}
				refused.Store(err != nil)
			})
			if counter, _, live := a.held(t, "seats"); !refused.Load() && (counter != 2 || live != 2) {
				t.Fatalf("round %d: capacity is 2 and %d are held by %d", round, counter, live)
			}
			a.clock.pass(time.Second)
		}
	})
}

// TestAnOfferReachesAWaiterAtAnotherServer frees a unit on one server for who
// waits at the other.
func TestAnOfferReachesAWaiterAtAnotherServer(t *testing.T) {
	servers(t, func(t *testing.T, a, b *desk) {
		held := a.acquire(t, ask("queue", 0))
		granted := make(chan Granted, 1)
		go func() {
			q := ask("queue", 1)
			q.Wait = 60
			g, err := b.Acquire(t.Context(), b.p, q)
			if err != nil {
				t.Error(err)
			}
			granted <- g
		}()
		b.awaitWaiters(t, 1)
		if _, err := a.Release(t.Context(), a.p, ReleaseRequest{Lease: held.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if err := b.askWaiters(t.Context()); err != nil {
			t.Fatal(err)
		}
		if g := <-granted; g.Lease == nil || g.Lease.Holder != "holder-1" {
			t.Errorf("%+v, want the lease", g.Decision)
		}
	})
}

// TestAWaiterAtAnotherServerKeepsItsPlace lets the time pass in which a place
// is lost that nobody keeps.
func TestAWaiterAtAnotherServerKeepsItsPlace(t *testing.T) {
	servers(t, func(t *testing.T, a, b *desk) {
		held := a.acquire(t, ask("queue", 0))
		granted := make(chan Granted, 1)
		go func() {
			q := ask("queue", 1)
			q.Wait = 60
			g, err := b.Acquire(t.Context(), b.p, q)
			if err != nil {
				t.Error(err)
			}
			granted <- g
		}()
		b.awaitWaiters(t, 1)
		for range 3 {
			a.clock.pass(licensing.TicketLasts - time.Second)
			if err := b.keepWaiters(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := a.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.Release(t.Context(), a.p, ReleaseRequest{Lease: held.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if err := b.askWaiters(t.Context()); err != nil {
			t.Fatal(err)
		}
		if g := <-granted; g.Lease == nil {
			t.Errorf("%+v, want the lease", g.Decision)
		}
	})
}

// TestAServerFollowsWhatAnotherChanges changes a license on one server while
// the other has its terms in memory.
func TestAServerFollowsWhatAnotherChanges(t *testing.T) {
	servers(t, func(t *testing.T, a, b *desk) {
		b.acquire(t, ask("seats", 1))
		if _, err := b.Validate(t.Context(), b.p, ValidateRequest{Product: "lathe"}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.SuspendLicense(t.Context(), owner(), a.p.License, "unpaid"); err != nil {
			t.Fatal(err)
		}
		if g := b.acquire(t, ask("seats", 2)); g.Lease != nil || g.Decision.Code != license.CodeSuspended {
			t.Errorf("acquiring at once: %+v, want suspended", g.Decision)
		}
		b.clock.pass(believedFor)
		if v, err := b.Validate(t.Context(), b.p, ValidateRequest{Product: "lathe"}); err != nil || v.Decision.Code != license.CodeSuspended {
			t.Errorf("validating: %+v, %v, want suspended", v.Decision, err)
		}
	})
}

// TestRequestsClashOnTwoServers sends the same request to both servers at once,
// as a program does whose first one was slow to answer.
func TestRequestsClashOnTwoServers(t *testing.T) {
	servers(t, func(t *testing.T, a, b *desk) {
		desks := []*desk{a, b}
		for round := range 20 {
			var leases [2]licensing.LeaseID
			var recorded atomic.Int64
			parallel(4, func(n int) {
				d := desks[n%2]
				if n < 2 {
					g, err := d.Acquire(t.Context(), d.p, ask("big", round))
					if err != nil || g.Lease == nil {
						t.Errorf("acquiring: %v %+v", err, g.Decision)
						return
					}
					leases[n] = g.Lease.ID
					return
				}
				r, err := d.Usage(t.Context(), d.p, []UsageEvent{{ID: newID("event", a.clock.Now().Truncate(time.Second)), Meter: "big", Quantity: "1"}, {ID: "same-" + ask("", round).RequestID, Meter: "big", Quantity: "1"}}, "")
				if err != nil {
					t.Errorf("recording: %v", err)
					return
				}
				recorded.Add(btoi(r.Results[1].Status == UsageRecorded))
			})
			if leases[0] != leases[1] || recorded.Load() != 1 {
				t.Fatalf("round %d: leases %v, recorded %d times", round, leases, recorded.Load())
			}
		}
	})
}

// awaitWaiters returns when n requests are held here, each with its place.
func (d *desk) awaitWaiters(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(d.waiters.tickets()) < n {
		if err := d.db.View(ctx, func(*store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}
