package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// Sizes of the trial data.
const (
	maxBenchLicenses  = 1_000_000
	benchPart         = 1000 // licenses imported in one request; all of one part are done before the next
	benchPerCustomer  = 20   // licenses of one customer
	benchTokenEvery   = 5    // one customer in this many has a token
	benchUsageEvents  = 8    // of each license with a meter
	benchCustomerMark = "bench_licenses"
)

// A benchSet names the trial data of one seed. The same seed and number always make the same
// license, apart from its dates, which are relative to the day of the run.
type benchSet struct{ seed uint32 }

// reference returns the reference of a license, which is also its license key. Numbers begin at 0.
func (s benchSet) reference(number int) string { return fmt.Sprintf("bench-%d-%06d", s.seed, number) }

// customer returns the reference of the customer that has a license.
func (s benchSet) customer(number int) string {
	return fmt.Sprintf("bench-%d-customer-%05d", s.seed, number/benchPerCustomer)
}

// A benchState is what happens to a license after its programs have used it.
type benchState string

const (
	benchActive    benchState = ""
	benchExpired   benchState = "expired" // its term ended before the run
	benchSuspended benchState = "suspend"
	benchRevoked   benchState = "revoke"
)

// A benchLicense is one license of the trial data and what its programs do.
type benchLicense struct {
	reference     string
	plan, edition string
	payment       string
	start         time.Time
	state         benchState
	acquires      []v1.AcquireBody
	usage         []v1.UsageEvent
}

// license returns a license of the set. Of 1,000 licenses, about 30 have expired, 15 are suspended,
// 5 are revoked and 50 are unpaid. A license has 1.1 leases, 4.8 usage events and 0.2 denials on
// average.
func (s benchSet) license(number int, today time.Time) benchLicense {
	random := rand.New(rand.NewPCG(uint64(s.seed), uint64(number)))
	l := benchLicense{reference: s.reference(number), payment: "paid", start: today.AddDate(0, 0, -1-random.IntN(360))}
	switch n := random.IntN(1000); {
	case n < 30:
		l.state, l.start = benchExpired, l.start.AddDate(-1, 0, -10)
	case n < 45:
		l.state = benchSuspended
	case n < 50:
		l.state = benchRevoked
	case n < 100:
		l.payment = "unpaid"
	}
	switch n := random.IntN(100); {
	case n < 20:
		l.plan = "bench-solo"
		l.acquire("seats", "user", 2) // the second one is denied
	case n < 50:
		l.plan, l.edition = "bench-studio", []string{"basic", "pro"}[random.IntN(2)]
		l.acquire("seats", "user", 1)
		l.use("renders", random)
	case n < 60:
		l.plan = "bench-desk"
		l.acquire("machines", "machine", 1)
	case n < 70:
		l.plan = "bench-crew"
		l.acquire("users", "user", 2)
	default:
		l.plan = "bench-cloud"
		l.acquire("services", "workload", 1)
		l.use("calls", random)
	}
	return l
}

// acquire adds requests for a unit of a pool, each from another holder.
func (l *benchLicense) acquire(pool, kind string, holders int) {
	for n := range holders {
		name := fmt.Sprintf("%s-%s-%d", l.reference, kind, n+1)
		holder := v1.HolderBody{Kind: kind, ID: name}
		if kind == "machine" {
			holder.Components = map[string]string{}
			for _, component := range []string{license.ComponentBoard, license.ComponentDrive, license.ComponentNetwork} {
				sum := sha256.Sum256([]byte(name + " " + component))
				holder.Components[component] = hex.EncodeToString(sum[:])
			}
		}
		l.acquires = append(l.acquires, v1.AcquireBody{RequestID: name, Pool: pool, Holder: holder,
			CallerBody: v1.CallerBody{Service: "bench", Version: "1.0.0", Instance: name, Region: "bench"}})
	}
}

// use adds usage events on a meter.
func (l *benchLicense) use(meter string, random *rand.Rand) {
	for n := range benchUsageEvents {
		l.usage = append(l.usage, v1.UsageEvent{
			ID: fmt.Sprintf("%s-usage-%d", l.reference, n+1), Meter: meter, Quantity: license.IntValue(1 + random.Int64N(20)),
		})
	}
}

// row returns the license as a row of an import file.
func (l benchLicense) row(customer string) map[string]string {
	return map[string]string{
		"key": l.reference, "customer": "ref:" + customer, "plan": l.plan, "edition": l.edition,
		"start": l.start.Format(time.DateOnly), "reference": l.reference, "payment": l.payment,
	}
}
