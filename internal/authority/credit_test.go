package authority

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// A transaction's changes are credited to the request that made them. These tests attack with
// requests that match only half of a key.

// A pair is two licenses of one plan on one server.
type pair struct {
	*testAuthority
	a, b access.Principal
}

func eachPair(t *testing.T, fn func(t *testing.T, d pair)) {
	each(t, func(t *testing.T, d *testAuthority) { fn(t, pairOf(t, d)) })
}

func pairOf(t *testing.T, d *testAuthority) pair {
	t.Helper()
	rev, err := licensing.NewRevision(testPlan())
	if err != nil {
		t.Fatal(err)
	}
	return pair{d, d.p, d.issue(t, rev)}
}

// as returns the authority with the key of another license.
func (d pair) as(p access.Principal) *testAuthority { return &testAuthority{d.Authority, p, d.clock} }

// batch decides ops in one transaction, in the order of their classes.
func (d *testAuthority) batch(t *testing.T, ops ...*granting.Op) {
	t.Helper()
	slices.SortStableFunc(ops, func(a, b *granting.Op) int { return int(b.Kind.Class()) - int(a.Kind.Class()) })
	settle, err := d.Apply(ops)
	if err == nil && settle != nil {
		err = settle()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (d *testAuthority) releaseOp(p access.Principal, r granting.ReleaseRequest) *granting.Op {
	o := d.Op(p, granting.OpRelease, licensing.Caller{})
	o.Release = r
	return o
}

func (d *testAuthority) renewOp(p access.Principal, r granting.RenewalRequest) *granting.Op {
	o := d.Op(p, granting.OpRenew, licensing.Caller{})
	o.Renew = r
	return o
}

func (d *testAuthority) acquireOp(p access.Principal, q granting.AcquireRequest) *granting.Op {
	o := d.Op(p, granting.OpAcquire, licensing.Caller{})
	q.Units = max(q.Units, 1)
	o.Acquire = q
	return o
}

func (d *testAuthority) usageOp(p access.Principal, events ...granting.UsageEvent) *granting.Op {
	o := d.Op(p, granting.OpUsage, licensing.Caller{})
	o.Events = events
	return o
}

// refused fails unless o was refused with the given code.
func refused(t *testing.T, o *granting.Op, code licensing.Code) {
	t.Helper()
	if licensing.CodeOf(o.Answer.Err) != code || !o.Answer.FreeAt.IsZero() {
		t.Errorf("%v, free at %v; want it refused: %s", o.Answer.Err, o.Answer.FreeAt, code)
	}
}

// counts fails unless the pool counts the given units and live leases.
func (d *testAuthority) counts(t *testing.T, pool string, units int64) {
	t.Helper()
	if counter, charged, live := d.held(t, pool); counter != units || charged != units || live != units {
		t.Errorf("%s of %s: counter %d, charged %d, live %d; want %d each", pool, d.p.License, counter, charged, live, units)
	}
}

// TestAReleaseIsCreditedToItsOwnLicense sends releases in one transaction, in every order.
func TestAReleaseIsCreditedToItsOwnLicense(t *testing.T) {
	eachPair(t, func(t *testing.T, d pair) {
		a, b := d.as(d.a), d.as(d.b)
		for n := range 5 {
			a.acquire(t, ask("seats", n))
		}
		id := b.acquire(t, ask("seats", 1)).Lease.ID
		b.acquire(t, ask("seats", 2))
		foreign := d.releaseOp(d.a, granting.ReleaseRequest{Lease: id, Generation: 1})
		stale := d.releaseOp(d.b, granting.ReleaseRequest{Lease: id, Generation: 2})
		older := d.releaseOp(d.b, granting.ReleaseRequest{Lease: id})
		right := d.releaseOp(d.b, granting.ReleaseRequest{Lease: id, Generation: 1})
		twice := d.releaseOp(d.b, granting.ReleaseRequest{Lease: id, Generation: 1})
		desk := d.Op(access.System(testEnv, "desk"), granting.OpRelease, licensing.Caller{})
		desk.Release = granting.ReleaseRequest{Lease: id, Generation: 1, Force: true}
		d.batch(t, foreign, stale, older, desk, right, twice)
		refused(t, foreign, licensing.NotFound)
		refused(t, stale, licensing.Conflict)
		refused(t, older, licensing.Conflict)
		for _, o := range []*granting.Op{right, twice, desk} {
			if o.Answer.Err != nil || !o.Answer.FreeAt.Equal(d.clock.Now()) {
				t.Errorf("%v, free at %v", o.Answer.Err, o.Answer.FreeAt)
			}
		}
		if !right.Answer.Entered || twice.Answer.Entered || desk.Answer.Entered {
			t.Error("the entry is not that of the release which ended the lease")
		}
		a.counts(t, "seats", 5)
		b.counts(t, "seats", 1)
		if err := d.ledger.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended := d.entriesOf(t, licensing.LeaseEnded)
		if len(ended) != 1 || ended[0].License != string(d.b.License) || ended[0].Actor != d.b.Actor || ended[0].Subject != string(id) {
			t.Errorf("%+v", ended)
		}
	})
}

// creditRounds is how often the race of releases runs. make torture runs it longer.
func creditRounds() int {
	if os.Getenv("COPYHOLD_TORTURE") != "" {
		return 200
	}
	return 20
}

// TestNoForeignReleaseIsCredited sends 24 releases with another license's key or another
// generation, together with the right one, to two servers.
func TestNoForeignReleaseIsCredited(t *testing.T) {
	servers(t, func(t *testing.T, first, second *testAuthority) {
		d := pairOf(t, first)
		a, b := d.as(d.a), d.as(d.b)
		for n := range 5 {
			a.acquire(t, ask("seats", n))
		}
		b.acquire(t, ask("seats", 0))
		for round := range creditRounds() {
			q := ask("seats", 1)
			q.RequestID = fmt.Sprint("round-", round)
			id := b.acquire(t, q).Lease.ID
			var credited atomic.Int64
			parallel(25, func(n int) {
				p, r := d.a, granting.ReleaseRequest{Lease: id, Generation: 1}
				switch {
				case n == 12:
					p = d.b
				case n%3 == 1:
					p, r.Generation = d.b, int64(n)+1
				case n%3 == 2:
					r.Generation = int64(n)
				}
				server := []*testAuthority{first, second}[n%2]
				got, err := server.Release(t.Context(), p, r)
				switch right := n == 12; {
				case err == nil && !right:
					credited.Add(1)
				case right && (err != nil || !got.FreeAt.Equal(d.clock.Now())):
					t.Errorf("round %d: the right release: %+v, %v", round, got, err)
				case !right && licensing.CodeOf(err) != licensing.NotFound && licensing.CodeOf(err) != licensing.Conflict:
					t.Errorf("round %d: %v", round, err)
				}
			})
			if credited.Load() != 0 {
				t.Errorf("round %d: %d foreign releases were credited", round, credited.Load())
			}
			a.counts(t, "seats", 5)
			b.counts(t, "seats", 1)
			if t.Failed() {
				return
			}
		}
		if g := b.acquire(t, ask("seats", 3)); g.Lease == nil {
			t.Errorf("the released unit is not free: %+v", g.Decision)
		}
	})
}

// TestARenewalKeepsItsOwnLeaseOnly renews in one transaction with another license's renewal, a
// copy's renewal and an acquire of the same instance. Each request gets its own answer.
func TestARenewalKeepsItsOwnLeaseOnly(t *testing.T) {
	eachPair(t, func(t *testing.T, d pair) {
		a, b := d.as(d.a), d.as(d.b)
		a.acquire(t, ask("seats", 1))
		first := b.acquire(t, ask("seats", 1)).Lease
		d.clock.pass(time.Minute)
		foreign := d.renewOp(d.a, granting.RenewalRequest{Lease: first.ID, Generation: 1, Nonce: "nonce-of-foreign"})
		stale := d.renewOp(d.b, granting.RenewalRequest{Lease: first.ID, Generation: 3, Nonce: "nonce-of-stale"})
		right := d.renewOp(d.b, granting.RenewalRequest{Lease: first.ID, Generation: 1, Nonce: "nonce-of-right"})
		fresh := ask("seats", 1)
		fresh.RequestID, fresh.Nonce = "started-again", "nonce-of-fresh"
		restarted := d.acquireOp(d.b, fresh)
		d.batch(t, foreign, stale, right, restarted)
		refused(t, foreign, licensing.NotFound)
		if stale.Answer.Decision.Code != license.CodeClone || stale.Answer.Lease != nil && stale.Answer.Decision.Outcome == license.Allowed {
			t.Errorf("%+v", stale.Answer.Decision)
		}
		for o, generation := range map[*granting.Op]int64{right: 2, restarted: 3} {
			if l := o.Answer.Lease; o.Answer.Err != nil || l == nil || l.ID != first.ID || l.License != d.b.License || l.Generation != generation {
				t.Errorf("want generation %d: %+v, %v", generation, l, o.Answer.Err)
			}
		}
		document, err := d.SignLease(testEnv, &right.Answer, "nonce-of-right")
		if err != nil {
			t.Fatal(err)
		}
		v, err := d.ledger.Ring.Verifier(testEnv)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := v.Lease(document, d.clock.Now().Unix())
		if err != nil || signed.Generation != 2 || signed.Subject != string(d.b.License) {
			t.Errorf("%+v, %v", signed, err)
		}
		a.counts(t, "seats", 1)
		b.counts(t, "seats", 1)
		if _, err := d.Renew(t.Context(), d.b, granting.RenewalRequest{Lease: first.ID, Generation: 3, Nonce: "nonce-of-next"}); err != nil {
			t.Error(err)
		}
	})
}

// TestAnEventIsOfItsOwnUse checks that an id that is sent again with another meter or quantity
// counts as another use. It is refused explicitly, not accepted as the recorded one.
func TestAnEventIsOfItsOwnUse(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		record := func(events ...granting.UsageEvent) (all []granting.UsageResult) {
			t.Helper()
			r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: events})
			if err != nil {
				t.Fatal(err)
			}
			return r.Results
		}
		other := func(r granting.UsageResult) {
			t.Helper()
			if r.Status != licensing.InvalidUsage || !strings.Contains(r.Reason, "already been recorded with 1 of the meter calls") {
				t.Errorf("%+v", r)
			}
		}
		both := record(granting.UsageEvent{ID: "a", Meter: "calls", Quantity: "1"}, granting.UsageEvent{ID: "a", Meter: "calls", Quantity: "2"})
		if both[0].Status != licensing.RecordedUsage {
			t.Errorf("%+v", both[0])
		}
		other(both[1])
		other(record(granting.UsageEvent{ID: "a", Meter: "calls", Quantity: "3"})[0])
		other(record(granting.UsageEvent{ID: "a", Meter: "big", Quantity: "1"})[0])
		other(record(granting.UsageEvent{ID: "a", Meter: "no-such-meter", Quantity: "1"})[0])
		if again := record(granting.UsageEvent{ID: "a", Meter: "calls", Quantity: "1.0"})[0]; again.Status != licensing.DuplicateUsage {
			t.Errorf("the same again: %+v", again)
		}
		d.shows(t, d.p, "1 of 5")
	})
}

// TestUsageIsCountedForItsOwnLicense sends events of two licenses with the same ids, and one of
// them twice.
func TestUsageIsCountedForItsOwnLicense(t *testing.T) {
	eachPair(t, func(t *testing.T, d pair) {
		event := func(id, quantity string) granting.UsageEvent {
			return granting.UsageEvent{ID: id, Meter: "calls", Quantity: quantity}
		}
		a := d.usageOp(d.a, event("event-1", "1"), event("event-2", "1"))
		b := d.usageOp(d.b, event("event-1", "3"), event("event-3", "3"))
		again := d.usageOp(d.b, event("event-1", "3"))
		d.batch(t, a, b, again)
		status := func(o *granting.Op) (all []licensing.UsageStatus) {
			for _, r := range o.Answer.Usage {
				all = append(all, r.Status)
			}
			return all
		}
		if !slices.Equal(status(a), []licensing.UsageStatus{licensing.RecordedUsage, licensing.RecordedUsage}) || !slices.Equal(status(b), []licensing.UsageStatus{licensing.RecordedUsage, licensing.DeniedUsage}) ||
			!slices.Equal(status(again), []licensing.UsageStatus{licensing.DuplicateUsage}) {
			t.Errorf("%v, %v, %v", status(a), status(b), status(again))
		}
		if a.Answer.Entry == b.Answer.Entry || !a.Answer.Entered || !b.Answer.Entered || again.Answer.Entered {
			t.Error("the entries are not those of their requests")
		}
		for p, used := range map[*access.Principal]int64{&d.a: 2, &d.b: 3} {
			err := d.ledger.View(t.Context(), func(tx *store.Tx) error {
				totals, err := tx.ListUsage(t.Context(), store.UsageFilter{Env: testEnv, License: p.License, Limit: 9})
				if len(totals) != 1 || totals[0].Used != used {
					t.Errorf("%+v, want %d", totals, used)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		err := d.ledger.View(t.Context(), func(tx *store.Tx) error {
			of, err := tx.Denials(t.Context(), testEnv, "event-3")
			if len(of) != 1 || of[0].License != d.b.License {
				t.Errorf("the denial is not found by the event that was denied: %+v", of)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestATicketIsOfItsOwnLicense checks that another license's key can neither see nor give up a
// place in a queue, even in one transaction with the owner's requests.
func TestATicketIsOfItsOwnLicense(t *testing.T) {
	eachPair(t, func(t *testing.T, d pair) {
		a, b := d.as(d.a), d.as(d.b)
		for _, one := range []*testAuthority{a, b} {
			one.acquire(t, ask("queue", 1))
		}
		a.acquire(t, ask("queue", 2))
		id := b.acquire(t, ask("queue", 2)).Ticket.ID
		at := func(p access.Principal, kind granting.OpKind) *granting.Op {
			o := d.Op(p, kind, licensing.Caller{})
			o.Ticket = id
			return o
		}
		steals, looks, kept := at(d.a, granting.OpWithdraw), at(d.a, granting.OpTicket), at(d.b, granting.OpTicket)
		d.batch(t, steals, looks, kept)
		refused(t, steals, licensing.NotFound)
		refused(t, looks, licensing.NotFound)
		if q := kept.Answer.Queued; q == nil || !q.Live() || q.License != d.b.License {
			t.Errorf("%+v", q)
		}
		// The same request id gets a separate place for another license.
		if q := a.acquire(t, ask("queue", 2)).Ticket; q == nil || q.ID == id || q.License != d.a.License {
			t.Errorf("%+v", q)
		}
		for _, one := range []*testAuthority{a, b} {
			err := d.ledger.View(t.Context(), func(tx *store.Tx) error {
				row, err := tx.Pool(t.Context(), store.PoolKey{Env: testEnv, License: one.p.License, Name: "queue"})
				if row.Waiting != 1 || row.Held != 1 {
					t.Errorf("%+v", row)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestADenialIsOfItsOwnRequest denies the same holder for two licenses, and twice for one of them,
// in one transaction.
func TestADenialIsOfItsOwnRequest(t *testing.T) {
	eachPair(t, func(t *testing.T, d pair) {
		for n := range 5 {
			d.as(d.a).acquire(t, ask("seats", n))
			d.as(d.b).acquire(t, ask("seats", n))
		}
		denied := func(p access.Principal, request string) *granting.Op {
			q := ask("seats", 9)
			q.RequestID = request
			return d.acquireOp(p, q)
		}
		a, b, again := denied(d.a, "of-a"), denied(d.b, "of-b"), denied(d.b, "of-b-again")
		d.batch(t, a, b, again)
		if a.Answer.Retried || b.Answer.Retried || !again.Answer.Retried {
			t.Errorf("denied before: %v, %v, %v", a.Answer.Retried, b.Answer.Retried, again.Answer.Retried)
		}
		if !a.Answer.Entered || !b.Answer.Entered || a.Answer.Entry == b.Answer.Entry {
			t.Error("the entries are not those of their requests")
		}
		err := d.ledger.View(t.Context(), func(tx *store.Tx) error {
			for p, want := range map[*access.Principal][3]any{&d.a: {"of-a", "", int64(1)}, &d.b: {"of-b", again.Call + " of-b-again ", int64(2)}} {
				of, err := tx.LicenseDenials(t.Context(), testEnv, p.License, 9)
				if err != nil || len(of) != 1 || [3]any{of[0].Request, of[0].Later, of[0].Times} != want {
					t.Errorf("%+v, want %v, %v", of, want, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestDenialsOfTwoMinutesAreToldApart stores denials of two minutes together. Only the new one is
// the first of its minute.
func TestDenialsOfTwoMinutesAreToldApart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		at := func(minute int64) store.Denial {
			return store.Denial{PoolKey: store.PoolKey{Env: testEnv, License: "lic_1", Name: "seats"}, Holder: "ada", Code: "pool_full",
				Minute: time.Unix(60*minute, 0), At: time.Unix(60*minute, 0), Times: 1}
		}
		put := func(all ...store.Denial) (first map[int]bool) {
			err := db.Update(t.Context(), func(tx *store.Tx) (err error) {
				first, err = tx.PutDenials(t.Context(), all)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return first
		}
		put(at(1))
		if first := put(at(1), at(2)); first[0] || !first[1] {
			t.Errorf("the first of their minutes: %v", first)
		}
		if first := put(at(3), at(2)); !first[0] || first[1] {
			t.Errorf("the first of their minutes: %v", first)
		}
	})
}

// TestAnIdempotencyKeyIsOfItsOwnRequest checks that a key belongs to one token, route and
// environment. All other parts of the request are compared.
func TestAnIdempotencyKeyIsOfItsOwnRequest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		first, second := s.issue().License, s.issue().License
		token := func(id licensing.TokenID, route string) access.Principal {
			return access.Principal{Kind: access.KindToken, Env: testEnv, Role: access.Owner, Spans: true, Token: id, Actor: "token:" + string(id),
				Answers: access.Hash("answers of " + string(id)), Once: access.Once{Route: route, Key: "key-1"}}
		}
		suspend := func(p access.Principal, id licensing.LicenseID) (licensing.License, error) {
			return s.SuspendLicense(t.Context(), p, id, "unpaid")
		}
		done, err := suspend(token("tok_1", "suspend-license"), first.ID)
		if err != nil || done.ID != first.ID {
			t.Fatalf("%+v, %v", done, err)
		}
		again, err := suspend(token("tok_1", "suspend-license"), first.ID)
		if err != nil || again.Seq != done.Seq {
			t.Errorf("%+v, %v", again, err)
		}
		if _, err := suspend(token("tok_1", "suspend-license"), second.ID); licensing.CodeOf(err) != licensing.IdempotencyMismatch {
			t.Errorf("another license under the same key: %v", err)
		}
		// Another token and another route have their own keys.
		if l, err := suspend(token("tok_2", "suspend-license"), second.ID); err != nil || l.ID != second.ID {
			t.Errorf("%+v, %v", l, err)
		}
		if l, err := s.ReinstateLicense(t.Context(), token("tok_1", "reinstate-license"), first.ID, "paid"); err != nil || l.Status != licensing.Active {
			t.Errorf("%+v, %v", l, err)
		}
		elsewhere := token("tok_1", "suspend-license")
		elsewhere.Env = "staging"
		if _, err := suspend(elsewhere, first.ID); licensing.CodeOf(err) != licensing.NotFound {
			t.Errorf("in another environment: %v", err)
		}
	})
}

// TestForgettingAPlaceKeepsWhatItsRequestLedToSince checks a request that got a new place after its
// first one had ended. It must continue to lead to the new place.
func TestForgettingAPlaceKeepsWhatItsRequestLedToSince(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		d.acquire(t, ask("queue", 1))
		first := d.acquire(t, ask("queue", 2)).Ticket
		if _, err := d.Withdraw(t.Context(), d.p, first.ID); err != nil {
			t.Fatal(err)
		}
		d.clock.pass(time.Second)
		second := d.acquire(t, ask("queue", 2)).Ticket
		if second == nil || second.ID == first.ID {
			t.Fatalf("%+v", second)
		}
		forget := func(want int) {
			t.Helper()
			err := d.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
				n, err := tx.ForgetTickets(t.Context(), tx.Now(), 10)
				if n != want {
					t.Errorf("%d tickets forgotten, want %d", n, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		forget(1)
		if q := d.acquire(t, ask("queue", 2)).Ticket; q == nil || q.ID != second.ID {
			t.Errorf("the same request has place %+v, and had %s", q, second.ID)
		}
		if _, err := d.Withdraw(t.Context(), d.p, second.ID); err != nil {
			t.Fatal(err)
		}
		d.clock.pass(time.Second)
		forget(1)
		err := d.ledger.View(t.Context(), func(tx *store.Tx) error {
			left, err := tx.Requests(t.Context(), testEnv, ask("queue", 2).RequestID)
			if len(left) != 0 {
				t.Errorf("a request without a result is kept: %+v", left)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if g := d.acquire(t, ask("queue", 1)); g.Lease == nil || strings.Contains(g.Decision.Reason, "queue") {
			t.Errorf("%+v", g.Decision)
		}
	})
}

// TestCountersAreTheirRowsAfterEveryBatch decides requests of two licenses in random batches. Valid
// requests are mixed with those that name another license's objects, or stale or ended ones.
// Nothing may be credited twice or to the wrong license.
func TestCountersAreTheirRowsAfterEveryBatch(t *testing.T) {
	eachPair(t, func(t *testing.T, d pair) {
		rapid.Check(t, func(r *rapid.T) {
			rev, err := licensing.NewRevision(testPlan())
			if err != nil {
				r.Fatal(err)
			}
			m := &mixed{testAuthority: d.testAuthority, keys: []access.Principal{d.issue(t, rev), d.issue(t, rev)}, known: map[licensing.LeaseID]*held{}}
			for range rapid.IntRange(1, 5).Draw(r, "batches") {
				m.batch(t, r)
				m.check(r)
				d.clock.pass(time.Duration(rapid.IntRange(0, 1200).Draw(r, "seconds")) * time.Second)
			}
		})
	})
}

// A mixed lets requests of two licenses meet in batches, and records the leases that each license
// got.
type mixed struct {
	*testAuthority
	keys    []access.Principal
	known   map[licensing.LeaseID]*held
	order   []licensing.LeaseID
	tickets []licensing.TicketID
	count   int
}

// A held is a lease, identified by its license and its last generation.
type held struct {
	license    licensing.LicenseID
	generation int64
}

func (m *mixed) batch(t *testing.T, r *rapid.T) {
	ops := make([]*granting.Op, rapid.IntRange(1, 6).Draw(r, "requests"))
	for i := range ops {
		ops[i] = m.draw(r)
	}
	m.testAuthority.batch(t, ops...)
	ended := map[licensing.LeaseID]int{}
	for _, o := range ops {
		m.hear(r, o)
		if o.Kind == granting.OpRelease && o.Answer.Entered {
			ended[o.Release.Lease]++
		}
	}
	for id, n := range ended {
		if n != 1 {
			r.Errorf("%d requests got the answer that they ended lease %s", n, id)
		}
	}
}

func (m *mixed) draw(r *rapid.T) *granting.Op {
	p := m.keys[rapid.IntRange(0, 1).Draw(r, "key")]
	m.count++
	nonce := fmt.Sprint("nonce-of-", m.count)
	kind := rapid.SampledFrom([]granting.OpKind{granting.OpAcquire, granting.OpAcquire, granting.OpRenew, granting.OpRelease, granting.OpRelease, granting.OpUsage, granting.OpTicket, granting.OpWithdraw}).Draw(r, "kind")
	switch {
	case kind == granting.OpUsage:
		return m.usageOp(p, granting.UsageEvent{ID: fmt.Sprint("event-", rapid.IntRange(1, 4).Draw(r, "event")), Meter: "calls", Quantity: "1"})
	case (kind == granting.OpTicket || kind == granting.OpWithdraw) && len(m.tickets) > 0:
		o := m.Op(p, kind, licensing.Caller{})
		o.Ticket = rapid.SampledFrom(m.tickets).Draw(r, "ticket")
		return o
	case (kind == granting.OpRenew || kind == granting.OpRelease) && len(m.order) > 0:
		id := rapid.SampledFrom(m.order).Draw(r, "lease")
		generation := m.known[id].generation + rapid.SampledFrom([]int64{0, 0, 0, -1, 1}).Draw(r, "off")
		if kind == granting.OpRenew {
			return m.renewOp(p, granting.RenewalRequest{Lease: id, Generation: generation, Nonce: nonce})
		}
		force := rapid.IntRange(0, 9).Draw(r, "force") == 0
		if force {
			p = access.System(testEnv, "desk")
		}
		return m.releaseOp(p, granting.ReleaseRequest{Lease: id, Generation: generation, Force: force})
	}
	q := ask(rapid.SampledFrom([]string{"seats", "shared", "queue", "users"}).Draw(r, "pool"), rapid.IntRange(1, 6).Draw(r, "holder"))
	q.Nonce = nonce
	if rapid.Bool().Draw(r, "anew") {
		q.RequestID = fmt.Sprint("request-", m.count)
	}
	if q.Pool == "shared" {
		q.Holder.ID = fmt.Sprint("holder-", m.count%2)
	}
	return m.acquireOp(p, q)
}

// hear processes an answer, which must concern a lease of its own license.
func (m *mixed) hear(r *rapid.T, o *granting.Op) {
	if q := o.Answer.Queued; q != nil && o.Answer.Err == nil {
		if q.License != o.License {
			r.Errorf("%s got ticket %s of %s", o.License, q.ID, q.License)
		}
		m.tickets = append(m.tickets, q.ID)
	}
	l := o.Answer.Lease
	if l == nil || o.Answer.Err != nil {
		return
	}
	if l.License != o.License || m.known[l.ID] != nil && m.known[l.ID].license != o.License {
		r.Errorf("%s got lease %s of %s", o.License, l.ID, l.License)
	}
	if o.Kind == granting.OpRelease {
		return
	}
	if m.known[l.ID] == nil {
		m.known[l.ID] = &held{license: l.License}
		m.order = append(m.order, l.ID)
	}
	m.known[l.ID].generation = max(m.known[l.ID].generation, l.Generation)
}

// check compares the counters of both licenses with their rows.
func (m *mixed) check(r *rapid.T) {
	err := m.ledger.View(context.Background(), func(tx *store.Tx) error {
		mine := func(id licensing.LicenseID) bool { return id == m.keys[0].License || id == m.keys[1].License }
		err := tx.PoolCounts(context.Background(), testEnv, func(p licensing.PoolCount) error {
			if wrong := p.Wrong(tx.Now()); mine(p.License) && len(wrong) > 0 {
				r.Errorf("pool %s of %s: %v", p.Pool, p.License, wrong)
			}
			if capacity := testPlan().Pools[p.Pool].Capacity; mine(p.License) && p.Rows.Held > capacity {
				r.Errorf("%d of %d %s of %s are held", p.Rows.Held, capacity, p.Pool, p.License)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return tx.MeterCounts(context.Background(), testEnv, func(c licensing.MeterCount) error {
			if wrong := c.Wrong(time.Time{}); mine(c.License) && len(wrong) > 0 {
				r.Errorf("meter %s of %s: %v", c.Meter, c.License, wrong)
			}
			return nil
		})
	})
	if err != nil {
		r.Fatal(err)
	}
}
