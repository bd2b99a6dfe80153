package authority

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store/storetest"
)

// TestBothEnginesDecideTheSame plays one sequence of requests on each engine.
func TestBothEnginesDecideTheSame(t *testing.T) {
	const seed = 20261122
	lite, pg := play(t, newTestAuthority(t, storetest.SQLite(t)), seed), play(t, newTestAuthority(t, storetest.Postgres(t)), seed)
	for i := range lite {
		if lite[i] != pg[i] {
			t.Fatalf("step %d: SQLite says %s, PostgreSQL %s", i, lite[i], pg[i])
		}
	}
}

// play does random actions and returns the result of each.
func play(t *testing.T, d *testAuthority, seed uint64) []string {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	pools := []string{"seats", "shared", "queue", "over", "soft", "users"}
	leases := map[string]*licensing.Lease{}
	var said []string
	for step := range 400 {
		pool, n := pools[random.IntN(len(pools))], random.IntN(8)
		name := fmt.Sprint(pool, n)
		what := ""
		switch random.IntN(6) {
		case 0, 1:
			q := ask(pool, n)
			q.RequestID = fmt.Sprint("step", step/(1+random.IntN(2)), pool, n)
			g, err := d.Acquire(t.Context(), d.p, q)
			what = fmt.Sprint("acquire ", name, " ", licensing.CodeOf(err), g.Decision.Code, g.Decision.Held)
			if g.Lease != nil {
				leases[name] = g.Lease
				what += fmt.Sprint(" ", g.Lease.Generation)
			}
		case 2:
			if l := leases[name]; l != nil {
				g, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: l.ID, Generation: l.Generation, Nonce: fmt.Sprint("nonce-of-", step)})
				what = fmt.Sprint("renew ", name, " ", licensing.CodeOf(err), g.Decision.Code)
				if g.Lease != nil {
					leases[name] = g.Lease
				}
			}
		case 3:
			if l := leases[name]; l != nil {
				r, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: l.ID, Generation: l.Generation})
				what = fmt.Sprint("release ", name, " ", licensing.CodeOf(err), r.FreeAt.IsZero())
			}
		case 4:
			r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: fmt.Sprint("e", random.IntN(20)), Meter: "calls", Quantity: fmt.Sprint(1 + random.IntN(2))}}})
			for i := range r.Results {
				r.Results[i].Decision.RequestID = "" // each server makes its own
			}
			for i := range r.Results { // each server's own
				r.Results[i].Decision.RequestID = ""
			}
			what = fmt.Sprint("usage ", licensing.CodeOf(err), r.Results)
		case 5:
			d.clock.pass(time.Duration(random.IntN(900)) * time.Second)
			what = fmt.Sprint("sweep ", d.Sweep(t.Context()))
		}
		counter, charged, live := d.held(t, pool)
		if counter < charged {
			t.Fatalf("step %d (%s): the pool counts %d, leases %d", step, what, counter, charged)
		}
		said = append(said, strings.ReplaceAll(fmt.Sprint(what, " ", counter, charged, live), string(d.p.License), "license"))
	}
	return said
}
