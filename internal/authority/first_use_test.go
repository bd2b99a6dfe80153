package authority

import (
	"sync/atomic"
	"testing"
	"time"

	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
)

// firstUsed returns a license of ten days that begins with its first use.
func firstUsed(t *testing.T, d *testAuthority, name string) *testAuthority {
	t.Helper()
	plan := testPlan()
	plan.Name = licensing.PlanName(name)
	plan.Term = licensing.TermRule{Length: licensing.Length{Days: 10}, Start: licensing.StartFirstUse, Renewal: licensing.RenewAnchored}
	return &testAuthority{Authority: d.Authority, clock: d.clock, p: d.license(t, plan)}
}

func TestTheFirstUseStartsALicense(t *testing.T) {
	uses := map[string]func(t *testing.T, d *testAuthority) error{
		"validate": func(t *testing.T, d *testAuthority) error {
			_, err := d.Validate(t.Context(), d.p, documents.ValidateRequest{Product: "lathe"})
			return err
		},
		"acquire": func(t *testing.T, d *testAuthority) error {
			_, err := d.Acquire(t.Context(), d.p, ask("seats", 1))
			return err
		},
		"usage": func(t *testing.T, d *testAuthority) error {
			_, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: "first", Meter: "calls", Quantity: "1"}}})
			return err
		},
	}
	each(t, func(t *testing.T, d *testAuthority) {
		for name, use := range uses {
			d := firstUsed(t, d, name)
			if _, err := d.Check(t.Context(), d.p, granting.CheckRequest{Pool: "seats"}); err != nil {
				t.Fatal(err)
			}
			d.clock.pass(time.Hour) // neither time nor a check starts it
			if err := use(t, d); err != nil {
				t.Fatal(err)
			}
			began := d.clock.Now()
			d.clock.pass(time.Hour)
			if err := use(t, d); err != nil {
				t.Fatal(err)
			}
			l, err := d.License(t.Context(), owner(), d.p.License)
			if err != nil || !l.Start.Equal(began) || !l.End.Equal(began.AddDate(0, 0, 10)) {
				t.Errorf("%s: from %v to %v, began at %v, %v", name, l.Start, l.End, began, err)
			}
			if err := d.ledger.Sequence(t.Context()); err != nil {
				t.Fatal(err)
			}
			page, err := d.ledger.LogEntries(t.Context(), owner(), ledger.LogFilter{License: d.p.License, Type: licensing.LicenseStarted}, request.PageOf{})
			if err != nil || len(page.Items) != 1 || page.Items[0].Actor != d.p.Actor {
				t.Errorf("%s: %+v, %v: want one entry of %s", name, page.Items, err, d.p.Actor)
			}
			d.clock.pass(10 * 24 * time.Hour)
			if g := d.acquire(t, ask("seats", 2)); g.Lease != nil {
				t.Errorf("%s: granted after the end: %+v", name, g.Decision)
			}
		}
	})
}

func TestALicenseStartsOnceOnTwoServers(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		a = firstUsed(t, a, "once")
		b.p = a.p
		desks := []*testAuthority{a, b}
		var granted atomic.Int64
		parallel(16, func(n int) {
			d := desks[n%2]
			g, err := d.Acquire(t.Context(), d.p, ask("users", n))
			if err != nil {
				t.Error(err)
			}
			granted.Add(granting.Btoi(g.Lease != nil))
		})
		if granted.Load() != 5 {
			t.Errorf("%d of 5 granted", granted.Load())
		}
		if err := a.ledger.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		page, err := a.ledger.LogEntries(t.Context(), owner(), ledger.LogFilter{License: a.p.License, Type: licensing.LicenseStarted}, request.PageOf{})
		if err != nil || len(page.Items) != 1 {
			t.Errorf("%d entries record a start, %v", len(page.Items), err)
		}
	})
}
