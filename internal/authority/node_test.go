package authority

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// TestALeaseThatEndsOnOneServerIsNotRenewedOnAnother releases leases on one server while the other
// renews them. Each lease ends up either live or ended, and is counted accordingly.
func TestALeaseThatEndsOnOneServerIsNotRenewedOnAnother(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
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
					_, err := a.Release(t.Context(), a.p, granting.ReleaseRequest{Lease: id, Generation: 1})
					if code := licensing.CodeOf(err); err != nil && code != licensing.Conflict {
						t.Errorf("releasing: %v", err)
					}
					released.Add(granting.Btoi(err == nil))
					return
				}
				_, err := b.Renew(t.Context(), b.p, granting.RenewalRequest{Lease: id, Generation: 1, Nonce: "nonce-of-1"})
				if code := licensing.CodeOf(err); err != nil && code != licensing.Gone {
					t.Errorf("renewing: %v", err)
				}
				renewed.Add(granting.Btoi(err == nil))
			})
			counter, charged, live := a.held(t, "big")
			if released.Load()+renewed.Load() != leases || counter != charged || counter != live || counter != before-released.Load() {
				t.Fatalf("%d of %d released and %d renewed: %d counted, %d charged, %d live", released.Load(), leases, renewed.Load(), counter, charged, live)
			}
		}
	})
}

// TestARenewalDoesNotReviveWhatAnotherServerEnded ends a lease on one server while its renewal on
// the other has begun and waits for the pool.
func TestARenewalDoesNotReviveWhatAnotherServerEnded(t *testing.T) {
	a, b, raw := twoServers(t)
	l := a.acquire(t, ask("seats", 1)).Lease
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	renewed := make(chan error, 1)
	var renew sync.Once
	err := a.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		pools, _, err := tx.LockPools(ctx, []store.PoolKey{{Env: testEnv, License: a.p.License, Name: "seats"}}, nil, true)
		if err != nil {
			return err
		}
		renew.Do(func() {
			go func() {
				_, err := b.Renew(ctx, b.p, granting.RenewalRequest{Lease: l.ID, Generation: 1, Nonce: "nonce-of-1"})
				renewed <- err
			}()
			err = somebodyWaits(ctx, raw)
		})
		if err != nil {
			return err
		}
		var ended []store.Released
		err = tx.AskRelease(ctx, []store.Release{{Env: testEnv, License: a.p.License, Lease: l.ID, Generation: 1}}, tx.Now(), tx.Now().Add(licensing.Remembered), &ended)
		err = errors.Join(err, tx.Flush(ctx))
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

// TestTwoServersLockPoolsInOneOrder lets a batch discover a pool that sorts before one it has
// locked, while another server has locked that pool and needs the other one. There must be no
// deadlock.
func TestTwoServersLockPoolsInOneOrder(t *testing.T) {
	a, b, raw := twoServers(t)
	held := a.acquire(t, ask("over", 1))
	a.acquire(t, ask("seats", 1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pool := func(name string) []store.PoolKey {
		return []store.PoolKey{{Env: testEnv, License: a.p.License, Name: name}}
	}
	done := make(chan granting.LeaseOutcomes, 1)
	tries := 0
	err := b.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		tries++
		if _, _, err := tx.LockPools(ctx, pool("over"), nil, true); err != nil {
			return err
		}
		if tries == 1 {
			go func() {
				done <- a.Batch(ctx, a.p, granting.LeaseBatch{
					Release: []granting.ReleaseRequest{{Lease: held.Lease.ID, Generation: 1}},
					Acquire: []granting.AcquireRequest{ask("seats", 2)},
				})
			}()
			if err := somebodyWaits(ctx, raw); err != nil {
				return err
			}
		}
		_, _, err := tx.LockPools(ctx, pool("seats"), nil, true)
		return err
	})
	if err != nil || tries != 1 {
		t.Errorf("the other server's transaction: %v, after %d tries", err, tries)
	}
	out := <-done
	if out.Release[0].Err != nil || out.Acquire[0].Err != nil || out.Acquire[0].Granted.Lease == nil {
		t.Errorf("%+v", out)
	}
	for _, name := range []string{"over", "seats"} {
		if counter, charged, _ := a.held(t, name); counter != charged {
			t.Errorf("%s: %d held, %d charged", name, counter, charged)
		}
	}
}

// TestTheLastUnitIsNotGrantedTwice takes the last units of a pool on one server while an acquire on
// the other has begun.
func TestTheLastUnitIsNotGrantedTwice(t *testing.T) {
	a, b, raw := twoServers(t)
	a.acquire(t, ask("seats", 1)) // creates the pool's row
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var code string
	answered := make(chan error, 1)
	var acquire sync.Once
	err := a.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		pools, _, err := tx.LockPools(ctx, []store.PoolKey{{Env: testEnv, License: a.p.License, Name: "seats"}}, nil, true)
		if err != nil {
			return err
		}
		acquire.Do(func() {
			waits, stop := context.WithCancel(ctx)
			go func() {
				defer stop() // an answer without waiting came too early
				g, err := b.Acquire(ctx, b.p, ask("seats", 2))
				code = g.Decision.Code
				answered <- err
			}()
			if err = somebodyWaits(waits, raw); errors.Is(err, context.Canceled) {
				err = errors.New("an acquire was answered while another server decided about its pool")
			}
		})
		if err != nil {
			return err
		}
		pools[0].Held, pools[0].Leases = 5, 5
		return tx.PutPools(ctx, []*store.Pool{&pools[0]})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil || code != license.CodePoolFull {
		t.Errorf("a pool that another server has filled: %s, %v", code, err)
	}
}

// TestAPeriodThatAnotherServerBeganIsCountedOn begins a period on one server and spends its quota,
// while the first event on the other has begun.
func TestAPeriodThatAnotherServerBeganIsCountedOn(t *testing.T) {
	a, b, raw := twoServers(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var status licensing.UsageStatus
	answered := make(chan error, 1)
	var record sync.Once
	k := store.LicenseRef{Env: testEnv, ID: a.p.License}
	err := a.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		terms, err := a.Terms(ctx, tx, []store.LicenseRef{k})
		if err != nil {
			return err
		}
		w, _ := terms[k].Window("calls", licensing.Window{}, tx.Now())
		total := store.UsageTotal{MeterKey: store.MeterKey{Env: k.Env, License: k.ID, Meter: "calls"}, Window: w}
		if made, err := tx.OpenTotal(ctx, total); err != nil || !made {
			return errors.Join(err, errors.New("the period has begun"))
		}
		record.Do(func() {
			go func() {
				r, err := b.Usage(ctx, b.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: "event", Meter: "calls", Quantity: "1"}}})
				if err == nil {
					status = r.Results[0].Status
				}
				answered <- err
			}()
			err = somebodyWaits(ctx, raw)
		})
		if err != nil {
			return err
		}
		total.Used, total.Events = 5, 5
		return tx.PutTotals(ctx, []*store.UsageTotal{&total})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil || status != licensing.DeniedUsage {
		t.Errorf("a quota that another server has spent: %s, %v", status, err)
	}
}

// twoServers returns two servers on one PostgreSQL database, and a separate connection.
func twoServers(t *testing.T) (a, b *testAuthority, raw *sql.DB) {
	t.Helper()
	url := storetest.PostgresURL(t)
	a = newTestAuthority(t, connect(t, url))
	b = a.beside(t, connect(t, url))
	raw, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return a, b, raw
}

// somebodyWaits returns when a transaction is waiting for another.
func somebodyWaits(ctx context.Context, raw *sql.DB) error {
	for {
		var waiting int
		err := raw.QueryRowContext(ctx, "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		if err != nil || waiting > 0 {
			return err
		}
	}
}

// TestWhatIsTakenAwayIsNotGrantedMeanwhile lowers a capacity to the units in use on one server,
// while an acquire on the other has begun and waits.
func TestWhatIsTakenAwayIsNotGrantedMeanwhile(t *testing.T) {
	a, b, raw := twoServers(t)
	for n := range 2 {
		b.acquire(t, ask("seats", n))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	type outcome struct {
		granting.Granted
		err error
	}
	granted := make(chan outcome, 1)
	var begin sync.Once
	err := a.ledger.Update(ctx, testEnv, "test", func(tx *ledger.Tx) error {
		l, _, err := tx.LockLicense(ctx, testEnv, a.p.License)
		if err != nil {
			return err
		}
		if _, err := tx.LockHeld(ctx, testEnv, a.p.License); err != nil {
			return err
		}
		begin.Do(func() {
			go func() {
				g, err := b.Acquire(ctx, b.p, ask("seats", 2))
				granted <- outcome{g, err}
			}()
			err = somebodyWaits(ctx, raw)
		})
		if err != nil {
			return err
		}
		l, data, err := catalog.ChangeLicense(ctx, tx, owner(), l, v1.ChangeRequest{
			Change: licensing.Change{When: licensing.ChangeNow}, Capacity: map[string]int64{"seats": 2}, Reason: "fewer"})
		if err != nil {
			return err
		}
		_, err = catalog.StoreLicense(ctx, tx, l, licensing.LicenseChanged, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if g := <-granted; g.err != nil || g.Lease != nil || g.Decision.Capacity != 2 {
		t.Errorf("both of 2 units are in use, but a third request got %+v, %v", g.Decision, g.err)
	}
	if counter, _, live := a.held(t, "seats"); counter != 2 || live != 2 {
		t.Errorf("capacity is 2 and %d are held by %d", counter, live)
	}
}

// TestAnOfferReachesAWaiterAtAnotherServer frees a unit on one server while a request waits on the
// other.
func TestAnOfferReachesAWaiterAtAnotherServer(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		held := a.acquire(t, ask("queue", 0))
		granted := make(chan granting.Granted, 1)
		go func() {
			q := ask("queue", 1)
			q.Wait = 300
			g, err := b.Acquire(t.Context(), b.p, q)
			if err != nil {
				t.Error(err)
			}
			granted <- g
		}()
		b.awaitWaiters(t, 1)
		if _, err := a.Release(t.Context(), a.p, granting.ReleaseRequest{Lease: held.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if err := b.AskWaiters(t.Context()); err != nil {
			t.Fatal(err)
		}
		if g := <-granted; g.Lease == nil || g.Lease.Holder != "holder-1" {
			t.Errorf("%+v, want the lease", g.Decision)
		}
	})
}

// TestAWaiterAtAnotherServerKeepsItsPlace passes the time after which a place is lost unless it is
// kept.
func TestAWaiterAtAnotherServerKeepsItsPlace(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		held := a.acquire(t, ask("queue", 0))
		granted := make(chan granting.Granted, 1)
		go func() {
			q := ask("queue", 1)
			q.Wait = 300
			g, err := b.Acquire(t.Context(), b.p, q)
			if err != nil {
				t.Error(err)
			}
			granted <- g
		}()
		b.awaitWaiters(t, 1)
		for range 3 {
			a.clock.pass(licensing.TicketLasts - time.Second)
			if err := b.KeepWaiters(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := a.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.Release(t.Context(), a.p, granting.ReleaseRequest{Lease: held.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if err := b.AskWaiters(t.Context()); err != nil {
			t.Fatal(err)
		}
		if g := <-granted; g.Lease == nil {
			t.Errorf("%+v, want the lease", g.Decision)
		}
	})
}

// TestAServerFollowsWhatAnotherChanges changes a license on one server while the other has its
// terms in memory.
func TestAServerFollowsWhatAnotherChanges(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		b.acquire(t, ask("seats", 1))
		if _, err := b.Validate(t.Context(), b.p, documents.ValidateRequest{Product: "lathe"}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.SuspendLicense(t.Context(), owner(), a.p.License, "unpaid"); err != nil {
			t.Fatal(err)
		}
		if g := b.acquire(t, ask("seats", 2)); g.Lease != nil || g.Decision.Code != license.CodeSuspended {
			t.Errorf("acquiring at once: %+v, want suspended", g.Decision)
		}
		b.clock.pass(documents.BelievedFor)
		if v, err := b.Validate(t.Context(), b.p, documents.ValidateRequest{Product: "lathe"}); err != nil || v.Decision.Code != license.CodeSuspended {
			t.Errorf("validating: %+v, %v, want suspended", v.Decision, err)
		}
	})
}

// TestRequestsClashOnTwoServers sends the same request to both servers at once, like a program
// whose first server was slow.
func TestRequestsClashOnTwoServers(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		desks := []*testAuthority{a, b}
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
				r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: ledger.NewID("event", a.clock.Now().Truncate(time.Second)), Meter: "big", Quantity: "1"}, {ID: "same-" + ask("", round).RequestID, Meter: "big", Quantity: "1"}}})
				if err != nil {
					t.Errorf("recording: %v", err)
					return
				}
				recorded.Add(granting.Btoi(r.Results[1].Status == licensing.RecordedUsage))
			})
			if leases[0] != leases[1] || recorded.Load() != 1 {
				t.Fatalf("round %d: leases %v, recorded %d times", round, leases, recorded.Load())
			}
		}
	})
}

// awaitWaiters returns when n requests wait here, each with a place.
func (d *testAuthority) awaitWaiters(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for d.Waiting() < n {
		if err := d.ledger.DB.View(ctx, func(*store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}
