package authority

import (
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// aheadAuthority returns a testAuthority whose database clock runs ahead of the test's clock. The
// server adopted the clock because the kernel considered it right.
func aheadAuthority(t *testing.T, d *testAuthority, ahead time.Duration) {
	t.Helper()
	d.ledger.DB.Now = func() time.Time { return d.clock.Now().Add(ahead) }
	c := d.Authority.ledger.Clock
	d.ledger.DB.Judge = c // not the judge of a tool that ran on the database
	c.Machine.Synchronized = func() bool { return true }
	if c.Node != nil {
		c.Node = d.ledger.DB.Now
	}
	c.Ask()
	for _, wait := range []time.Duration{0, licensing.ClockSteady, ledger.ClockSettle} {
		d.clock.pass(wait)
		if err := d.ledger.DB.Update(t.Context(), func(*store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.ledger.DB.Latest(); !got.Equal(d.clock.Now().Add(ahead)) || c.Doubt() {
		t.Fatalf("the clock that runs ahead was not adopted: %v", got)
	}
}

// corrected sets the clock right, sets the database back, and returns the server that starts
// afterward.
func (d *testAuthority) corrected(t *testing.T) (*testAuthority, recovery.ClockSetBack) {
	t.Helper()
	d.ledger.DB.Now = d.clock.Now
	config := ledger.Config{DB: d.ledger.DB, Ring: signing.NewRing(d.ledger.Ring.Sealing()), Now: d.clock.Now, Machine: d.clock.machine()}
	set, err := recovery.SetClockBack(t.Context(), config, "ntp")
	if err != nil {
		t.Fatal(err)
	}
	return d.beside(t, d.ledger.DB), set
}

func TestSettingTheClockBackOversellsNothing(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		far := ask("seats", 1) // borrowed earlier, on a remote machine
		far.For = 86400
		borrowed := d.acquire(t, far)
		d.clock.pass(time.Minute)
		aheadAuthority(t, d, 2*24*time.Hour)
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if held, _, _ := d.held(t, "seats"); held != 0 {
			t.Fatalf("%d units are in use, want the borrowed one reclaimed", held)
		}
		later := d.acquire(t, ask("seats", 2))
		gone := d.acquire(t, ask("seats", 3))
		user := d.acquire(t, ask("users", 1))
		d.clock.pass(time.Minute)
		began := firstUsed(t, d, "trial")
		if _, err := began.Validate(t.Context(), began.p, documents.ValidateRequest{Product: "lathe"}); err != nil {
			t.Fatal(err)
		}

		now := d.clock.Now()
		d, set := d.corrected(t)
		if set.Fenced || set.Ahead != 3 || set.Epoch != 2 || len(set.Licenses) != 1 || set.Licenses[0] != began.p.License {
			t.Errorf("%+v", set)
		}
		if held, _, live := d.held(t, "seats"); held != 3 || live != 2 {
			t.Errorf("%d units are in use by %d live leases, want the borrowed one counted again", held, live)
		}
		granted := 0
		for n := range 5 {
			g, err := d.Acquire(t.Context(), d.p, ask("seats", 10+n))
			if err != nil {
				t.Fatal(err)
			}
			if g.Lease != nil {
				granted++
			}
		}
		if granted != 2 {
			t.Errorf("%d units were granted with 3 of 5 in use", granted)
		}

		// A holder that is online renews, and its unit ends with its new document.
		r, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: later.Lease.ID, Generation: 1, Nonce: "nonce-of-later"})
		if err != nil {
			t.Fatal(err)
		}
		v, err := license.NewVerifier(d.ledger.Ring.Issuer(testEnv), "lathe", d.ledger.Ring.RootSet(testEnv))
		if err == nil {
			v, err = v.WithKeySet(d.ledger.Ring.KeySet(testEnv), now.Unix())
		}
		if err != nil {
			t.Fatal(err)
		}
		was, err := v.Lease(later.Document, later.Lease.Granted.Unix())
		if err != nil {
			t.Fatal(err)
		}
		is, err := v.Lease(r.Document, now.Unix())
		if err != nil {
			t.Fatal(err)
		}
		if err := is.MayReplace(was); err != nil || is.Expires > now.Unix()+5000 || !r.Lease.Due.Before(now.Add(2*time.Hour)) {
			t.Errorf("the document ends at %d, but the unit is free at %v: %v", is.Expires, r.Lease.Due, err)
		}
		if _, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: user.Lease.ID, Generation: 1, Nonce: "nonce-of-user"}); err != nil {
			t.Errorf("a lease without end: %v", err)
		}

		// A holder that is offline may use its document until the time in it.
		d.clock.pass(2 * time.Hour)
		if held, _, _ := d.sweptHeld(t, "seats"); held != 2 {
			t.Errorf("two hours later %d units are in use, want the borrowed one and that of the missing holder", held)
		}
		d.clock.pass(borrowed.Lease.Due.Sub(d.clock.Now()))
		if held, _, _ := d.sweptHeld(t, "seats"); held != 1 {
			t.Errorf("after the end of the borrowed lease, %d units are in use", held)
		}
		d.clock.pass(gone.Lease.Due.Sub(d.clock.Now()))
		if held, _, _ := d.sweptHeld(t, "seats"); held != 0 {
			t.Errorf("after the end of all leases, %d units are in use", held)
		}
	})
}

func (d *testAuthority) sweptHeld(t *testing.T, pool string) (counter, summed, live int64) {
	t.Helper()
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d.held(t, pool)
}

func TestSettingTheClockBackFencesWhatIsForgotten(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		aheadAuthority(t, d, 30*24*time.Hour)
		if err := note(t.Context(), d.Authority, d.p.License, "lse_x"); err != nil {
			t.Fatal(err)
		}
		d.clock.pass(3 * 24 * time.Hour)
		if err := note(t.Context(), d.Authority, d.p.License, "lse_y"); err != nil {
			t.Fatal(err)
		}
		d, set := d.corrected(t)
		if !set.Fenced {
			t.Fatalf("%+v", set)
		}
		if _, err := d.Acquire(t.Context(), d.p, ask("seats", 1)); licensing.CodeOf(err) != licensing.Unavailable {
			t.Errorf("a newcomer gets a seat: %v", err)
		}
		if g := d.acquire(t, ask("users", 1)); g.Lease == nil { // nothing of these pools can have been forgotten
			t.Errorf("%+v", g.Decision)
		}
		d.clock.pass(26 * time.Hour)
		if g := d.acquire(t, ask("seats", 1)); g.Lease == nil {
			t.Errorf("after all leases could have ended: %+v", g.Decision)
		}
	})
}

func TestSettingTheClockBackIsRecordedAndGoesOn(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		config := ledger.Config{DB: d.ledger.DB, Ring: signing.NewRing(d.ledger.Ring.Sealing()), Now: d.clock.Now, Machine: d.clock.machine()}
		if _, err := recovery.SetClockBack(t.Context(), config, "nothing is wrong"); licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("set back unnecessarily: %v", err)
		}
		if _, err := recovery.SetClockBack(t.Context(), config, ""); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("set back without a reason: %v", err)
		}
		aheadAuthority(t, d, 400*24*time.Hour)
		for range 3 {
			if _, err := d.Acquire(t.Context(), d.p, ask("queue", 1)); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Acquire(t.Context(), d.p, ask("none", 2)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.RevokeLicense(t.Context(), access.System(testEnv, "test"), d.p.License, v1.RevokeRequest{Reason: "fraud"}); err != nil {
			t.Fatal(err)
		}
		d, set := d.corrected(t)
		if got := d.ledger.DB.Latest(); got.After(d.clock.Now()) || set.To.After(d.clock.Now()) {
			t.Errorf("it is %v, want %v", got, d.clock.Now())
		}
		err := d.ledger.View(t.Context(), func(tx *store.Tx) error {
			list, err := tx.Revocations(t.Context(), testEnv, tx.Now())
			if err != nil || len(list) != 1 || list[0].At.After(tx.Now()) {
				t.Errorf("revocations %+v, %v", list, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := d.Validate(t.Context(), d.p, documents.ValidateRequest{Product: "lathe"}); err != nil || v.Decision.Code != license.CodeRevoked {
			t.Errorf("%+v, %v", v.Decision, err)
		}
		report, err := d.ledger.VerifyLog(t.Context(), owner())
		if err != nil || !report.Whole() {
			t.Errorf("the log: %+v, %v", report.Findings, err)
		}
		for _, kind := range []string{licensing.ClockSetBack, licensing.EpochRaised, licensing.DenialsCounted} {
			if list, err := d.ledger.LogEntries(t.Context(), owner(), ledger.LogFilter{Type: kind}, request.PageOf{}); err != nil || len(list.Items) != 1 {
				t.Errorf("%d entries of %s, %v", len(list.Items), kind, err)
			}
		}
		if _, err := recovery.SetClockBack(t.Context(), ledger.Config{DB: d.ledger.DB, Ring: signing.NewRing(d.ledger.Ring.Sealing()), Now: d.clock.Now, Machine: d.clock.machine()}, "again"); licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("set back twice: %v", err)
		}
	})
}

// TestAServerThatRunsOnAfterTheClockWasSetBackEnds checks that a server that was not stopped ends
// at its next write, and does not restore the wrong time.
func TestAServerThatRunsOnAfterTheClockWasSetBackEnds(t *testing.T) {
	url := storetest.PostgresURL(t)
	d := newTestAuthority(t, connect(t, url))
	aheadAuthority(t, d, 24*time.Hour)
	tool := connect(t, url)
	tool.Now = d.clock.Now
	config := ledger.Config{DB: tool, Ring: signing.NewRing(d.ledger.Ring.Sealing()), Now: d.clock.Now, Machine: d.clock.machine()}
	if _, err := recovery.SetClockBack(t.Context(), config, "ntp"); err != nil {
		t.Fatal(err)
	}
	d.clock.pass(2 * time.Second)
	_ = d.ledger.DB.Update(t.Context(), func(*store.Tx) error { return nil })
	select {
	case <-d.ledger.DB.Fatal():
	default:
		t.Error("it goes on")
	}
	again := connect(t, url)
	if got := again.Mark(); got.After(d.clock.Now()) {
		t.Errorf("the mark is %v", got)
	}
}
