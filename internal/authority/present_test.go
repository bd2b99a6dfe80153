package authority

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// backup returns a backup of the current database.
func (d *testAuthority) backup(t *testing.T) []byte {
	t.Helper()
	var archive bytes.Buffer
	if _, err := d.Backup(t.Context(), access.System(testEnv, "test"), &archive); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// rolledBack starts a server on a database of the same engine, restored from the archive. dir is
// the data folder.
func (d *testAuthority) rolledBack(t *testing.T, archive []byte, dir string) *testAuthority {
	t.Helper()
	db := storetest.SQLite
	if d.ledger.DB.Shared() {
		db = storetest.Postgres
	}
	to := db(t)
	to.Now = d.clock.Now
	c := ledger.Config{DB: to, Ring: signing.NewRing(d.ledger.Ring.Sealing()), Dir: dir, Now: d.clock.Now, Machine: d.clock.machine()}
	if _, err := recovery.Restore(t.Context(), c, bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	c.Ring = signing.NewRing(d.ledger.Ring.Sealing())
	other := &testAuthority{Authority: New(c), clock: d.clock, p: d.p}
	t.Cleanup(other.Close)
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.clock.pass(time.Second)
	return other
}

// keep renews a grant. With show, it presents the document.
func (d *testAuthority) keep(t *testing.T, g granting.Granted, nonce string, show bool) (granting.Granted, error) {
	t.Helper()
	r := granting.RenewalRequest{Lease: g.Lease.ID, Generation: g.Lease.Generation, Nonce: nonce}
	if show {
		r.Document = g.Document
	}
	return d.Renew(t.Context(), d.p, r)
}

// kept is keep, but must succeed.
func (d *testAuthority) kept(t *testing.T, g granting.Granted, nonce string) granting.Granted {
	t.Helper()
	again, err := d.keep(t, g, nonce, true)
	if err != nil || again.Lease == nil || again.Lease.ID != g.Lease.ID || again.Lease.Generation != g.Lease.Generation+1 {
		t.Fatalf("kept as %+v: %+v, %v", again.Lease, again.Decision, err)
	}
	return again
}

func (d *testAuthority) wantError(t *testing.T, code licensing.Code, err error) {
	t.Helper()
	if licensing.CodeOf(err) != code {
		t.Errorf("%v, want %s", err, code)
	}
}

// TestHoldersTakeTheirLeasesBack restores a backup that is older than leases and renewals. Their
// holders continue, and new holders get nothing before the fence ends.
func TestHoldersTakeTheirLeasesBack(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		known, machineAt := before.acquire(t, ask("seats", 1)), machine(1)
		archive := before.backup(t)
		known = before.kept(t, known, "nonce-0001")
		known = before.kept(t, known, "nonce-0002")
		fresh := before.acquire(t, ask("seats", 2))
		released := before.acquire(t, ask("seats", 3))
		activated := before.acquire(t, machineAt)
		d := before.rolledBack(t, archive, t.TempDir())

		for _, g := range []granting.Granted{known, fresh, activated} {
			_, err := d.keep(t, g, "nonce-0003", false)
			d.wantError(t, licensing.NotFound, err)
		}
		anew := ask("seats", 1)
		anew.RequestID = "request-anew"
		_, err := d.Acquire(t.Context(), d.p, anew)
		d.wantError(t, licensing.Unavailable, err) // the record cannot exclude that it was released
		_, err = d.Acquire(t.Context(), d.p, ask("seats", 4))
		d.wantError(t, licensing.Unavailable, err)

		again := d.kept(t, fresh, "nonce-0004")
		known = d.kept(t, known, "nonce-0005")
		if l := d.acquire(t, anew).Lease; l == nil || l.ID != known.Lease.ID { // it is now certainly in use
			t.Errorf("a holder that has renewed asks again: %+v", l)
		} else {
			known.Lease.Generation, known.Document = l.Generation, ""
		}
		activated = d.kept(t, activated, "nonce-0006")
		if same, err := d.keep(t, fresh, "nonce-0004", true); err != nil || same.Lease.Generation != again.Lease.Generation {
			t.Errorf("its answer was lost: %+v, %v", same.Decision, err)
		}
		if copied, err := d.keep(t, fresh, "nonce-of-a-copy", true); err != nil || copied.Decision.Code != license.CodeClone {
			t.Errorf("a copy of the cache presents the same document: %+v, %v", copied.Decision, err)
		}
		if counter, charged, live := d.held(t, "seats"); counter != 2 || charged != 2 || live != 2 {
			t.Errorf("%d held, %d charged by %d leases", counter, charged, live)
		}
		if l := d.acquire(t, machineAt).Lease; l.ID != activated.Lease.ID {
			t.Errorf("the machine is not recognized by its components: %s", l.ID)
		}

		gone := granting.ReleaseRequest{Lease: released.Lease.ID, Generation: released.Lease.Generation}
		_, err = d.Release(t.Context(), d.p, gone)
		d.wantError(t, licensing.NotFound, err)
		gone.Document = released.Document
		for range 2 {
			if freed, err := d.Release(t.Context(), d.p, gone); err != nil || freed.FreeAt.After(d.clock.Now()) {
				t.Errorf("released with its document: %+v, %v", freed, err)
			}
		}
		_, err = d.keep(t, released, "nonce-0007", true)
		d.wantError(t, licensing.Gone, err)

		var events []entry.Presented
		if d.logged(t, licensing.LeasePresented, &events); len(events) != 4 || events[0].Document == "" || events[0].Epoch != 1 || events[0].Beyond {
			t.Errorf("%+v", events)
		}
		for _, m := range reconciled(t, d).Mismatches {
			if m.Row != string(d.p.License) { // the test's license has no entry that issues it
				t.Errorf("the restored rows differ from the log: %+v", m)
			}
		}
		for d.clock.pass(0); d.clock.Now().Before(d.ledger.FencedSince(testEnv).Add(26 * time.Hour)); d.clock.pass(time.Hour) {
			known = d.kept(t, known, "nonce-of-"+fmt.Sprint(known.Lease.Generation))
		}
		if g := d.acquire(t, ask("seats", 5)); g.Lease == nil {
			t.Errorf("after the fence: %+v", g.Decision)
		}
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = d.keep(t, fresh, "nonce-0008", true)
		d.wantError(t, licensing.Gone, err)
	})
}

// TestOnlyTheDocumentOfTheLeaseIsBelieved presents documents of another license, lease and server,
// and one without a fence.
func TestOnlyTheDocumentOfTheLeaseIsBelieved(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		archive := before.backup(t)
		one, two := before.acquire(t, ask("seats", 1)), before.acquire(t, ask("seats", 2))
		d := before.rolledBack(t, archive, t.TempDir())
		for name, r := range map[string]granting.RenewalRequest{
			"another lease's":      {Lease: one.Lease.ID, Generation: 1, Document: two.Document},
			"another generation's": {Lease: one.Lease.ID, Generation: 2, Document: one.Document},
			"a changed one":        {Lease: one.Lease.ID, Generation: 1, Document: one.Document[:len(one.Document)-4] + "AAAA"},
			"none":                 {Lease: one.Lease.ID, Generation: 1, Document: "document"},
		} {
			if _, err := d.Renew(t.Context(), d.p, r); licensing.CodeOf(err) != licensing.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		other := d.p
		other.License = "lic_other"
		_, err := d.Renew(t.Context(), other, granting.RenewalRequest{Lease: one.Lease.ID, Generation: 1, Document: one.Document})
		d.wantError(t, licensing.Invalid, err)
		if _, err := before.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: one.Lease.ID, Generation: 1, Document: "document"}); err != nil {
			t.Errorf("without a fence the document is ignored: %v", err)
		}
	})
}

// TestWhatFindsNoRoomIsKeptToItsEnd restores a record with a lease that has since been released,
// and whose unit went to another holder. Both are now in the pool. The second is not extended
// before the first has ended.
func TestWhatFindsNoRoomIsKeptToItsEnd(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		first := before.acquire(t, ask("queue", 1))
		archive := before.backup(t)
		before.clock.pass(10 * time.Minute)
		if _, err := before.Release(t.Context(), before.p, granting.ReleaseRequest{Lease: first.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		second := before.acquire(t, ask("queue", 2))
		d := before.rolledBack(t, archive, t.TempDir())
		ends := second.Lease.Expires
		d.clock.pass(time.Minute)
		second = d.kept(t, second, "nonce-0001")
		if counter, _, live := d.held(t, "queue"); counter != 2 || live != 2 || !second.Lease.Expires.Equal(ends) || second.Decision.NextAt != ends.Unix() {
			t.Errorf("%d held by %d leases; the one put back ends at %v, and ended at %v: %+v", counter, live, second.Lease.Expires, ends, second.Decision)
		}
		d.clock.pass(4 * time.Minute)
		if second = d.kept(t, second, "nonce-0002"); !second.Lease.Expires.Equal(ends) {
			t.Errorf("extended to %v while 2 of 1 units are in use", second.Lease.Expires)
		}
		d.clock.pass(first.Lease.Expires.Add(d.ledger.Skew).Sub(d.clock.Now()))
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if second = d.kept(t, second, "nonce-0003"); !second.Lease.Expires.After(ends) {
			t.Errorf("not extended once there is room: %v", second.Lease.Expires)
		}
		for n, again := 0, first; n < 2; n++ { // a holder that released may still present the old document
			_, err := d.keep(t, again, "nonce-0004", true)
			d.wantError(t, licensing.Gone, err)
		}
	})
}

// TestNobodySharesWhatMayBeOver checks that another instance of a holder shares a unit only after
// the unit is known to be in use.
func TestNobodySharesWhatMayBeOver(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		g := before.acquire(t, ask("shared", 1))
		d := before.rolledBack(t, before.backup(t), t.TempDir())
		other := ask("shared", 2)
		other.Holder = ask("shared", 1).Holder
		_, err := d.Acquire(t.Context(), d.p, other)
		d.wantError(t, licensing.Unavailable, err)
		d.kept(t, g, "nonce-0001")
		if shared := d.acquire(t, other); shared.Lease == nil || shared.Lease.Charge != 0 {
			t.Errorf("after a renewal: %+v", shared.Decision)
		}
	})
}

// TestSharedUnitsEndWithTheirPromise checks that instances share units that were put back into a
// full pool no longer than those units were promised.
func TestSharedUnitsEndWithTheirPromise(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		first, second := before.acquire(t, ask("shared", 1)), before.acquire(t, ask("shared", 2))
		archive := before.backup(t)
		for _, g := range []granting.Granted{first, second} {
			if _, err := before.Release(t.Context(), before.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
				t.Fatal(err)
			}
		}
		before.clock.pass(10 * time.Minute)
		third := before.acquire(t, ask("shared", 3))
		d := before.rolledBack(t, archive, t.TempDir())
		third = d.kept(t, third, "nonce-0001")
		d.clock.pass(time.Minute)
		other := ask("shared", 4)
		other.Holder = ask("shared", 3).Holder
		shared := d.acquire(t, other)
		if l := shared.Lease; l == nil || l.Charge != 0 || !l.Expires.Equal(third.Lease.Expires) || shared.Decision.NextAt != third.Lease.Expires.Unix() {
			t.Fatalf("shares what ends at %v: %+v, %+v", third.Lease.Expires, l, shared.Decision)
		}
		d.clock.pass(first.Lease.Expires.Add(d.ledger.Skew).Sub(d.clock.Now()))
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if again := d.kept(t, shared, "nonce-0002"); !again.Lease.Expires.After(third.Lease.Expires) {
			t.Errorf("not extended once there is room: %v", again.Lease.Expires)
		}
	})
}

// TestALaterDocumentOfALowerGeneration checks a holder that lost its cache between two rollbacks.
// It has made fewer renewals than the record shows, but is not a copy.
func TestALaterDocumentOfALowerGeneration(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		g, dir := before.acquire(t, ask("seats", 1)), t.TempDir()
		first := before.backup(t)
		g = before.kept(t, before.kept(t, g, "nonce-0001"), "nonce-0002")
		second := before.backup(t)
		d := before.rolledBack(t, first, dir)
		d.clock.pass(d.ledger.FenceIn(testEnv).End("studio", "seats", d.ledger.Skew).Sub(d.clock.Now()))
		anew := ask("seats", 1)
		anew.RequestID = "request-anew"
		again := d.acquire(t, anew)
		if again.Lease == nil || again.Lease.ID != g.Lease.ID || again.Lease.Generation >= g.Lease.Generation {
			t.Fatalf("asked again behind %+v: %+v", g.Lease, again.Lease)
		}
		d = d.rolledBack(t, second, dir)
		_, err := d.keep(t, again, "nonce-0003", false)
		d.wantError(t, licensing.NotFound, err)
		shown := again
		again = d.kept(t, shown, "nonce-0003")
		if copied, err := d.keep(t, shown, "nonce-of-a-copy", true); err != nil || copied.Decision.Code != license.CodeClone {
			t.Errorf("a copy of the cache presents the same document: %+v, %v", copied.Decision, err)
		}
		d.kept(t, again, "nonce-0004")
	})
}

// TestTheQueueWaitsForTheFence checks that no place becomes an offer, and no offer becomes a lease.
func TestTheQueueWaitsForTheFence(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		g := before.acquire(t, ask("queue", 1))
		before.acquire(t, ask("queue", 2))
		before.acquire(t, ask("queue", 3))
		if _, err := before.Release(t.Context(), before.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		archive := before.backup(t)
		got := before.acquire(t, ask("queue", 2)) // claims its offer
		d := before.rolledBack(t, archive, t.TempDir())
		_, err := d.Acquire(t.Context(), d.p, ask("queue", 2))
		d.wantError(t, licensing.Unavailable, err)
		for range 3 {
			d.clock.pass(15 * time.Second)
			if q := d.acquire(t, ask("queue", 3)); q.Ticket == nil || !q.Ticket.Offered.IsZero() {
				t.Fatalf("the next in the queue: %+v", q)
			}
		}
		got = d.kept(t, got, "nonce-0001")
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: got.Lease.ID, Generation: got.Lease.Generation}); err != nil {
			t.Fatal(err)
		}
		for until := d.ledger.FencedSince(testEnv).Add(17*time.Minute + d.ledger.Skew); d.clock.Now().Before(until); d.clock.pass(20 * time.Second) {
			if q := d.acquire(t, ask("queue", 3)); q.Ticket == nil && d.clock.Now().Before(until.Add(-time.Minute)) {
				t.Fatalf("granted behind the fence: %+v", q)
			}
		}
		if q := d.acquire(t, ask("queue", 3)); q.Lease == nil {
			t.Errorf("after the fence: %+v", q)
		}
	})
}

// A tenant is an honest holder. It uses its unit while its document permits, and renews until it
// releases.
type tenant struct {
	ask   granting.AcquireRequest
	has   granting.Granted
	until time.Time
	round int
}

func (h *tenant) holds(now time.Time) bool { return h.has.Lease != nil && now.Before(h.until) }

func (h *tenant) take(g granting.Granted) {
	if h.has = g; g.Lease != nil {
		h.until = g.Lease.Expires
	}
}

// TestNoRollbackOversells rolls the database back to random moments while honest holders arrive,
// renew, lose answers and leave. The units in use never exceed the pool, and a holder that presents
// a valid document keeps its lease. In the harsher variant, holders also lose their caches, and
// leases are ended by force.
func TestNoRollbackOversells(t *testing.T) {
	type course struct {
		seed  uint64
		rough bool
		both  bool // engines; creating a PostgreSQL database takes time
	}
	streets := []course{{seed: 6065045318560907124, both: true}, {seed: 7071161191288067111}, {seed: 12921248426372511606}, {seed: 1, rough: true, both: true}, {seed: 2, rough: true}}
	if os.Getenv("COPYHOLD_TORTURE") != "" {
		for range 50 {
			streets = append(streets, course{rand.Uint64(), true, true})
		}
	}
	for _, pool := range []string{"queue", "over", "shared", "users"} {
		t.Run(pool, func(t *testing.T) {
			for _, st := range streets {
				t.Run(fmt.Sprintf("seed=%d,rough=%t", st.seed, st.rough), func(t *testing.T) {
					run := each
					if !st.both {
						run = func(t *testing.T, fn func(*testing.T, *testAuthority)) {
							fn(t, newTestAuthority(t, storetest.SQLite(t)))
						}
					}
					run(t, func(t *testing.T, d *testAuthority) {
						(&tenantModel{testAuthority: d, t: t, forced: map[licensing.LeaseID]bool{}, pool: pool, rough: st.rough, dir: t.TempDir(), random: rand.New(rand.NewPCG(st.seed, 1))}).run()
					})
				})
			}
		})
	}
}

// A tenantModel is the tenants of one pool.
type tenantModel struct {
	*testAuthority
	t        *testing.T
	pool     string
	rough    bool
	dir      string
	random   *rand.Rand
	archives [][]byte
	tenants  []*tenant
	forced   map[licensing.LeaseID]bool // leases that were ended by force; a rollback may undo that, and another may redo it
}

func (s *tenantModel) run() {
	rule := testPlan().Pools[s.pool]
	for n := range 2*int(rule.Limit()) + 1 {
		q := ask(s.pool, n)
		if s.pool == "shared" {
			q.Holder.ID = fmt.Sprint("holder-", n/2)
		}
		s.tenants = append(s.tenants, &tenant{ask: q})
	}
	s.archives = append(s.archives, s.backup(s.t))
	rollbacks := 4
	if s.ledger.DB.Shared() {
		rollbacks = 1 // creating a database takes time
	}
	for range rollbacks {
		for range 40 {
			s.step()
		}
		archive := s.archives[s.random.IntN(len(s.archives))]
		s.testAuthority = s.rolledBack(s.t, archive, s.dir)
		s.settle()
		s.archives = append(s.archives, s.backup(s.t))
	}
	s.clock.pass(s.ledger.FenceIn(testEnv).End("studio", s.pool, s.ledger.Skew).Sub(s.clock.Now()))
	if err := s.Sweep(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.check()
	if counter, _, _ := s.held(s.t, s.pool); counter > rule.Limit() {
		s.t.Errorf("%d of %d in use after the fence has ended", counter, rule.Limit())
	}
	for _, m := range reconciled(s.t, s.testAuthority).Mismatches {
		if m.Row != string(s.p.License) { // the test's license has no entry that issues it
			s.t.Errorf("the rows and the log: %+v", m)
		}
	}
}

// settle lets every tenant renew after a rollback, in random order.
func (s *tenantModel) settle() {
	for _, n := range s.random.Perm(len(s.tenants)) {
		if h := s.tenants[n]; h.holds(s.clock.Now()) && s.random.IntN(4) > 0 {
			s.renew(h)
			s.check()
		}
	}
}

func (s *tenantModel) step() {
	h := s.tenants[s.random.IntN(len(s.tenants))]
	if s.rough {
		switch s.random.IntN(25) {
		case 0:
			h.has = granting.Granted{} // the program fails and loses its cache
		case 1:
			s.force(h)
		case 2:
			if err := s.Sweep(s.t.Context()); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	switch k := s.random.IntN(20); {
	case k == 0:
		s.archives = append(s.archives, s.backup(s.t))
	case k < 4:
		s.clock.pass(time.Duration(s.random.Int64N(int64(4 * time.Minute))))
	case h.holds(s.clock.Now()) && k < 10:
		s.release(h)
	case h.holds(s.clock.Now()):
		s.renew(h)
	default:
		s.enter(h)
	}
	s.check()
}

func (s *tenantModel) enter(h *tenant) {
	h.round++
	q := h.ask
	q.RequestID = fmt.Sprint(q.RequestID, "-", h.round, "-", s.random.Uint64())
	g, err := s.Acquire(s.t.Context(), s.p, q)
	switch {
	case licensing.CodeOf(err) == licensing.Unavailable:
	case err != nil:
		s.t.Fatalf("%s enters: %v", q.Holder.ID, err)
	case g.Ticket != nil:
		if _, err := s.Withdraw(s.t.Context(), s.p, g.Ticket.ID); err != nil {
			s.t.Fatal(err)
		}
	default:
		h.take(g)
	}
}

func (s *tenantModel) renew(h *tenant) {
	h.round++
	nonce := fmt.Sprintf("nonce-%06d-%d", h.round, s.random.Uint64())
	tries := 1
	if s.random.IntN(5) == 0 {
		tries = 2 // the first answer is lost
	}
	for range tries {
		g, err := s.keep(s.t, h.has, nonce, false)
		if c := licensing.CodeOf(err); err != nil && (c == licensing.NotFound || c == licensing.Gone) {
			g, err = s.keep(s.t, h.has, nonce, true)
		}
		if licensing.CodeOf(err) == licensing.Gone && s.forced[h.has.Lease.ID] {
			return
		}
		if err != nil || g.Decision.Outcome != license.Allowed {
			s.t.Fatalf("%s presents a document valid until %v at %v, and gets %+v, %v", h.ask.Holder.ID, h.until, s.clock.Now(), g.Decision, err)
		}
		if tries--; tries == 0 {
			h.take(g)
		}
	}
}

func (s *tenantModel) release(h *tenant) {
	r := granting.ReleaseRequest{Lease: h.has.Lease.ID, Generation: h.has.Lease.Generation, Document: h.has.Document}
	if _, err := s.Release(s.t.Context(), s.p, r); err != nil {
		s.t.Fatalf("%s releases: %v", h.ask.Holder.ID, err)
	}
	h.has = granting.Granted{}
}

// force ends the lease of a tenant if the record has it. The tenant continues while its document
// permits.
func (s *tenantModel) force(h *tenant) {
	if !h.holds(s.clock.Now()) {
		return
	}
	admin := access.System(testEnv, "test")
	admin.License = s.p.License
	_, err := s.Release(s.t.Context(), admin, granting.ReleaseRequest{Lease: h.has.Lease.ID, Force: true})
	if err != nil && licensing.CodeOf(err) != licensing.NotFound {
		s.t.Fatal(err)
	}
	if err == nil {
		s.forced[h.has.Lease.ID] = true
	}
}

// check compares the units in use with the pool's capacity.
func (s *tenantModel) check() {
	s.t.Helper()
	used, sharing := int64(0), map[string]bool{}
	for _, h := range s.tenants {
		if !h.holds(s.clock.Now()) || sharing[h.ask.Holder.ID] {
			continue
		}
		used++
		sharing[h.ask.Holder.ID] = s.pool == "shared"
	}
	if limit := testPlan().Pools[s.pool].Limit(); used > limit {
		s.t.Fatalf("%d units of %d are in use", used, limit)
	}
	if counter, charged, _ := s.held(s.t, s.pool); counter != charged {
		s.t.Fatalf("%d held, %d charged", counter, charged)
	}
}
