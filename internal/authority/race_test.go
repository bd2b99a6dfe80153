package authority

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// raceRounds is how often each race runs. make torture runs it longer.
func raceRounds() int {
	if os.Getenv("COPYHOLD_TORTURE") != "" {
		return 1000
	}
	return 3
}

func TestRaceForTheLastUnits(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) { race(t, raceRounds(), d, d) })
}

func TestRaceForTheLastUnitsOnTwoServers(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) { race(t, raceRounds(), a, b) })
}

// servers runs fn with two servers on one database. On PostgreSQL each has its own connections. On
// SQLite both share one process.
func servers(t *testing.T, fn func(t *testing.T, a, b *testAuthority)) {
	t.Run("sqlite", func(t *testing.T) {
		a := newTestAuthority(t, storetest.SQLite(t))
		fn(t, a, a.beside(t, a.ledger.DB))
	})
	t.Run("postgres", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		a := newTestAuthority(t, connect(t, url))
		fn(t, a, a.beside(t, connect(t, url)))
	})
}

// connect opens a PostgreSQL database until the test ends.
func connect(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// beside starts another server with the same keys, clock and license.
func (d *testAuthority) beside(t *testing.T, db *store.DB) *testAuthority {
	t.Helper()
	if db != d.ledger.DB {
		db.Now = d.clock.Now
	}
	other := &testAuthority{clock: d.clock, p: d.p}
	other.Authority = New(ledger.Config{DB: db, Ring: signing.NewRing(d.ledger.Ring.Sealing()), Now: d.clock.Now, Machine: d.clock.machine()})
	t.Cleanup(other.Close)
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return other
}

// race lets 64 clients, half of them on each server, request 5 units of every kind at once: seats,
// machines, users and a quota.
func race(t *testing.T, rounds int, a, b *testAuthority) {
	rev, err := licensing.NewRevision(testPlan())
	if err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		a.p = a.issue(t, rev) // none of it was ever used
		b.p = a.p
		raceUsage(t, round, a, b)
		for _, pool := range []string{"seats", "machines", "users"} {
			racePool(t, round, pool, a, b)
		}
		a.clock.pass(time.Second)
	}
}

func racePool(t *testing.T, round int, pool string, desks ...*testAuthority) {
	t.Helper()
	var granted, denied atomic.Int64
	parallel(64, func(n int) {
		q := ask(pool, n)
		if pool == "machines" {
			q = machine(n)
		}
		d := desks[n%len(desks)]
		g, err := d.Acquire(t.Context(), d.p, q)
		switch {
		case err != nil:
			t.Errorf("acquiring: %v", err)
		case g.Lease != nil:
			granted.Add(1)
		case g.Decision.Code == license.CodePoolFull:
			denied.Add(1)
		}
	})
	if granted.Load() != 5 || denied.Load() != 59 {
		t.Fatalf("round %d: %d of 5 %s granted, %d of 59 denied", round, granted.Load(), pool, denied.Load())
	}
	if counter, charged, live := desks[0].held(t, pool); counter != 5 || charged != 5 || live != 5 {
		t.Fatalf("round %d: %s: counter %d, charged %d, live %d; want 5 each", round, pool, counter, charged, live)
	}
}

// raceUsage sends each event twice, once to each server.
func raceUsage(t *testing.T, round int, desks ...*testAuthority) {
	t.Helper()
	var recorded atomic.Int64
	parallel(64, func(n int) {
		d := desks[n%len(desks)]
		r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: fmt.Sprint("event-", n/2), Meter: "calls", Quantity: "1"}}})
		if err != nil {
			t.Errorf("recording: %v", err)
			return
		}
		recorded.Add(granting.Btoi(r.Results[0].Status == licensing.RecordedUsage))
	})
	c, err := desks[0].Check(t.Context(), desks[0].p, granting.CheckRequest{Meter: "calls"})
	if err != nil || recorded.Load() != 5 || c.Decision.Held != 5 {
		t.Fatalf("round %d: %d calls recorded of a quota of 5, %d counted, %v", round, recorded.Load(), c.Decision.Held, err)
	}
}
