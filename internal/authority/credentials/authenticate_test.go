package credentials

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/licensing"
)

func keyProof(n int) proof {
	return proof{kind: access.KindLicense, digest: access.Hash(fmt.Sprint("key ", n)), env: "production"}
}

func allowed() error { return nil }

// Callers that show the same credential at the same time cost one lookup, whether it is good or
// not. After a restart of a server all programs come at once.
func TestCallersWithOneCredentialShareALookup(t *testing.T) {
	for owner, code := range map[string]licensing.Code{"lic_1": "", "": licensing.Unauthenticated} {
		synctest.Test(t, func(t *testing.T) {
			m := newAuthentication(1 << 20)
			var loads atomic.Int32
			let := make(chan struct{})
			var callers sync.WaitGroup
			for range 50 {
				callers.Go(func() {
					_, err := m.once(t.Context(), keyProof(1), time.Now(), time.Now, allowed, func(context.Context) (identity, error) {
						loads.Add(1)
						<-let
						return identity{owner: owner}, nil
					})
					if got := licensing.CodeOf(err); err != nil != (code != "") || err != nil && got != code {
						t.Errorf("owner %q: %v", owner, err)
					}
				})
			}
			synctest.Wait()
			close(let)
			callers.Wait()
			if n := loads.Load(); n != 1 {
				t.Errorf("owner %q: %d lookups for 50 callers", owner, n)
			}
		})
	}
}

// A credential that ends while it is looked up is looked up again, and a caller that comes after
// its end never gets what was read before.
func TestACredentialThatEndsDuringItsLookupIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newAuthentication(1 << 20)
		let := make(chan struct{})
		ended := false
		load := func(context.Context) (identity, error) {
			read := identity{owner: "tok_1"}
			if ended {
				read = identity{}
			}
			<-let
			return read, nil
		}
		ask := func(answer chan<- error) {
			_, err := m.once(t.Context(), keyProof(1), time.Now(), time.Now, allowed, load)
			answer <- err
		}
		first, second := make(chan error, 1), make(chan error, 1)
		go ask(first)
		synctest.Wait()
		ended = true
		m.forget("tok_1", time.Now())
		go ask(second)
		synctest.Wait()
		close(let)
		if err := <-second; licensing.CodeOf(err) != licensing.Unauthenticated {
			t.Errorf("a caller that came after the end: %v", err)
		}
		<-first
		if _, err := m.once(t.Context(), keyProof(1), time.Now(), time.Now, allowed, load); licensing.CodeOf(err) != licensing.Unauthenticated {
			t.Errorf("the next caller: %v", err)
		}
	})
}

// What was forgotten stays so after the list of ended owners was emptied, even if the clock goes back.
func TestAForgottenCredentialIsNotBelievedAfterASweep(t *testing.T) {
	m := newAuthentication(1 << 20)
	now := time.Unix(1_800_000_000, 0)
	m.forget("lic_first", now)
	loads := map[int]int{}
	ask := func(n int, at time.Time) {
		t.Helper()
		_, err := m.once(t.Context(), keyProof(n), at, func() time.Time { return at }, allowed, func(context.Context) (identity, error) {
			loads[n]++
			return identity{owner: fmt.Sprint("lic_", n)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	asked := func(stage string, first, others int) {
		t.Helper()
		for n := range 20 {
			ask(n, now)
			want := others
			if n < 10 {
				want = first
			}
			if loads[n] != want {
				t.Errorf("%s: credential %d was looked up %d times, not %d", stage, n, loads[n], want)
			}
		}
	}
	asked("first", 1, 1)
	asked("again", 1, 1)
	for n := range 10 {
		m.forget(fmt.Sprint("lic_", n), now)
	}
	asked("forgotten", 2, 1)
	for n := range 10 {
		m.forget(fmt.Sprint("lic_", n), now)
	}
	m.forget("lic_other", now.Add(time.Hour))
	if len(m.ended) != 0 {
		t.Errorf("%d ended owners are left after a sweep", len(m.ended))
	}
	asked("swept", 3, 2)
}

// A key that was unknown is found as soon as it is created, also by a caller that waits for a
// lookup which began before.
func TestANewKeyIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newAuthentication(1 << 20)
		pr := keyProof(1)
		let := make(chan struct{})
		created := false
		load := func(context.Context) (identity, error) {
			var read identity
			if created {
				read = identity{owner: "lic_1"}
			}
			<-let
			return read, nil
		}
		answers := make(chan error, 2)
		ask := func() {
			_, err := m.once(t.Context(), pr, time.Now(), time.Now, allowed, load)
			answers <- err
		}
		go ask()
		synctest.Wait()
		created = true
		m.expect(pr.env, pr.digest)
		close(let)
		<-answers
		go ask()
		if err := <-answers; err != nil {
			t.Errorf("a caller with the new key: %v", err)
		}
	})
}

// A credential that is known is not made to wait for those that are refused. One that is not known is.
func TestOnlyUnknownCredentialsWaitForTheRefused(t *testing.T) {
	m := newAuthentication(1 << 20)
	now := time.Unix(1_800_000_000, 0)
	refused := errors.New("too many were refused")
	refuse := func() error { return refused }
	load := func(context.Context) (identity, error) { return identity{owner: "lic_1"}, nil }
	if _, err := m.once(t.Context(), keyProof(1), now, time.Now, refuse, load); !errors.Is(err, refused) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := m.once(t.Context(), keyProof(1), now, time.Now, allowed, load); err != nil {
		t.Fatal(err)
	}
	if _, err := m.once(t.Context(), keyProof(1), now.Add(time.Hour), time.Now, refuse, load); err != nil {
		t.Errorf("known, and looked up again: %v", err)
	}
}

func TestCredentialsInMemoryAreBoundedByBytes(t *testing.T) {
	const budget = 1 << 20
	m := newAuthentication(budget)
	for n := range 20_000 {
		_, err := m.once(t.Context(), keyProof(n), time.Unix(1_800_000_000, 0), time.Now, allowed, func(context.Context) (identity, error) {
			return identity{owner: fmt.Sprint("lic_", n)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if u := m.known.Usage(); u.Bytes > budget || u.Entries < 1000 {
		t.Errorf("%d bytes for %d entries; the budget is %d", u.Bytes, u.Entries, budget)
	}
	if share := cache.Budget(0).Share(identityShare); share <= budget {
		t.Errorf("by default credentials have only %d bytes", share)
	}
}
