package authority

import (
	"fmt"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// meteredPlan returns a plan with a quota of 5 for common kinds of periods.
func meteredPlan(calls licensing.Meter) licensing.Plan {
	plan := testPlan()
	plan.Name = "metered"
	meter := func(per licensing.Period, anchor licensing.Anchor) licensing.Meter {
		return licensing.Meter{Unit: "call", Quota: 5, Per: per, Anchor: anchor, Zone: "Europe/Berlin", Full: licensing.FullDeny}
	}
	plan.Meters = map[string]licensing.Meter{
		"hourly": meter(licensing.PerHour, licensing.AnchorCalendar), "daily": meter(licensing.PerDay, licensing.AnchorCalendar),
		"monthly": meter(licensing.PerMonth, licensing.AnchorCalendar), "anchored": meter(licensing.PerMonth, licensing.AnchorLicense),
		"calls": calls,
	}
	return plan
}

// TestUsageCountsInThePeriodThatThePlanSays spends a quota and checks when there is a new one: at
// the end of a month, in months of different lengths, and on a day of 23 hours.
func TestUsageCountsInThePeriodThatThePlanSays(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		d.at(t, "2027-01-31T10:00:00Z")
		p := d.license(t, meteredPlan(licensing.Meter{Unit: "call", Quota: 1, Per: licensing.PerTerm, Full: licensing.FullDeny}))
		for _, tc := range []struct {
			meter, spent, last, next string
		}{
			{"anchored", "2027-01-31T10:00:00Z", "2027-02-28T09:59:59Z", "2027-02-28T10:00:00Z"}, // February has no 31st
			{"monthly", "2027-02-28T12:00:00Z", "2027-02-28T22:59:59Z", "2027-02-28T23:00:00Z"},  // Berlin is an hour ahead
			{"daily", "2027-03-28T00:30:00Z", "2027-03-28T21:59:59Z", "2027-03-28T22:00:00Z"},    // a day of 23 hours
			{"monthly", "2027-03-31T12:00:00Z", "2027-03-31T21:59:59Z", "2027-03-31T22:00:00Z"},  // and now two hours
			{"daily", "2027-10-30T22:00:00Z", "2027-10-31T22:59:59Z", "2027-10-31T23:00:00Z"},    // a day of 25 hours
			{"hourly", "2027-10-31T23:00:00Z", "2027-10-31T23:59:59Z", "2027-11-01T00:00:00Z"},
		} {
			d.at(t, tc.spent)
			left := 5
			for d.uses(t, p, tc.meter, time.Time{}) == license.CodeOK {
				left--
			}
			if left > 1 || left < 0 { // at most one was counted in this period before
				t.Errorf("%s at %s: %d are left", tc.meter, tc.spent, left)
			}
			d.at(t, tc.last)
			if code := d.uses(t, p, tc.meter, time.Time{}); code != license.CodeQuotaSpent {
				t.Errorf("%s at %s, the last second of the period: %s", tc.meter, tc.last, code)
			}
			d.at(t, tc.next)
			if code := d.uses(t, p, tc.meter, time.Time{}); code != license.CodeOK {
				t.Errorf("%s at %s, the first second of the next: %s", tc.meter, tc.next, code)
			}
			if code := d.uses(t, p, tc.meter, d.clock.Now().Add(-time.Second)); code != license.CodeQuotaSpent {
				t.Errorf("%s at %s: late usage counts in another period: %s", tc.meter, tc.next, code)
			}
		}
	})
}

// TestAPlanChangeInMidPeriodCountsFromThenOn checks that earlier usage stays in its period, and
// that the new quota applies from the change to the new boundary.
func TestAPlanChangeInMidPeriodCountsFromThenOn(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		monthly := licensing.Meter{Unit: "call", Quota: 5, Per: licensing.PerMonth, Anchor: licensing.AnchorCalendar, Zone: "UTC", Full: licensing.FullDeny}
		d.at(t, "2027-04-10T12:00:00Z")
		p := d.license(t, meteredPlan(monthly))
		spend := func(want int) {
			t.Helper()
			n := 0
			for d.uses(t, p, "calls", time.Time{}) == license.CodeOK {
				n++
			}
			if n != want {
				t.Errorf("at %s %d were counted, want %d", d.clock.Now(), n, want)
			}
		}
		spend(5)
		larger, daily := monthly, monthly
		larger.Quota = 8
		d.pin(t, p, meteredPlan(larger))
		spend(3) // in the same month
		d.at(t, "2027-04-20T15:00:00Z")
		daily.Quota, daily.Per = 2, licensing.PerDay
		d.pin(t, p, meteredPlan(daily))
		spend(2)
		if code := d.uses(t, p, "calls", d.clock.Now().Add(-time.Hour)); code != license.CodeQuotaSpent {
			t.Errorf("usage before the change counts after it: %s", code)
		}
		d.at(t, "2027-04-21T00:00:00Z")
		spend(2)
		owner := access.System(p.Env, "test")
		all, err := d.ListUsage(t.Context(), owner, UsageFilter{License: p.License, Meter: "calls", Past: true}, request.PageOf{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		used := map[string]bool{}
		for _, m := range all.Items {
			used[fmt.Sprint(m.PeriodStart.Format("01-02 15h"), " to ", m.PeriodEnd.Format("01-02 15h"), ": ", m.Used)] = true
		}
		for _, want := range []string{"04-01 00h to 04-20 15h: 8", "04-20 15h to 04-21 00h: 2", "04-21 00h to 04-22 00h: 2"} {
			if !used[want] {
				t.Errorf("%s is missing in %v", want, used)
			}
		}
	})
}

// TestARenewedTermHasItsOwnQuota checks that a renewal before the end does not affect the current
// term.
func TestARenewedTermHasItsOwnQuota(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		plan := meteredPlan(licensing.Meter{Unit: "call", Quota: 1, Per: licensing.PerTerm, Full: licensing.FullDeny})
		length, err := licensing.ParseLength("1mo")
		if err != nil {
			t.Fatal(err)
		}
		plan.Term = licensing.TermRule{Length: length, Start: licensing.StartIssue, Renewal: licensing.RenewAnchored}
		d.at(t, "2027-04-10T12:00:00Z")
		p := d.license(t, plan)
		end := length.After(d.clock.Now())
		if err := d.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
			l, _, err := tx.License(t.Context(), testEnv, p.License)
			if err != nil {
				return err
			}
			l.End = end
			return tx.UpdateLicense(t.Context(), l)
		}); err != nil {
			t.Fatal(err)
		}
		uses := func(want string) {
			t.Helper()
			if code := d.uses(t, p, "calls", time.Time{}); code != want {
				t.Errorf("at %s: %s, want %s", d.clock.Now(), code, want)
			}
		}
		uses(license.CodeOK)
		for _, after := range []time.Time{end, length.After(end)} {
			if _, err := d.RenewLicense(t.Context(), access.System(testEnv, "test"), p.License, v1.RenewRequest{After: after}); err != nil {
				t.Fatal(err)
			}
		}
		uses(license.CodeQuotaSpent)
		d.clock.pass(end.Sub(d.clock.Now()) - time.Second)
		uses(license.CodeQuotaSpent)
		d.clock.pass(time.Second)
		uses(license.CodeOK)
		uses(license.CodeQuotaSpent)
		d.clock.pass(length.After(end).Sub(end))
		uses(license.CodeOK)
	})
}

// at sets the clock, which only goes forward.
func (d *testAuthority) at(t *testing.T, text string) {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Before(d.clock.Now()) {
		t.Fatalf("%s: %v", text, err)
	}
	d.clock.at.Store(at.UnixMicro())
}

// uses records one unit and returns the code of the decision.
func (d *testAuthority) uses(t *testing.T, p access.Principal, meter string, at time.Time) string {
	t.Helper()
	r, err := d.Usage(t.Context(), p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: ledger.NewID("use", d.clock.Now()), Meter: meter, Quantity: "1", At: at}}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Results[0].Status == licensing.InvalidUsage {
		t.Fatal(r.Results[0].Reason)
	}
	return r.Results[0].Decision.Code
}

// pin changes a license to a new revision of its plan.
func (d *testAuthority) pin(t *testing.T, p access.Principal, plan licensing.Plan) {
	t.Helper()
	rev, err := licensing.NewRevision(plan)
	if err == nil {
		err = d.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.InsertRevision(t.Context(), p.Env, store.Revision{Revision: rev})
			return err
		})
	}
	if err == nil {
		_, err = d.ChangeLicense(t.Context(), access.System(p.Env, "test"), p.License, v1.ChangeRequest{Change: licensing.Change{Revision: rev.ID}})
	}
	if err != nil {
		t.Fatal(err)
	}
}
