package authority

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// TestACheckSaysWhatAnAcquireWould checks before each acquire of a random sequence, and again
// behind the fence of a server that lost part of it.
func TestACheckSaysWhatAnAcquireWould(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		random := rand.New(rand.NewPCG(20261122, 0))
		leases := map[string]granting.Granted{}
		d.askTwice(t, random, leases, 120)
		archive := d.backup(t)
		d.askTwice(t, random, leases, 60)
		lost := d.rolledBack(t, archive, t.TempDir())
		if refused := lost.askTwice(t, random, leases, 60); refused < 20 {
			t.Errorf("%d checks were refused by the fence", refused)
		}
		for _, name := range slices.Sorted(maps.Keys(leases)) { // a holder that presents its document is certainly using its units
			if again, err := lost.keep(t, leases[name], "nonce-of-a-kept", true); err == nil && again.Lease != nil {
				leases[name] = again
			}
		}
		if refused := lost.askTwice(t, random, leases, 120); refused == 0 || refused == 120 {
			t.Errorf("%d checks were refused by the fence", refused)
		}
	})
}

// askTwice checks and acquires, and fails if the results differ. It returns how many were refused
// as unavailable.
func (d *testAuthority) askTwice(t *testing.T, random *rand.Rand, leases map[string]granting.Granted, steps int) (unavailable int) {
	t.Helper()
	pools := []string{"seats", "shared", "over", "soft", "users", "machines", "queue"}
	for step := range steps {
		q := ask(pools[random.IntN(len(pools))], random.IntN(4))
		if q.Pool == "machines" {
			n := random.IntN(7)
			q = machine(n)
			if random.IntN(3) == 0 {
				q.Holder.ID = fmt.Sprint("renamed-", n)
			}
			for _, part := range []string{"disk", "cpu"}[:random.IntN(12)/4] { // without both, it is a different machine
				q.Holder.Components[part] = fmt.Sprint("new-", n)
			}
		}
		q.RequestID = fmt.Sprint("step-", d.clock.Now().UnixNano(), "-", step)
		q.Instance = fmt.Sprint("instance-", random.IntN(2))
		q.Units = int64(1 + random.IntN(5)/4*random.IntN(6))
		c, refused := d.Check(t.Context(), d.p, granting.CheckRequest{Pool: q.Pool, Units: q.Units, Holder: q.Holder, Caller: licensing.Caller{Instance: q.Instance}})
		g, err := d.Acquire(t.Context(), d.p, q)
		if refused != nil || err != nil {
			if fmt.Sprint(refused) != fmt.Sprint(err) || licensing.CodeOf(refused) != licensing.CodeOf(err) {
				t.Fatalf("%+v: checked %v (%+v), acquired %v (%+v)", q, refused, c.Decision, err, g.Decision)
			}
			if licensing.CodeOf(err) == licensing.Unavailable {
				unavailable++
			}
		} else if !reflect.DeepEqual(told(c.Decision), told(g.Decision)) {
			t.Fatalf("%+v: checked %+v, acquired %+v", q, c.Decision, g.Decision)
		}
		if g.Lease != nil {
			leases[q.Pool+q.Holder.ID+g.Lease.Instance] = g
		}
		switch random.IntN(6) {
		case 0:
			d.clock.pass(time.Duration(random.IntN(1200)) * time.Second)
		case 1:
			for _, name := range slices.Sorted(maps.Keys(leases))[:min(1, len(leases))] {
				l := leases[name].Lease
				_, _ = d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: l.ID, Generation: l.Generation})
				delete(leases, name)
			}
		}
	}
	return unavailable
}

// told returns the part of a decision that check and acquire share. Only an acquire looks up
// holders and free times, and only a recorded denial has an id.
func told(d license.Decision) license.Decision {
	d.FreeAt, d.Holders, d.RequestID = 0, nil, ""
	return d
}

// TestACheckSeesWhoIsNextInTheQueue checks when a unit is due and another holder is waiting for it.
func TestACheckSeesWhoIsNextInTheQueue(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		due := d.acquire(t, ask("queue", 1)).Lease.Due
		next := ask("queue", 2)
		for d.acquire(t, next); d.clock.Now().Add(20 * time.Second).Before(due); d.acquire(t, next) {
			d.clock.pass(20 * time.Second)
		}
		d.clock.pass(due.Sub(d.clock.Now()))
		q := ask("queue", 3)
		c, err := d.Check(t.Context(), d.p, granting.CheckRequest{Pool: q.Pool, Holder: q.Holder, Caller: licensing.Caller{Instance: q.Instance}})
		if err != nil {
			t.Fatal(err)
		}
		if g := d.acquire(t, q); !reflect.DeepEqual(told(c.Decision), told(g.Decision)) {
			t.Errorf("checked %+v, acquired %+v", c.Decision, g.Decision)
		}
		if g := d.acquire(t, next); g.Lease == nil {
			t.Errorf("the next in the queue gets %+v", g.Decision)
		}
	})
}

// TestAProgramThatChecksIsSeen checks that a check is remembered in memory, like a validation.
func TestAProgramThatChecksIsSeen(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		if _, err := d.Check(t.Context(), d.p, granting.CheckRequest{Pool: "seats", Caller: mill("1.0")}); err != nil {
			t.Fatal(err)
		}
		seen, err := d.Programs(t.Context(), access.System(testEnv, "test"), d.p.License)
		if err != nil || len(seen) != 1 || seen[0].Caller != mill("1.0") {
			t.Errorf("%+v, %v", seen, err)
		}
		_, err = d.Check(t.Context(), d.p, granting.CheckRequest{Pool: "seats", Caller: licensing.Caller{Service: "a\x00b"}})
		if licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("%v", err)
		}
	})
}
