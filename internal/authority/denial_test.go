package authority

import (
	"strconv"
	"testing"
	"time"

	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/license"
)

// TestADenialIsTheFirstOfItsSession checks the log across the end of a minute, two servers and a
// restart. A session belongs to one license, pool, holder and code, and ends fifteen minutes after
// its last denial.
func TestADenialIsTheFirstOfItsSession(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		rev, err := licensing.NewRevision(testPlan())
		if err != nil {
			t.Fatal(err)
		}
		other := &testAuthority{a.Authority, a.issue(t, rev), a.clock}
		for n := range 5 {
			a.acquire(t, ask("users", n))
			other.acquire(t, ask("users", n))
		}
		tries := 0
		denied := func(d *testAuthority, pool string, holder, want int) {
			t.Helper()
			tries++
			q := ask(pool, holder)
			q.RequestID = "try-" + strconv.Itoa(tries)
			if g := d.acquire(t, q); g.Decision.Outcome != license.Denied {
				t.Fatalf("%+v", g.Decision)
			}
			if n := len(a.entriesOf(t, licensing.DenialFirst)); n != want {
				t.Errorf("%d first denials after try %d, want %d", n, tries, want)
			}
		}
		const gap, almost = 15 * time.Minute, 15*time.Minute - time.Second
		a.clock.pass(time.Minute - time.Duration(a.clock.Now().Second()+1)*time.Second)
		denied(a, "users", 8, 1)
		a.clock.pass(2 * time.Second) // into the next minute
		denied(a, "users", 8, 1)
		denied(b, "users", 8, 1)
		a.clock.pass(almost)
		denied(b, "users", 8, 1)
		a.clock.pass(almost)
		denied(b.beside(t, b.ledger.DB), "users", 8, 1)
		denied(a, "users", 9, 2)        // another holder
		denied(other, "users", 8, 3)    // another license
		denied(a, "no-such-pool", 8, 4) // another pool
		if _, err := a.SuspendLicense(t.Context(), owner(), a.p.License, "unpaid"); err != nil {
			t.Fatal(err)
		}
		denied(a, "users", 8, 5) // another code
		if _, err := a.ReinstateLicense(t.Context(), owner(), a.p.License, "paid"); err != nil {
			t.Fatal(err)
		}
		denied(a, "users", 8, 5)
		if err := a.Forget(t.Context()); err != nil { // deletes no active session
			t.Fatal(err)
		}
		denied(b, "users", 8, 5)
		a.clock.pass(gap)
		denied(b, "users", 8, 6)
	})
}

// TestServersAgreeOnTheFirstDenial denies the same request on two servers at once, before and after
// the end of a minute. No pool lock orders these requests.
func TestServersAgreeOnTheFirstDenial(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		for round := range 10 {
			a.clock.pass(licensing.SessionGap + time.Minute - time.Duration(a.clock.Now().Second())*time.Second - time.Millisecond)
			parallel(8, func(n int) {
				if n == 4 {
					a.clock.pass(2 * time.Millisecond)
				}
				q := ask("no-such-pool", 1)
				q.RequestID = "race-" + strconv.Itoa(round) + "-" + strconv.Itoa(n)
				if _, err := []*testAuthority{a, b}[n%2].Acquire(t.Context(), a.p, q); err != nil {
					t.Error(err)
				}
			})
			if n := len(a.entriesOf(t, licensing.DenialFirst)); n != round+1 {
				t.Fatalf("%d first denials after %d sessions", n, round+1)
			}
		}
	})
}

// TestASessionIsOfEverythingThatIdentifiesIt checks that every part of the key matters, and that
// one list of denials begins a session only once.
func TestASessionIsOfEverythingThatIdentifiesIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		at := time.Unix(1_800_000_000, 0)
		denial := func(env licensing.Env, id licensing.LicenseID, pool, holder, code string, after time.Duration) store.Denial {
			return store.Denial{PoolKey: store.PoolKey{Env: env, License: id, Name: pool}, Holder: holder, Code: code, At: at.Add(after), Times: 1}
		}
		put := func(all ...store.Denial) (first map[int]bool) {
			t.Helper()
			err := db.Update(t.Context(), func(tx *store.Tx) (err error) {
				first, err = tx.PutSessions(t.Context(), all)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return first
		}
		known := denial("production", "lic_1", "seats", "ada", "pool_full", 0)
		if first := put(known, known); !first[0] || first[1] {
			t.Errorf("the first of two: %v", first)
		}
		first := put(known,
			denial("staging", "lic_1", "seats", "ada", "pool_full", 0), denial("production", "lic_2", "seats", "ada", "pool_full", 0),
			denial("production", "lic_1", "users", "ada", "pool_full", 0), denial("production", "lic_1", "seats", "bob", "pool_full", 0),
			denial("production", "lic_1", "seats", "ada", "recalled", 0))
		if first[0] || len(first) != 5 {
			t.Errorf("the first of their sessions: %v", first)
		}
		if first := put(denial("production", "lic_1", "seats", "ada", "pool_full", licensing.SessionGap-time.Microsecond)); first[0] {
			t.Error("a session ended before its gap")
		}
		if first := put(denial("production", "lic_1", "seats", "ada", "pool_full", 2*licensing.SessionGap)); !first[0] {
			t.Error("a session continues after its gap")
		}
	})
}

// TestADenialCarriesItsRequestID checks that the answer, the signed reply, the log and why name the
// same request, for every kind of request and for first and later denials.
func TestADenialCarriesItsRequestID(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("soft", 1))
		mine := g.Lease
		renewed := func(generation int64, nonce string) license.Decision {
			r, err := d.Renew(request.WithCall(t.Context(), d.ledger.NewCall()), d.p, granting.RenewalRequest{Lease: mine.ID, Generation: generation, Nonce: nonce})
			if err != nil {
				t.Fatal(err)
			}
			return r.Decision
		}
		renewed(1, "the-holder")
		tries := 0
		for _, of := range []struct {
			kind, subject string
			deny          func(call string) license.Decision
		}{
			{"acquire", "", func(call string) license.Decision {
				q := ask("soft", 2)
				tries++
				q.RequestID = "acquire-" + strconv.Itoa(tries)
				g, err := d.Acquire(request.WithCall(t.Context(), call), d.p, q)
				if err != nil {
					t.Fatal(err)
				}
				return g.Decision
			}},
			{"renew", string(mine.ID), func(call string) license.Decision {
				r, err := d.Renew(request.WithCall(t.Context(), call), d.p, granting.RenewalRequest{Lease: mine.ID, Generation: 1, Nonce: "a-copy-of-it"})
				if err != nil {
					t.Fatal(err)
				}
				return r.Decision
			}},
			{"usage", "", func(call string) license.Decision {
				tries++
				r, err := d.Usage(request.WithCall(t.Context(), call), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: "event-" + strconv.Itoa(tries), Meter: "none", Quantity: "1"}}})
				if err != nil {
					t.Fatal(err)
				}
				return r.Results[0].Decision
			}},
			{"validate", "", func(call string) license.Decision {
				v, err := d.Validate(request.WithCall(t.Context(), call), d.p, documents.ValidateRequest{Product: "mill", Holder: "host-1"})
				if err != nil {
					t.Fatal(err)
				}
				return v.Decision
			}},
		} {
			first, again := d.ledger.NewCall(), d.ledger.NewCall()
			for _, call := range []string{first, again} {
				if got := of.deny(call); got.Code == license.CodeOK || got.RequestID != call {
					t.Errorf("%s: %+v", of.kind, got)
				}
			}
			if err := d.StoreRepeats(t.Context()); err != nil {
				t.Fatal(err)
			}
			entry := d.entriesOf(t, licensing.DenialFirst)[0]
			if entry.Call != first || entry.Subject != of.subject {
				t.Errorf("%s: the entry is %+v, want request %s of %q", of.kind, entry, first, of.subject)
			}
			for _, call := range []string{first, again} {
				why, err := d.Explain(t.Context(), owner(), call)
				if err != nil || why.Repeated != (call == again) || why.Decision.Code == license.CodeOK || why.License != d.p.License {
					t.Errorf("%s %s: %+v, %v", of.kind, call, why, err)
				}
			}
		}
		// A request without an id gets one.
		q := ask("soft", 3)
		g, err := d.Acquire(t.Context(), d.p, q)
		if err != nil || g.Decision.RequestID == "" {
			t.Fatalf("%+v, %v", g.Decision, err)
		}
		if why, err := d.Explain(t.Context(), owner(), g.Decision.RequestID); err != nil || why.Holder != q.Holder.ID {
			t.Errorf("%+v, %v", why, err)
		}
	})
}
