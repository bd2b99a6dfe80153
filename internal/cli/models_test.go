package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// combined is one plan that combines every licensing model.
const combined = `
product: lathe
plan: combined
term: {length: 1y, grace: 3d}
edition: pro
editions:
  pro: {features: {simulate: true}}
features: {export: true, max_layers: 50, preview: {value: true, for: 1d}}
fallback: {export: false, max_layers: 5}
addons:
  render: {features: {farm: true}, pools: {room: +1}}
pools:
  machines: {holder: machine, capacity: 2, lease: none, match: {need: 2, of: 3}, full: deny}
  users:    {holder: user, capacity: 2, lease: none, full: deny}
  seats:    {holder: user, capacity: 2, lease: 15m, grace: 1h, borrow: 30d, full: deny}
  line:     {holder: user, capacity: 1, lease: 15m, grace: 1h, full: queue}
  cores:    {holder: workload, capacity: 8, lease: 15m, grace: 1h, full: deny}
  spare:    {holder: user, capacity: 1, lease: 15m, grace: 1h, full: fallback}
  over:     {holder: user, capacity: 1, lease: 15m, grace: 1h, full: overdraft, overdraft: {units: 1, for: 7d}}
  room:     {holder: user, capacity: 1, lease: 15m, grace: 1h, full: deny}
  extra:    {holder: user, capacity: 1, lease: 15m, grace: 1h, full: deny}
meters:
  calls: {unit: call, quota: 3, per: month, hard: 100%, full: deny}
  hours: {unit: hour, scale: 2, quota: 1, per: month, soft: 50%, overage: allow, hard: 300%, full: deny}
documents: {life: 7d, refresh: 1d, stale: 2d, grace: 14d, fallback: 30d}
`

// trialPlan is a plan with a short term and no graces.
const trialPlan = `
product: lathe
plan: trial
term: {length: 14d, trial: true}
features: {export: true}
documents: {life: 1d, refresh: 6h, stale: 12h, grace: 0s, fallback: 0s}
`

// A counter uses one license through one face.
type counter struct {
	*shop
	face
	license licensing.LicenseID
}

// TestEachModelThroughEachFace issues a license of the combined plan for each face, and uses it
// in every licensing model.
func TestEachModelThroughEachFace(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.apply(t, combined, "new")
	s.apply(t, trialPlan, "new")
	for name, open := range s.faces(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issued := s.issue(t, v1.IssueRequest{
				Plan: "combined", Addons: []licensing.Grant{{Addon: "render", Quantity: 1}},
				Exceptions: []licensing.Exception{
					{Pool: "extra", Adjust: licensing.Adjustment{Add: true, Amount: 1}, Reason: "release week"},
					{Feature: "beta", Value: license.BoolValue(true), Until: time.Now().Add(30 * time.Second), Reason: "early access"},
				},
			})
			c := counter{s, open(t, issued.Key.Text), issued.License.ID}
			c.allows(t, "beta") // until the exception ends, which the last model waits for
			for _, m := range models {
				t.Run(m.name, func(t *testing.T) { m.use(t, c) })
			}
			trial := s.issue(t, v1.IssueRequest{Plan: "trial"})
			t.Run("trial", func(t *testing.T) {
				counter{s, open(t, trial.Key.Text), trial.License.ID}.allows(t, "export")
			})
		})
	}
}

func (s *shop) issue(t *testing.T, r v1.IssueRequest) v1.Issued {
	t.Helper()
	customer, err := s.CreateCustomer(t.Context(), s.owner, licensing.Customer{Name: "Example"})
	must(t, err)
	r.Customer = customer.ID
	issued, err := s.IssueLicense(t.Context(), s.owner, r)
	must(t, err)
	return issued
}

// faces returns functions that use a license by its key, one for each face.
func (s *shop) faces(t *testing.T) map[string]func(t *testing.T, key string) face {
	t.Helper()
	url := "http://" + s.address
	return map[string]func(t *testing.T, key string) face{
		"HTTP": func(_ *testing.T, key string) face { return bareHTTP{url, key} },
		"CLI": func(t *testing.T, key string) face {
			file := filepath.Join(t.TempDir(), "license.key")
			must(t, os.WriteFile(file, []byte(key), 0o600))
			return commandLine{url, file}
		},
		"SDK": func(t *testing.T, key string) face {
			open := func() *copyhold.Client {
				c, err := copyhold.Open(t.Context(), copyhold.Options{
					Endpoints: []string{url}, Key: key, Product: "lathe", RootSet: s.root, CacheDir: t.TempDir(), Service: "render", Version: "4.2", Region: "eu",
				})
				must(t, err)
				t.Cleanup(func() { _ = c.Close() })
				return c
			}
			return &library{open, open()}
		},
	}
}

// models are the licensing models, each as a user of the license sees it.
var models = []struct {
	name string
	use  func(t *testing.T, c counter)
}{
	{"node-locked", func(t *testing.T, c counter) {
		first := c.takes(t, machine("m1", "b1", "d1", "n1"), license.CodeOK)
		if again := c.takes(t, machine("m1", "b1", "d9", "n1"), license.CodeOK); again.id != first.id {
			t.Error("a machine with another drive counts twice")
		}
		second := c.takes(t, machine("m2", "b2", "d2", "n2"), license.CodeOK)
		c.refused(t, machine("m3", "b3", "d3", "n3"), license.CodePoolFull)
		c.release(t, second)
		c.release(t, c.takes(t, machine("m3", "b3", "d3", "n3"), license.CodeOK))
	}},
	{"named users", func(t *testing.T, c counter) {
		ann := c.takes(t, person("users", "ann"), license.CodeOK)
		if again := c.takes(t, person("users", "ann"), license.CodeOK); again.id != ann.id {
			t.Error("one person counts twice")
		}
		c.takes(t, person("users", "bob"), license.CodeOK)
		c.refused(t, person("users", "cy"), license.CodePoolFull)
	}},
	{"floating", func(t *testing.T, c counter) {
		ann, bob := c.takes(t, person("seats", "ann"), license.CodeOK), c.takes(t, person("seats", "bob"), license.CodeOK)
		if d := c.refused(t, person("seats", "cy"), license.CodePoolFull); d.Held != 2 || d.Capacity != 2 || d.FreeAt == 0 {
			t.Errorf("%+v", d)
		}
		c.listed(t, ann.id)
		c.release(t, ann)
		c.release(t, c.takes(t, person("seats", "cy"), license.CodeOK))
		c.release(t, bob)
	}},
	{"queue", func(t *testing.T, c counter) {
		first := c.takes(t, person("line", "ann"), license.CodeOK)
		served := make(chan held)
		go func() {
			waiting := person("line", "bob")
			waiting.wait = time.Minute
			h, _ := c.take(t, waiting)
			served <- h
		}()
		c.waits(t, "line")
		c.release(t, first)
		second := <-served
		if second.id == "" || second.id == first.id {
			t.Fatalf("the waiting holder got %+v", second)
		}
		c.release(t, second)
	}},
	{"borrowing", func(t *testing.T, c counter) {
		away := person("seats", "ann")
		away.length = 20 * 24 * time.Hour
		h := c.takes(t, away, license.CodeOK)
		if ends := c.listed(t, h.id).Ends; time.Until(ends) < away.length-time.Minute {
			t.Errorf("borrowed until %s", ends)
		}
		c.release(t, h)
		away.length = 40 * 24 * time.Hour
		c.refused(t, away, license.CodeBorrowTooLong)
	}},
	{"units", func(t *testing.T, c counter) {
		six := c.takes(t, cores("a", 6), license.CodeOK)
		c.refused(t, cores("b", 3), license.CodePoolFull)
		c.refused(t, cores("b", 9), license.CodeTooManyUnits)
		two := c.takes(t, cores("b", 2), license.CodeOK)
		c.release(t, six)
		c.release(t, two)
	}},
	{"a full pool falls back", func(t *testing.T, c counter) {
		first := c.takes(t, person("spare", "ann"), license.CodeOK)
		second, d := c.take(t, person("spare", "bob"))
		if d.Outcome != license.Allowed || d.Code != license.CodeFallback || second.id != "" {
			t.Errorf("%+v %+v", second, d)
		}
		if second.lease != nil {
			c.release(t, second)
		}
		c.release(t, first)
	}},
	{"overdraft", func(t *testing.T, c counter) {
		first := c.takes(t, person("over", "ann"), license.CodeOK)
		second := c.takes(t, person("over", "bob"), license.CodeOverdraft)
		c.refused(t, person("over", "cy"), license.CodePoolFull)
		c.release(t, second)
		c.release(t, first)
	}},
	{"add-on", func(t *testing.T, c counter) { c.allows(t, "farm"); c.holdsTwo(t, "room") }},
	{"exception", func(t *testing.T, c counter) { c.holdsTwo(t, "extra") }},
	{"edition", func(t *testing.T, c counter) {
		c.allows(t, "simulate")
		c.allows(t, "export")
		c.denies(t, "none", license.CodeFeatureAbsent)
	}},
	{"consumption", func(t *testing.T, c counter) {
		for i := range 4 {
			want := license.CodeOK
			if i == 3 {
				want = license.CodeQuotaSpent
			}
			if d := c.face.use(t, fmt.Sprint("call-", i), "calls", "1"); d.Code != want {
				t.Errorf("call %d of 3: %+v", i+1, d)
			}
		}
		for i, want := range []string{license.CodeOK, license.CodeSoftLimit, license.CodeOverage, license.CodeQuotaSpent} {
			if d := c.face.use(t, fmt.Sprint("hour-", i), "hours", []string{"0.25", "0.50", "2", "0.5"}[i]); d.Code != want {
				t.Errorf("hours %d: %+v", i, d)
			}
		}
	}},
	{"subscription", func(t *testing.T, c counter) {
		c.allows(t, "export")
		_, err := c.SuspendLicense(t.Context(), c.owner, c.license, "unpaid")
		must(t, err)
		c.denies(t, "export", license.CodeSuspended)
		_, err = c.ReinstateLicense(t.Context(), c.owner, c.license, "paid")
		must(t, err)
		c.allows(t, "export")
	}},
	{"a feature with an end of its own", func(t *testing.T, c counter) {
		c.allows(t, "preview")
		c.denies(t, "beta", license.CodeFeatureEnded, license.CodeFeatureAbsent)
	}},
}

func machine(name, board, drive, network string) asking {
	return asking{pool: "machines", kind: "machine", holder: name, units: 1, components: map[string]string{"board": board, "drive": drive, "network": network}}
}

func person(pool, name string) asking {
	return asking{pool: pool, kind: "user", holder: name, units: 1}
}

func cores(name string, n int64) asking {
	return asking{pool: "cores", kind: "workload", holder: name, units: n}
}

func (c counter) takes(t *testing.T, a asking, code string) held {
	t.Helper()
	h, d := c.take(t, a)
	if h.id == "" || d.Outcome != license.Allowed {
		t.Fatalf("%s of %s: %+v", a.holder, a.pool, d)
	}
	if h.lease == nil && d.Code != code { // an SDK lease describes itself
		t.Errorf("%s of %s: %s, not %s", a.holder, a.pool, d.Code, code)
	}
	return h
}

func (c counter) refused(t *testing.T, a asking, code string) license.Decision {
	t.Helper()
	h, d := c.take(t, a)
	if h.id != "" || d.Outcome != license.Denied || d.Code != code || d.Reason == "" || d.Rule == "" {
		t.Errorf("%s of %s: %+v, not %s", a.holder, a.pool, d, code)
	}
	return d
}

func (c counter) holdsTwo(t *testing.T, pool string) {
	t.Helper()
	first, second := c.takes(t, person(pool, "ann"), license.CodeOK), c.takes(t, person(pool, "bob"), license.CodeOK)
	c.refused(t, person(pool, "cy"), license.CodePoolFull)
	c.release(t, first)
	c.release(t, second)
}

// listed finds a lease in an administrator's list, with the program that requested it.
func (c counter) listed(t *testing.T, id string) v1.HeldLease {
	t.Helper()
	page, err := c.Leases(t.Context(), c.owner, authority.LeaseFilter{License: c.license}, request.PageOf{Limit: 100})
	must(t, err)
	for _, l := range page.Items {
		if string(l.ID) == id {
			if l.Service != "render" || l.Region != "eu" {
				t.Errorf("service %q in region %q", l.Service, l.Region)
			}
			return l
		}
	}
	t.Fatalf("lease %s is not listed", id)
	return v1.HeldLease{}
}

// waits returns once a request is in the queue of a pool.
func (c counter) waits(t *testing.T, pool string) {
	t.Helper()
	eventually(t, patience, func() bool {
		status, err := c.Status(t.Context(), c.owner)
		must(t, err)
		for _, p := range status.Pools {
			if p.License == c.license && p.Pool == pool && p.Waiting > 0 {
				return true
			}
		}
		return false
	})
}

// allows waits for a feature, because a vendor's change reaches programs some seconds later.
func (c counter) allows(t *testing.T, feature string) {
	t.Helper()
	eventually(t, patience, func() bool { return c.feature(t, feature).Outcome == license.Allowed })
}

func (c counter) denies(t *testing.T, feature string, codes ...string) {
	t.Helper()
	eventually(t, patience, func() bool {
		d := c.feature(t, feature)
		return d.Outcome == license.Denied && slices.Contains(codes, d.Code)
	})
}

// eventually polls until done is true.
func eventually(t *testing.T, within time.Duration, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(within); !done(); {
		select {
		case <-deadline:
			t.Fatalf("not within %v", within)
		case <-tick.C:
		}
	}
}
