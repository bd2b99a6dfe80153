package authority

import (
	"fmt"
	"testing"
	"time"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/sdk/license"
)

// again starts a server on d's database with the data folder dir.
func (d *testAuthority) again(t *testing.T, dir string) *testAuthority {
	t.Helper()
	other := &testAuthority{clock: d.clock, p: d.p}
	other.Authority = New(ledger.Config{DB: d.ledger.DB, Ring: signing.NewRing(d.ledger.Ring.Sealing()), Dir: dir, Now: d.clock.Now, Machine: d.clock.machine()})
	t.Cleanup(other.Close)
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return other
}

// TestARolledBackDatabaseRenewsAndGrantsNothingNew starts a server whose data folder remembers more
// of the log than its database contains.
func TestARolledBackDatabaseRenewsAndGrantsNothingNew(t *testing.T) {
	each(t, func(t *testing.T, before *testAuthority) {
		g := before.acquire(t, ask("seats", 1))
		if err := before.ledger.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		head := *before.ledger.Head(testEnv)
		head.Size += 10
		dir := t.TempDir()
		seen := ledger.Witness{Dir: dir}
		if err := seen.Begin(deploymentOf(t, before.Authority), 1, map[licensing.Env]*license.Head{testEnv: &head}); err != nil {
			t.Fatal(err)
		}
		d := before.again(t, dir)
		fenced := func(pool string, n int) {
			t.Helper()
			q := ask(pool, n)
			if g, err := d.Acquire(t.Context(), d.p, q); licensing.CodeOf(err) != licensing.Unavailable {
				t.Fatalf("after %v a newcomer in %s gets %+v, %v: want unavailable", d.clock.Now().Sub(d.ledger.FencedSince(testEnv)), pool, g.Decision, err)
			}
		}
		if again := d.acquire(t, ask("seats", 1)); again.Lease == nil || again.Lease.ID != g.Lease.ID {
			t.Errorf("a holder whose answer was lost asks again: %+v", again.Decision)
		}
		// The longest lease of the pool is borrowed for a day, plus its grace.
		for n := range int64(25) {
			fenced("seats", int(100+n))
			r, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: n + 1, Nonce: fmt.Sprint("nonce-of-", n)})
			if err != nil || r.Lease == nil {
				t.Fatalf("renewal %d: %v %+v", n, err, r.Decision)
			}
			d.clock.pass(time.Hour)
		}
		d.clock.pass(d.ledger.Skew - time.Second)
		fenced("seats", 200)
		d.clock.pass(time.Second)
		if g := d.acquire(t, ask("seats", 201)); g.Lease == nil {
			t.Errorf("after the longest lease has ended: %+v", g.Decision)
		}
		fenced("users", 1) // their documents last longer
		d = d.again(t, dir)
		fenced("users", 2) // a restart does not end a fence
		documents := licensing.DefaultDocuments()
		d.clock.pass((documents.Life + documents.Grace).Duration())
		if g := d.acquire(t, ask("users", 3)); g.Lease == nil {
			t.Errorf("after the longest document has ended: %+v", g.Decision)
		}
	})
}
