package authority

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// A testAuthority is an authority with one license and a clock that the test sets.
type testAuthority struct {
	*Authority
	p     access.Principal
	clock *testClock
}

// patience is how long a test waits for an expected event, because the machine may be busy.
const patience = 5 * time.Minute

// A testClock is wall clock and boot clock in one. It does not advance automatically.
type testClock struct{ at atomic.Int64 }

func newTestClock() *testClock {
	c := &testClock{}
	// Allow for the time that opening the database took from the real clock.
	c.at.Store(time.Now().Truncate(time.Second).Add(time.Minute).UnixMicro())
	return c
}

func (c *testClock) Now() time.Time       { return time.UnixMicro(c.at.Load()).UTC() }
func (c *testClock) pass(d time.Duration) { c.at.Add(d.Microseconds()) }
func (c *testClock) boot() time.Duration  { return time.Duration(c.at.Load()) * time.Microsecond }

// machine returns a machine that never boots and that nothing synchronizes.
func (c *testClock) machine() ledger.Machine {
	return ledger.Machine{Boot: "test", Up: c.boot, Synchronized: func() bool { return false }}
}

// testPlan returns a plan with a pool and a meter of every kind.
func testPlan() licensing.Plan {
	return licensing.Plan{
		Product: "lathe", Name: "studio", Term: licensing.TermRule{Perpetual: true, Start: licensing.StartIssue, Renewal: licensing.RenewAnchored},
		Documents: licensing.DefaultDocuments(),
		Pools: map[string]licensing.Pool{
			"seats":    {Holder: "user", Capacity: 5, Lease: 900, Grace: 3600, Borrow: 86400, Full: licensing.FullDeny, Share: licensing.ShareNone},
			"shared":   {Holder: "user", Capacity: 2, Lease: 900, Grace: 60, Full: licensing.FullDeny, Share: licensing.ShareHolder},
			"queue":    {Holder: "user", Capacity: 1, Lease: 900, Grace: 60, Full: licensing.FullQueue, Share: licensing.ShareNone},
			"over":     {Holder: "user", Capacity: 2, Lease: 900, Grace: 60, Full: licensing.FullOverdraft, Share: licensing.ShareNone, Overdraft: licensing.Overdraft{Units: 1, For: 7200}},
			"soft":     {Holder: "user", Capacity: 1, Lease: 900, Grace: 60, Full: licensing.FullFallback, Share: licensing.ShareNone},
			"machines": {Holder: "machine", Capacity: 5, Full: licensing.FullDeny, Share: licensing.ShareNone, Match: licensing.Match{Need: 2, Of: 3}},
			"users":    {Holder: "user", Capacity: 5, Full: licensing.FullDeny, Share: licensing.ShareNone},
			"big":      {Holder: "user", Capacity: 10_000_000, Lease: 900, Grace: 3600, Full: licensing.FullDeny, Share: licensing.ShareNone},
		},
		Meters: map[string]licensing.Meter{
			"big":   {Unit: "call", Quota: 1_000_000, Per: licensing.PerMonth, Anchor: licensing.AnchorCalendar, Full: licensing.FullDeny},
			"calls": {Unit: "call", Quota: 5, Per: licensing.PerMonth, Anchor: licensing.AnchorCalendar, Full: licensing.FullDeny, Soft: licensing.Limit{Percent: 80}},
		},
	}
}

// newTestAuthority puts one license of testPlan into the database.
func newTestAuthority(t testing.TB, db *store.DB) *testAuthority {
	t.Helper()
	d := &testAuthority{clock: newTestClock()}
	db.Now = d.clock.Now
	sealing, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	d.Authority = New(ledger.Config{DB: db, Ring: signing.NewRing(sealing), Now: d.clock.Now, Machine: d.clock.machine()})
	t.Cleanup(d.Close)
	frozen(t, d.Authority)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.PrepareKeys(t.Context(), testEnv); err != nil {
		t.Fatal(err)
	}
	d.p = d.license(t, testPlan())
	return d
}

// license issues a license of a new plan and returns its program.
func (d *testAuthority) license(t testing.TB, plan licensing.Plan) access.Principal {
	t.Helper()
	rev, err := licensing.NewRevision(plan)
	if err != nil {
		t.Fatal(err)
	}
	err = d.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
		if err := tx.InsertPlan(t.Context(), testEnv, store.Plan{Name: plan.Name, Product: plan.Product}); err != nil {
			return err
		}
		_, err := tx.InsertRevision(t.Context(), testEnv, store.Revision{Revision: rev})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d.issue(t, rev)
}

// issue issues a license of a revision. It starts immediately, unless the plan makes it start with
// its first use.
func (d *testAuthority) issue(t testing.TB, rev licensing.Revision) access.Principal {
	t.Helper()
	id := licensing.LicenseID(ledger.NewID(licensing.LicensePrefix, d.clock.Now()))
	err := d.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
		l := licensing.License{
			Env: testEnv, ID: id, Product: rev.Plan.Product, Customer: "cus_1", Plan: rev.Plan.Name, Revision: rev.ID, Status: licensing.Active,
			Issued: tx.Now(), Payment: licensing.Paid, Seq: license.Seq{Epoch: 1, Counter: 1},
		}
		if rev.Plan.Term.Start == licensing.StartIssue {
			l.Start = tx.Now()
		}
		_, err := tx.InsertLicense(t.Context(), l)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return access.Principal{Kind: access.KindLicense, Env: testEnv, License: id, Actor: "license:" + string(id)}
}

func ask(pool string, n int) granting.AcquireRequest {
	s := strconv.Itoa(n)
	return granting.AcquireRequest{RequestID: "req-" + pool + "-" + s, Pool: pool, Holder: request.Holder{Kind: "user", ID: "holder-" + s}, Instance: "instance-" + s, Nonce: "nonce-of-" + s}
}

// machine returns an acquire for a machine with its own components.
func machine(n int) granting.AcquireRequest {
	q := ask("machines", n)
	s := strconv.Itoa(n)
	q.Holder = request.Holder{Kind: "machine", ID: "machine-" + s, Components: map[string]string{"board": "b" + s, "disk": "d" + s, "cpu": "c" + s}}
	return q
}

func (d *testAuthority) acquire(t testing.TB, q granting.AcquireRequest) granting.Granted {
	t.Helper()
	g, err := d.Acquire(t.Context(), d.p, q)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// held returns the units according to the pool's counter and to its leases.
func (d *testAuthority) held(t testing.TB, pool string) (counter, charged, live int64) {
	t.Helper()
	err := d.ledger.DB.View(t.Context(), func(tx *store.Tx) error {
		row, err := tx.Pool(t.Context(), store.PoolKey{Env: testEnv, License: d.p.License, Name: pool})
		if err != nil {
			return err
		}
		counter = row.Held
		leases, err := tx.ListLeases(t.Context(), store.LeaseFilter{Env: testEnv, License: d.p.License, Pool: pool, Ended: true, Limit: 1_000_000})
		for _, l := range leases {
			charged += l.Charge * granting.Btoi(l.Live() || l.EndedBy == licensing.EndForced)
			live += granting.Btoi(l.Live())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counter, charged, live
}

func each(t *testing.T, fn func(t *testing.T, d *testAuthority)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) { fn(t, newTestAuthority(t, db)) })
}

// parallel runs fn n times concurrently.
func parallel(n int, fn func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { fn(i) })
	}
	all.Wait()
}
