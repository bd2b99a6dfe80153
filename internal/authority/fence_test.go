package authority

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// finalBackup closes d's database and returns its final backup.
func (d *testAuthority) finalBackup(t *testing.T) []byte {
	t.Helper()
	var archive bytes.Buffer
	if b, err := d.FinalBackup(t.Context(), owner(), &archive); err != nil || !b.Final {
		t.Fatal(b.Final, err)
	}
	return archive.Bytes()
}

// moved starts a server on a new database that was restored from an archive.
func (d *testAuthority) moved(t *testing.T, archive []byte, to *store.DB) *testAuthority {
	t.Helper()
	to.Now = d.clock.Now
	c := ledger.Config{DB: to, Ring: signing.NewRing(d.ledger.Ring.Sealing()), Dir: t.TempDir(), Now: d.clock.Now, Machine: d.clock.machine()}
	if _, err := recovery.Restore(t.Context(), c, bytes.NewReader(archive)); err != nil {
		t.Fatal(err)
	}
	c.Ring = signing.NewRing(d.ledger.Ring.Sealing())
	other := &testAuthority{Authority: New(c), clock: d.clock, p: d.p}
	t.Cleanup(other.Close)
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return other
}

// TestAPlannedMoveGrantsAtOnceAndItsSourceRefuses moves between the engines in both directions.
func TestAPlannedMoveGrantsAtOnceAndItsSourceRefuses(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		held := d.acquire(t, ask("seats", 1))
		archive := d.finalBackup(t)
		again := d.finalBackup(t) // the first one did not arrive completely
		storetest.Each(t, func(t *testing.T, to *store.DB) {
			for _, archive := range [][]byte{archive, again}[:1+granting.Btoi(to.Engine() == "sqlite")] {
				if to.Engine() == "sqlite" {
					to = storetest.SQLite(t)
				}
				m := d.moved(t, archive, to)
				for n := 2; n <= 5; n++ {
					if g := m.acquire(t, ask("seats", n)); g.Lease == nil {
						t.Fatalf("the next acquire after the move: %+v", g.Decision)
					}
				}
				if g := m.acquire(t, ask("seats", 6)); g.Lease != nil {
					t.Error("a sixth unit of five")
				}
				if g, err := m.keep(t, held, "nonce-of-move", false); err != nil || g.Lease == nil {
					t.Errorf("the holder continues: %+v, %v", g.Decision, err)
				}
				if got, want := m.ledger.Epoch.Load(), d.ledger.Epoch.Load()+1; got != want {
					t.Errorf("epoch %d, want %d", got, want)
				}
				report, err := m.ledger.VerifyLog(t.Context(), owner())
				if err != nil || !report.Whole() {
					t.Errorf("%v, %v", report.Findings, err)
				}
				if n := entries(t, m.Authority, licensing.BackupFinal); n != 1 {
					t.Errorf("%d entries record the final backup", n)
				}
			}
		})
		for name, d := range map[string]*testAuthority{"running": d, "restarted": d.again(t, t.TempDir())} {
			refuses(t, name, d, held)
		}
	})
}

// refuses tries all kinds of writes on a server whose database is closed.
func refuses(t *testing.T, name string, d *testAuthority, held granting.Granted) {
	t.Helper()
	ctx := t.Context()
	for what, try := range map[string]func() error{
		"acquire": func() error { _, err := d.Acquire(ctx, d.p, ask("seats", 9)); return err },
		"renew":   func() error { _, err := d.keep(t, held, "nonce-of-later", false); return err },
		"release": func() error {
			_, err := d.Release(ctx, d.p, granting.ReleaseRequest{Lease: held.Lease.ID, Generation: held.Lease.Generation})
			return err
		},
		"customer": func() error { _, err := d.CreateCustomer(ctx, owner(), licensing.Customer{Name: "Late"}); return err },
		"rotate":   func() error { _, err := d.RotateSigningKey(ctx, owner()); return err },
		"sql": func() error {
			return d.ledger.DB.Update(ctx, func(tx *store.Tx) error { return tx.SetEpoch(ctx, 99) })
		},
	} {
		err := try()
		var known *licensing.Error
		if !errors.As(err, &known) || known.Code != licensing.Unavailable || known.Retry == 0 || !strings.Contains(known.Message, "final backup") {
			t.Errorf("%s, %s: %v", name, what, err)
		}
	}
	if _, err := d.Ready(ctx); licensing.CodeOf(err) != licensing.Unavailable {
		t.Errorf("%s: ready: %v", name, err)
	}
	s, err := d.Status(ctx, owner())
	if err != nil || s.Closed.IsZero() {
		t.Errorf("%s: status: %+v, %v", name, s.Closed, err)
	}
	if counter, _, live := d.held(t, "seats"); counter != 1 || live != 1 {
		t.Errorf("%s: %d counted, %d live: something was written", name, counter, live)
	}
}

func entries(t *testing.T, a *Authority, kind string) int {
	t.Helper()
	if a.ledger.DB.Closed().IsZero() {
		if err := a.ledger.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	page, err := a.ledger.LogEntries(t.Context(), owner(), ledger.LogFilter{Type: kind}, request.PageOf{})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Items)
}

// TestAnotherNodeStopsWhenTheDatabaseIsClosed runs two servers on one database.
func TestAnotherNodeStopsWhenTheDatabaseIsClosed(t *testing.T) {
	url := storetest.PostgresURL(t)
	d := newTestAuthority(t, connect(t, url))
	other := d.beside(t, connect(t, url))
	d.finalBackup(t)
	if err := other.LookForChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Closed(); licensing.CodeOf(err) != licensing.Unavailable {
		t.Errorf("the other node has not noticed: %v", err)
	}
	if _, err := other.Acquire(t.Context(), other.p, ask("seats", 1)); licensing.CodeOf(err) != licensing.Unavailable {
		t.Errorf("the other node grants: %v", err)
	}
}

// TestNothingIsAcknowledgedThatAFinalBackupLacks acquires while the database is being closed.
func TestNothingIsAcknowledgedThatAFinalBackupLacks(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		var archive bytes.Buffer
		granted := make([]licensing.LeaseID, 65)
		parallel(65, func(n int) {
			if n == 32 {
				if _, err := d.FinalBackup(t.Context(), owner(), &archive); err != nil {
					t.Error(err)
				}
				return
			}
			if g, err := d.Acquire(t.Context(), d.p, ask("big", n)); err == nil && g.Lease != nil {
				granted[n] = g.Lease.ID
			} else if licensing.CodeOf(err) != licensing.Unavailable {
				t.Errorf("%+v, %v", g.Decision, err)
			}
		})
		m := d.moved(t, archive.Bytes(), storetest.SQLite(t))
		for n, id := range granted {
			if id == "" {
				continue
			}
			err := m.ledger.DB.View(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Lease(t.Context(), store.LeaseKey{Env: testEnv, ID: id})
				return err
			})
			if err != nil {
				t.Errorf("lease %d was acknowledged but is not in the final backup: %v", n, err)
			}
		}
	})
}

// TestABackupThatIsRestoredTwiceIsNoticed starts two servers from one final backup. A holder of one
// server presents its document to the other.
func TestABackupThatIsRestoredTwiceIsNoticed(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		held := d.acquire(t, ask("seats", 1))
		archive := d.finalBackup(t)
		one, two := d.moved(t, archive, storetest.SQLite(t)), d.moved(t, archive, storetest.SQLite(t))
		for _, s := range []*testAuthority{one, two} {
			if err := s.ledger.Sequence(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := one.keep(t, held, "nonce-of-old", true); err != nil {
			t.Fatal(err)
		}
		if n := entries(t, one.Authority, licensing.ViolationCopy); n != 0 {
			t.Fatalf("%d copies before one is running", n)
		}
		g := two.acquire(t, ask("seats", 2))
		_, _ = one.Renew(t.Context(), one.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: 1, Nonce: "nonce-of-copy", Document: g.Document})
		if n := entries(t, one.Authority, licensing.ViolationCopy); n != 1 {
			t.Errorf("%d entries name the copy", n)
		}
		own := one.acquire(t, ask("seats", 3))
		_, _ = two.Renew(t.Context(), two.p, granting.RenewalRequest{Lease: own.Lease.ID, Generation: 1, Nonce: "nonce-of-copy", Document: own.Document})
		if n := entries(t, two.Authority, licensing.ViolationCopy); n != 1 {
			t.Errorf("%d entries of the other name the copy", n)
		}
	})
}

// TestTheRefusalBehindAFenceNamesItsEnd checks that the refusal, the status and Retry-After contain
// the end for each pool. A license that was issued later does not wait.
func TestTheRefusalBehindAFenceNamesItsEnd(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		archive := before.backup(t)
		d := before.rolledBack(t, archive, t.TempDir())
		s, err := d.Status(t.Context(), owner())
		if err != nil || s.Fence == nil || !s.Fenced.Equal(s.Fence.Since) {
			t.Fatal(s.Fence, err)
		}
		ends := map[string]time.Time{}
		for _, p := range s.Fence.Pools {
			ends[p.Pool] = p.Until
		}
		for pool, length := range map[string]time.Duration{"seats": 25 * time.Hour, "shared": 16 * time.Minute} {
			until := s.Fence.Since.Add(length + d.ledger.Skew)
			if !ends[pool].Equal(until) {
				t.Errorf("%s: status says %v, want %v", pool, ends[pool], until)
			}
			_, err := d.Acquire(t.Context(), d.p, ask(pool, 7))
			var known *licensing.Error
			if !errors.As(err, &known) || known.Code != licensing.Unavailable || !strings.Contains(known.Message, ledger.StampOf(until)) ||
				!d.clock.Now().Add(known.Retry).Equal(until) {
				t.Errorf("%s: %v", pool, err)
			}
			if _, err := d.Check(t.Context(), d.p, granting.CheckRequest{Pool: pool}); licensing.CodeOf(err) != licensing.Unavailable {
				t.Errorf("%s: a check returns %v", pool, err)
			}
		}
		rev, err := licensing.NewRevision(testPlan())
		if err != nil {
			t.Fatal(err)
		}
		late := *d
		late.p = d.issue(t, rev)
		if g := late.acquire(t, ask("seats", 8)); g.Lease == nil {
			t.Errorf("a license that was issued later: %+v", g.Decision)
		}
		for d.clock.Now().Before(s.Fence.Until) {
			d.clock.pass(6 * time.Hour)
		}
		if s, err := d.Status(t.Context(), owner()); err != nil || s.Fence != nil || !s.Fenced.IsZero() {
			t.Errorf("after its end: %+v, %v", s.Fence, err)
		}
		if s, err := d.ledger.Fence(t.Context(), owner()); err != nil || s.Fenced {
			t.Errorf("after its end: %+v, %v", s, err)
		}
	})
}

// TestAFenceIsEndedByTwoPeople checks that the statement of one person never ends the fence, even
// if it is repeated with tokens that the person created.
func TestAFenceIsEndedByTwoPeople(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		first := before.acquire(t, ask("seats", 1))
		d := before.rolledBack(t, before.backup(t), t.TempDir())
		token := func(by access.Principal, role access.Role) access.Principal {
			t.Helper()
			made, err := d.CreateToken(t.Context(), by, v1.TokenRequest{Name: "test", Role: role})
			if err != nil {
				t.Fatal(err)
			}
			d.clock.pass(time.Second)
			return access.Principal{Kind: access.KindToken, Env: testEnv, Role: role, Token: made.ID, Actor: ledger.TokenActor + string(made.ID)}
		}
		declare := func(p access.Principal) (bool, error) {
			_, ended, err := d.ledger.DeclareNothingLost(t.Context(), p, "the server was off")
			return ended, err
		}
		refused := func(what string, p access.Principal, code licensing.Code) {
			t.Helper()
			if ended, err := declare(p); ended || licensing.CodeOf(err) != code {
				t.Errorf("%s: %v, %v, want %s", what, ended, err, code)
			}
			if _, err := d.Acquire(t.Context(), d.p, ask("seats", 2)); licensing.CodeOf(err) != licensing.Unavailable {
				t.Fatalf("%s: the fence is gone", what)
			}
		}
		system := access.System(testEnv, "test")
		ann, bob := token(system, access.Admin), token(system, access.Owner)
		child := token(ann, access.Admin)
		grandchild := token(child, access.Admin)
		if err := d.DeleteToken(t.Context(), system, child.Token); err != nil {
			t.Fatal(err)
		}
		scoped := ann
		scoped.Customer = "cus_1"
		refused("a viewer", token(system, access.Viewer), licensing.Forbidden)
		refused("a token of one customer", scoped, licensing.Forbidden)
		refused("the first", ann, "")
		refused("the same again", ann, "")
		refused("a token that the first created, by one that is deleted", grandchild, licensing.Forbidden)
		d.clock.pass(ledger.DeclaredFor)
		refused("the second, a day later", bob, "")
		refused("a token of the second's own", token(bob, access.Owner), licensing.Forbidden)
		if err := d.DeleteToken(t.Context(), system, bob.Token); err != nil {
			t.Fatal(err)
		}
		refused("the other, after the first one's token was revoked", ann, "")
		carl := token(system, access.Admin)
		if ended, err := declare(carl); !ended || err != nil {
			t.Fatalf("two people: %v, %v", ended, err)
		}
		if n := entries(t, d.Authority, licensing.FenceEnded); n != 1 {
			t.Errorf("%d entries record the end", n)
		}
		d = d.again(t, t.TempDir())
		if g := d.acquire(t, ask("seats", 2)); g.Lease == nil {
			t.Errorf("a newcomer after the end: %+v", g.Decision)
		}
		if g, err := d.keep(t, first, "nonce-of-first", false); err != nil || g.Lease == nil {
			t.Errorf("a holder after the end: %+v, %v", g.Decision, err)
		}
	})
}

// TestAFenceCoversEarlierRevisions rolls back a license whose plan used to have longer leases. Such
// leases were granted and then lost.
func TestAFenceCoversEarlierRevisions(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		plan := testPlan()
		seats := plan.Pools["seats"]
		seats.Borrow *= 20
		plan.Pools["seats"] = seats
		longer, err := licensing.NewRevision(plan)
		if err != nil {
			t.Fatal(err)
		}
		err = before.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.InsertRevision(t.Context(), testEnv, store.Revision{Revision: longer})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		d := before.rolledBack(t, before.backup(t), t.TempDir())
		d.clock.pass(2*seats.Lease.Duration() + 26*time.Hour)
		if _, err := d.Acquire(t.Context(), d.p, ask("seats", 1)); licensing.CodeOf(err) != licensing.Unavailable {
			t.Errorf("granted while a lease of the earlier revision may be in use: %v", err)
		}
		d.clock.pass(seats.Borrow.Duration())
		if g := d.acquire(t, ask("seats", 2)); g.Lease == nil {
			t.Errorf("after its end: %+v", g.Decision)
		}
	})
}
