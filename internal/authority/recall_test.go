package authority

import (
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// recall recalls a lease of d and returns the result.
func (d *testAuthority) recall(t *testing.T, id licensing.LeaseID) v1.Recalled {
	t.Helper()
	r, err := d.RecallLease(t.Context(), access.System(testEnv, "desk"), id, "needed elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// opened verifies a lease's document.
func (d *testAuthority) opened(t *testing.T, compact string) *license.Lease {
	t.Helper()
	v, err := d.ledger.Ring.Verifier(testEnv)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := v.Lease(compact, d.clock.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestAHolderThatListensIsToldOfARecallBySignature checks that the renewal after the recall carries
// it and ends with its grace, and that the release frees the unit immediately.
func TestAHolderThatListensIsToldOfARecallBySignature(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		for n := range 5 {
			d.acquire(t, ask("seats", n))
		}
		g := d.acquire(t, ask("seats", 0))
		if doc := d.opened(t, g.Document); doc.Recall != nil {
			t.Fatalf("%+v", doc.Recall)
		}
		woken := 0
		listener, err := d.Listen(t.Context(), d.p, func() { woken++ })
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		r := d.recall(t, g.Lease.ID)
		if !r.Until.IsZero() || !r.FreeAt.Equal(g.Lease.Expires.Add(d.ledger.Skew)) {
			t.Errorf("%+v", r)
		}
		if woken == 0 {
			t.Fatal("the stream was not notified")
		}
		if n := listener.Take(); n&ledger.LeaseRecalled == 0 {
			t.Errorf("notices %b", n)
		}
		if ids, err := d.PendingRecalls(t.Context(), d.p); err != nil || len(ids) != 1 || ids[0] != g.Lease.ID {
			t.Fatalf("%v, %v", ids, err)
		}
		d.clock.pass(2 * time.Second)
		told, err := d.keep(t, g, "nonce-of-recall", false)
		if err != nil || told.Lease == nil {
			t.Fatal(told.Decision, err)
		}
		until := d.clock.Now().Add(30 * time.Second).Unix()
		doc := d.opened(t, told.Document)
		if doc.Recall == nil || doc.Recall.Until != until || doc.Recall.Reason != "needed elsewhere" || doc.Expires != until {
			t.Fatalf("%+v, expires %d, want %d", doc.Recall, doc.Expires, until)
		}
		// The earlier document remains valid. Until it ends, the unit cannot go to others.
		if row := d.leaseRow(t, g.Lease.ID); !row.Due.Equal(g.Lease.Expires.Add(d.ledger.Skew)) {
			t.Errorf("reclaimed at %v, though a document lasts until %v", row.Due, g.Lease.Expires)
		}
		d.clock.pass(30 * time.Second)
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: told.Lease.Generation}); err != nil {
			t.Fatal(err)
		}
		if other := d.acquire(t, ask("seats", 9)); other.Lease == nil {
			t.Errorf("the unit is not free: %+v", other.Decision)
		}
		if ids, err := d.PendingRecalls(t.Context(), d.p); err != nil || len(ids) != 0 {
			t.Errorf("a recall lasts longer than its lease: %v, %v", ids, err)
		}
	})
}

// TestAHolderThatGoesOnAgainstARecallIsRefused checks the next renewal and an acquire of the same
// instance. The log records the violation.
func TestAHolderThatGoesOnAgainstARecallIsRefused(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("seats", 1))
		d.recall(t, g.Lease.ID)
		told, err := d.keep(t, g, "nonce-of-recall", false)
		if err != nil {
			t.Fatal(err)
		}
		d.clock.pass(29 * time.Second)
		again, err := d.keep(t, told, "nonce-of-again", false)
		if err != nil || again.Lease == nil || d.opened(t, again.Document).Recall.Until != d.opened(t, told.Document).Recall.Until {
			t.Fatalf("a renewal moved the end of the grace: %+v, %v", again.Decision, err)
		}
		d.clock.pass(time.Second)
		liar, err := d.keep(t, again, "nonce-of-liar", false)
		if err != nil || liar.Decision.Outcome != license.Denied || liar.Decision.Code != license.CodeRecalled {
			t.Errorf("%+v, %v", liar.Decision, err)
		}
		q := ask("seats", 1)
		q.RequestID = "started-again"
		if back := d.acquire(t, q); back.Lease != nil || back.Decision.Code != license.CodeRecalled {
			t.Errorf("%+v", back.Decision)
		}
		if back := d.acquire(t, ask("seats", 1)); back.Lease != nil || back.Decision.Code != license.CodeRecalled {
			t.Errorf("a repeated request: %+v", back.Decision)
		}
		if err := d.ledger.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		page, err := d.ledger.LogEntries(t.Context(), owner(), ledger.LogFilter{Type: licensing.ViolationRecall}, request.PageOf{})
		if err != nil || len(page.Items) != 1 || page.Items[0].Subject != string(g.Lease.ID) {
			t.Errorf("%+v, %v", page.Items, err)
		}
		// Its document remains valid. The unit is free when the document ends, and not earlier.
		d.clock.pass(g.Lease.Expires.Add(d.ledger.Skew).Sub(d.clock.Now()) - time.Second)
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if counter, _, _ := d.held(t, "seats"); counter != 1 {
			t.Errorf("%d counted before the document has ended", counter)
		}
		d.clock.pass(time.Second)
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if counter, _, _ := d.held(t, "seats"); counter != 0 {
			t.Errorf("%d counted at the announced time", counter)
		}
	})
}

// TestARecalledHolderComesAfterAllWhoWait checks that the holder's next acquire gets the last
// place.
func TestARecalledHolderComesAfterAllWhoWait(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("queue", 1))
		waits := d.acquire(t, ask("queue", 2))
		if waits.Ticket == nil {
			t.Fatalf("%+v", waits.Decision)
		}
		d.recall(t, g.Lease.ID)
		told, err := d.keep(t, g, "nonce-of-recall", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: told.Lease.Generation}); err != nil {
			t.Fatal(err)
		}
		q := ask("queue", 1)
		q.RequestID = "wants-it-back"
		if back := d.acquire(t, q); back.Ticket == nil {
			t.Errorf("it overtakes: %+v", back.Decision)
		}
		if got := d.acquire(t, ask("queue", 2)); got.Lease == nil {
			t.Errorf("the waiting request: %+v", got.Decision)
		}
	})
}

// TestARecallOfALeaseWithoutAnEnd checks the notice that nothing frees the unit of a silent holder.
// A holder that was told loses the unit with its last document.
func TestARecallOfALeaseWithoutAnEnd(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("users", 1))
		if r := d.recall(t, g.Lease.ID); !r.FreeAt.IsZero() || r.Why == "" {
			t.Errorf("%+v", r)
		}
		if _, err := d.keep(t, g, "nonce-of-recall", false); err != nil {
			t.Fatal(err)
		}
		r := d.recall(t, g.Lease.ID)
		if r.Until.IsZero() || !r.FreeAt.Equal(g.Lease.Expires.Add(d.ledger.Skew)) {
			t.Errorf("%+v, the first document lasts until %v", r, g.Lease.Expires)
		}
	})
}

// TestARecallIsOfItsOwnLicense checks that tokens that may free leases see only those in their
// scope.
func TestARecallIsOfItsOwnLicense(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("seats", 1))
		for name, p := range map[string]access.Principal{
			"another customer's": {Kind: access.KindToken, Env: testEnv, Role: access.Customer, Customer: "cus_2"},
			"another product's":  {Kind: access.KindToken, Env: testEnv, Role: access.Operator, Product: "mill"},
		} {
			if _, err := d.RecallLease(t.Context(), p, g.Lease.ID, ""); licensing.CodeOf(err) != licensing.NotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, p := range map[string]access.Principal{"a viewer": {Kind: access.KindToken, Env: testEnv, Role: access.Viewer}, "the license's key": d.p} {
			if _, err := d.RecallLease(t.Context(), p, g.Lease.ID, ""); licensing.CodeOf(err) != licensing.Forbidden {
				t.Errorf("%s: %v", name, err)
			}
		}
		if row := d.leaseRow(t, g.Lease.ID); row.Asker.Recall != nil {
			t.Errorf("%+v", row.Asker.Recall)
		}
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: g.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.RecallLease(t.Context(), owner(), g.Lease.ID, ""); licensing.CodeOf(err) != licensing.Gone {
			t.Errorf("of an ended lease: %v", err)
		}
	})
}

// TestAnotherNodeTellsOfARecall checks that its listeners are notified at its next check for
// changes.
func TestAnotherNodeTellsOfARecall(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		g := a.acquire(t, ask("seats", 1))
		listener, err := b.Listen(t.Context(), b.p, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		a.recall(t, g.Lease.ID)
		if !a.ledger.DB.Shared() {
			return
		}
		if err := b.LookForChanges(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := listener.Take(); n&ledger.LeaseRecalled == 0 {
			t.Errorf("notices %b", n)
		}
	})
}

// leaseRow returns the row of a lease.
func (d *testAuthority) leaseRow(t *testing.T, id licensing.LeaseID) (l licensing.Lease) {
	t.Helper()
	err := d.ledger.View(t.Context(), func(tx *store.Tx) (err error) {
		l, err = tx.Lease(t.Context(), store.LeaseKey{Env: testEnv, ID: id})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
