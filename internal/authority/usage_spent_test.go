package authority

import (
	"strconv"
	"testing"
	"time"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// TestUsageSpentIsLoggedWhenTheQuotaIsSpent checks that this happens once for each period and
// meter, however the quota is reached, and again only after the quota was raised.
func TestUsageSpentIsLoggedWhenTheQuotaIsSpent(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		meter := licensing.Meter{Unit: "call", Quota: 1000, Per: licensing.PerMonth, Anchor: licensing.AnchorCalendar, Zone: "UTC", Full: licensing.FullDeny,
			Soft: licensing.Limit{Percent: 90}}
		d.at(t, "2027-04-10T12:00:00Z")
		plan := func(change func(*licensing.Meter)) licensing.Plan {
			p, m := meteredPlan(meter), meter
			change(&m)
			p.Meters["calls"] = m
			return p
		}
		d.p = d.license(t, plan(func(*licensing.Meter) {}))
		events := 0
		use := func(what string, spent, soft int, shown bool, quantities ...int) {
			t.Helper()
			var q granting.UsageRequest
			for _, n := range quantities {
				events++
				q.Events = append(q.Events, granting.UsageEvent{ID: "event-" + strconv.Itoa(events), Meter: "calls", Quantity: strconv.Itoa(n)})
			}
			if len(q.Events) > 0 {
				if _, err := d.Usage(t.Context(), d.p, q); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(d.entriesOf(t, licensing.UsageSpent)); got != spent {
				t.Errorf("%s: %d entries record a spent quota, want %d", what, got, spent)
			}
			if got := len(d.entriesOf(t, licensing.UsageSoftLimit)); got != soft {
				t.Errorf("%s: %d entries record the soft limit, want %d", what, got, soft)
			}
			used, err := d.ListUsage(t.Context(), owner(), UsageFilter{License: d.p.License, Meter: "calls"}, request.PageOf{})
			if err != nil || len(used.Items) != 1 || used.Items[0].SpentAt.IsZero() == shown {
				t.Errorf("%s: %+v, %v; spent: want %v", what, used.Items, err, shown)
			}
		}
		use("one event that leaves something", 0, 0, false, 800)
		use("an event that does not fit", 0, 0, false, 300)
		use("the last of it", 1, 1, true, 200)
		use("more than there is", 1, 1, true, 1, 1)
		d.pin(t, d.p, plan(func(m *licensing.Meter) { m.Quota = 2000 }))
		use("a raised quota", 1, 1, false)
		use("a batch that passes both limits", 2, 2, true, 300, 300, 300, 200, 100, 1)
		d.pin(t, d.p, plan(func(m *licensing.Meter) { m.Quota = 3000 }))
		use("all of a raised quota in one event", 3, 3, true, 1000)
		d.pin(t, d.p, plan(func(m *licensing.Meter) { m.Quota, m.Overage = 4000, true }))
		use("with overage, the quota", 4, 4, true, 1500)
		use("beyond it", 4, 4, true, 1500)
		d.at(t, "2027-05-01T00:00:00Z")
		use("a new period", 4, 4, false, 10)
		use("all of it", 5, 5, true, 5000)
		use("what comes late, in a period whose quota was spent before", 5, 5, true)
	})
}

// TestAQuotaThatIsLoweredIsSpent checks a change to less than the current usage. It is noticed with
// the next event, which is denied, or with a hard limit below the quota.
func TestAQuotaThatIsLoweredIsSpent(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		use := func(id, quantity, code string, want int) {
			t.Helper()
			r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: id, Meter: "calls", Quantity: quantity}}})
			if err != nil || r.Results[0].Decision.Code != code {
				t.Fatalf("%+v, %v", r, err)
			}
			if got := len(d.entriesOf(t, licensing.UsageSpent)); got != want {
				t.Errorf("after %s: %d entries, want %d", id, got, want)
			}
		}
		meter := licensing.Meter{Unit: "call", Quota: 10, Hard: licensing.Limit{Amount: 8}, Per: licensing.PerMonth, Anchor: licensing.AnchorCalendar, Full: licensing.FullDeny}
		d.p = d.license(t, meteredPlan(meter))
		use("some", "6", license.CodeOK, 0)
		meter.Hard.Amount = 5
		d.pin(t, d.p, meteredPlan(meter))
		use("more", "1", license.CodeQuotaSpent, 1)
		use("again", "1", license.CodeQuotaSpent, 1)
		d.clock.pass(time.Minute)
		meter.Quota, meter.Hard = 7, licensing.Limit{}
		d.pin(t, d.p, meteredPlan(meter))
		use("the last", "1", license.CodeOK, 2)
	})
}

// TestServersLogASpentQuotaOnce lets two servers record the last units at once.
func TestServersLogASpentQuotaOnce(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		parallel(12, func(n int) {
			e := granting.UsageEvent{ID: "event-" + strconv.Itoa(n), Meter: "calls", Quantity: "1"}
			if _, err := []*testAuthority{a, b}[n%2].Usage(t.Context(), a.p, granting.UsageRequest{Events: []granting.UsageEvent{e}}); err != nil {
				t.Error(err)
			}
		})
		if got := len(a.entriesOf(t, licensing.UsageSpent)); got != 1 {
			t.Errorf("%d entries", got)
		}
	})
}
