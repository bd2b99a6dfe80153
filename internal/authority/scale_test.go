package authority

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// counted returns a plan whose calls are counted with decimal places, with a monthly quota.
func counted(scale int, quota int64) licensing.Plan {
	return meteredPlan(licensing.Meter{Unit: "call", Scale: scale, Quota: quota, Per: licensing.PerMonth, Anchor: licensing.AnchorCalendar, Zone: "UTC", Full: licensing.FullDeny})
}

// records sends events of calls, as ID=QUANTITY, and returns the result of the last one.
func (d *testAuthority) records(t *testing.T, p access.Principal, events ...string) granting.UsageResult {
	t.Helper()
	var q granting.UsageRequest
	for _, e := range events {
		id, quantity, _ := strings.Cut(e, "=")
		q.Events = append(q.Events, granting.UsageEvent{ID: id, Meter: "calls", Quantity: quantity})
	}
	r, err := d.Usage(t.Context(), p, q)
	if err != nil {
		t.Fatal(err)
	}
	return r.Results[len(r.Results)-1]
}

// shows checks a license's usage of calls, including past periods, and its quota.
func (d *testAuthority) shows(t *testing.T, p access.Principal, want ...string) {
	t.Helper()
	all, err := d.ListUsage(t.Context(), access.System(p.Env, "test"), UsageFilter{License: p.License, Meter: "calls", Past: true}, request.PageOf{Limit: 10})
	if err != nil || len(all.Items) != len(want) {
		t.Fatalf("%+v, %v; want %v", all.Items, err, want)
	}
	for i, m := range all.Items {
		if got := m.Used + " of " + m.Quota; got != want[i] {
			t.Errorf("used %s, want %s", got, want[i])
		}
	}
}

func (d *testAuthority) change(t *testing.T, p access.Principal, c licensing.Change) licensing.License {
	t.Helper()
	l, err := d.ChangeLicense(t.Context(), access.System(p.Env, "test"), p.License, v1.ChangeRequest{Change: c})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestRaisingAScaleConvertsWhatWasCountedExactly checks that current and past usage, exceptions in
// force and scheduled exceptions keep their amounts, and that earlier events are still recognized
// by their ids.
func TestRaisingAScaleConvertsWhatWasCountedExactly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, other *store.DB) {
		db, raw := exposed(t, other.Engine())
		d := newTestAuthority(t, db)
		d.at(t, "2027-04-10T12:00:00Z")
		p := d.license(t, counted(1, 50))
		d.records(t, p, "a=1.5")
		d.at(t, "2027-05-10T12:00:00Z")
		d.records(t, p, "b=2.5", "c=0.5")
		more := licensing.Exception{Meter: "calls", Adjust: licensing.Adjustment{Add: true, Amount: 20}, Reason: "goodwill"}
		d.change(t, p, licensing.Change{Except: []licensing.Exception{more}})
		d.change(t, p, licensing.Change{Except: []licensing.Exception{more}, When: licensing.ChangeAtRenewal})
		d.shows(t, p, "1.5 of 7", "3 of 7")
		// An earlier version stored no scale.
		for _, table := range []string{"usage_total", "usage_event"} {
			if _, err := raw.ExecContext(t.Context(), `UPDATE `+table+` SET scale = -1`); err != nil {
				t.Fatal(err)
			}
		}

		d.pin(t, p, counted(3, 5000))
		d.shows(t, p, "1.5 of 7", "3 of 7")
		for _, event := range []string{"a=1.5", "c=0.5"} {
			if r := d.records(t, p, event); r.Status != licensing.DuplicateUsage {
				t.Errorf("%s again: %+v", event, r)
			}
		}
		if r := d.records(t, p, "d=3.999", "e=0.002"); r.Status != licensing.DeniedUsage || r.Decision.Code != license.CodeQuotaSpent {
			t.Errorf("0.002 of 0.001 left: %+v", r)
		}
		if r := d.records(t, p, "f=0.001"); r.Status != licensing.RecordedUsage {
			t.Errorf("the last: %+v", r)
		}
		d.shows(t, p, "1.5 of 7", "7 of 7")
		l, err := d.License(t.Context(), access.System(p.Env, "test"), p.License)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []licensing.Exception{l.Exceptions[0], l.Scheduled[0].Except[0]} {
			if e.Scale == nil || licensing.FormatQuantity(e.Adjust.Amount, *e.Scale) != "2" {
				t.Errorf("the exception of 2 calls is %+v", e)
			}
		}
		var events, sum int64
		row := raw.QueryRowContext(t.Context(), `SELECT COUNT(*), SUM(CASE WHEN scale = 1 THEN quantity * 100 ELSE quantity END)
			FROM usage_event WHERE license = $1 AND scale >= 0`, string(p.License))
		if err := row.Scan(&events, &sum); err != nil || events != 5 || sum != 8500 {
			t.Errorf("%d events of %d thousandths, %v; want 5 of 8500", events, sum, err)
		}
	})
}

// TestAScaleNeverFalls tries to lower it with a revision, with another plan, and after a time
// without the meter.
func TestAScaleNeverFalls(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		p := d.license(t, counted(2, 500))
		d.records(t, p, "a=1.25")
		without := counted(2, 500)
		delete(without.Meters, "calls")
		refused := func(what string, plan licensing.Plan) {
			t.Helper()
			rev, err := licensing.NewRevision(plan)
			if err == nil {
				err = d.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
					_, err := tx.InsertRevision(t.Context(), p.Env, store.Revision{Revision: rev})
					return err
				})
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, when := range []licensing.When{licensing.ChangeNow, licensing.ChangeAtRenewal} {
				_, err = d.ChangeLicense(t.Context(), access.System(p.Env, "test"), p.License, v1.ChangeRequest{Change: licensing.Change{Revision: rev.ID, When: when}})
				if licensing.CodeOf(err) != licensing.Conflict && (when == licensing.ChangeNow || what == "lower") {
					t.Errorf("%s %s: %v", what, when, err)
				}
				if err != nil && !strings.Contains(err.Error(), "calls") {
					t.Errorf("%s %s: the reason does not name the meter: %v", what, when, err)
				}
			}
		}
		refused("lower", counted(1, 50))
		d.shows(t, p, "1.25 of 5")
		d.pin(t, p, without)
		d.shows(t, p, "1.25 of ")
		refused("lower after a while without", counted(1, 50))
		d.pin(t, p, counted(4, 50000))
		d.shows(t, p, "1.25 of 5")
		d.pin(t, p, without)
		d.pin(t, p, counted(4, 50000))
		d.shows(t, p, "1.25 of 5")

		// The converted amount would be too large to count.
		d.records(t, p, "b=1.75")
		most := counted(4, 90_000_000_000_000)
		d.pin(t, p, most)
		if r := d.records(t, p, "c=8000000000"); r.Status != licensing.RecordedUsage {
			t.Fatal(r)
		}
		refused("too fine", counted(9, 1))
	})
}

// TestUsageBesideARisingScaleCountsExactly lets two servers record fractions while the license
// moves to finer scales twice. No usage is lost or counted at a wrong scale.
func TestUsageBesideARisingScaleCountsExactly(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		p := a.license(t, counted(1, 1_000_000_000))
		var thousandths atomic.Int64
		const steps = 5
		parallel(16, func(n int) {
			if n == 0 {
				for scale := 2; scale < 2+steps; scale++ {
					a.pin(t, p, counted(scale, 1_000_000_000_000))
				}
				return
			}
			d := []*testAuthority{a, b}[n%2]
			for i := range 20 {
				q := granting.UsageEvent{ID: fmt.Sprint(n, "-", i), Meter: "calls", Quantity: "0.7"}
				for range 2 { // each is sent twice
					r, err := d.Usage(t.Context(), p, granting.UsageRequest{Events: []granting.UsageEvent{q}})
					if err != nil {
						t.Errorf("recording: %v", err)
						return
					}
					thousandths.Add(700 * granting.Btoi(r.Results[0].Status == licensing.RecordedUsage))
				}
			}
		})
		if n := thousandths.Load(); n != 15*20*700 {
			t.Errorf("%d thousandths were recorded, want %d", n, 15*20*700)
		}
		all, err := a.ListUsage(t.Context(), access.System(p.Env, "test"), UsageFilter{License: p.License, Meter: "calls"}, request.PageOf{Limit: 10})
		if err != nil || len(all.Items) != 1 || all.Items[0].Used != "210" {
			t.Errorf("%+v, %v; want 210 used", all.Items, err)
		}
	})
}

func TestAnExceptionSaysItsScale(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		p := d.license(t, counted(2, 500))
		scale := 1
		d.change(t, p, licensing.Change{Except: []licensing.Exception{{Meter: "calls", Adjust: licensing.Adjustment{Add: true, Amount: 25}, Scale: &scale, Reason: "goodwill"}}})
		d.records(t, p, "a=7.5")
		d.shows(t, p, "7.5 of 7.5")
		scale = 3
		_, err := d.ChangeLicense(t.Context(), access.System(p.Env, "test"), p.License, v1.ChangeRequest{Change: licensing.Change{
			Except: []licensing.Exception{{Meter: "calls", Adjust: licensing.Adjustment{Amount: 7501}, Scale: &scale, Reason: "finer than the meter"}}}})
		if licensing.CodeOf(err) != licensing.Invalid || !strings.Contains(err.Error(), "7.501 of meter calls") {
			t.Errorf("an amount finer than the meter: %v", err)
		}
	})
}
