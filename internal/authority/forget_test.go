package authority

import (
	"encoding/json"
	"testing"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// TestDenialsAreCountedOnce lets two servers count the same denials, and then a third that started
// after them.
func TestDenialsAreCountedOnce(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		for n := range 5 {
			a.acquire(t, ask("users", n))
		}
		denied := func(times int) {
			for range times {
				for n := range 2 {
					a.acquire(t, ask("users", 10+n))
				}
			}
		}
		a.clock.pass(time.Minute - time.Duration(a.clock.Now().Second())*time.Second)
		denied(4) // the first denial of each holder is a separate entry
		counted := func(want ...int64) {
			t.Helper()
			parallel(4, func(n int) {
				if err := []*testAuthority{a, b}[n%2].CountDenials(t.Context()); err != nil {
					t.Error(err)
				}
			})
			if err := a.ledger.Sequence(t.Context()); err != nil {
				t.Fatal(err)
			}
			page, err := a.ledger.LogEntries(t.Context(), owner(), ledger.LogFilter{License: a.p.License, Type: licensing.DenialsCounted}, request.PageOf{})
			if err != nil || len(page.Items) != len(want) {
				t.Fatalf("%d entries with counts of denials, want %d: %v", len(page.Items), len(want), err)
			}
			for i, e := range page.Items {
				var c entry.Count
				if err := json.Unmarshal(e.Data, &c); err != nil || c.Times != want[i] || c.Code != "pool_full" {
					t.Errorf("%s, %v: want %d", e.Data, err, want[i])
				}
			}
		}
		counted()
		a.clock.pass(time.Minute)
		denied(2) // in the next minute, in the same session
		counted(6)
		a.clock.pass(time.Minute)
		b = b.beside(t, b.ledger.DB) // this server has seen none of it
		counted(4, 6)
		counted(4, 6)
	})
}

func TestWhatNobodyCanAskForIsForgotten(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		d.acquire(t, ask("queue", 0))
		waiting := d.acquire(t, ask("queue", 1))
		if _, err := d.Withdraw(t.Context(), d.p, waiting.Ticket.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: "old", Meter: "big", Quantity: "3"}}}); err != nil {
			t.Fatal(err)
		}
		d.acquire(t, ask("none", 0)) // denied, because the pool does not exist
		known := func() (ticket, event, denial bool) {
			t.Helper()
			if err := d.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := d.ledger.DB.View(t.Context(), func(tx *store.Tx) error {
				tickets, err := tx.Tickets(t.Context(), []store.TicketKey{{Env: testEnv, ID: waiting.Ticket.ID}})
				if err != nil {
					return err
				}
				events, err := tx.KnownEvents(t.Context(), []store.EventKey{{Env: testEnv, License: d.p.License, ID: "old"}})
				if err != nil {
					return err
				}
				denials, err := tx.LicenseDenials(t.Context(), testEnv, d.p.License, 10)
				ticket, event, denial = len(tickets) > 0, len(events) > 0, len(denials) > 0
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return ticket, event, denial
		}
		for _, step := range []struct {
			pass                  time.Duration
			ticket, event, denial bool
		}{
			{licensing.Remembered, true, true, true},
			{time.Second, false, true, true},
			{granting.DenialsKnown - licensing.Remembered + time.Minute, false, true, false},
			{licensing.UsageKnown - granting.DenialsKnown, false, false, false},
		} {
			d.clock.pass(step.pass)
			if ticket, event, denial := known(); ticket != step.ticket || event != step.event || denial != step.denial {
				t.Errorf("after %v more: ticket %v, event %v, denial %v", step.pass, ticket, event, denial)
			}
		}
	})
}
