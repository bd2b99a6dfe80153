package authority

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// TestANameThatNothingHasIsRefusedBeforeAnyDatabaseSeesIt checks names for several reasons: one
// engine would fail the shared transaction, request ids are separated by spaces, and control
// characters reach terminals.
func TestANameThatNothingHasIsRefusedBeforeAnyDatabaseSeesIt(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("seats", 1))
		for _, bad := range []string{"a b", "a\u2003b", "a\u00a0b", "a\u0085b", "a\r\nevent: license", "a\x00", "a\xff", "a\ufffd", "\u009b31m", "ann\u200b", "ann\u200d", "\u202eann", "\u2066ann", "an\u00adn", "\ufeffann", strings.Repeat("a", request.MaxText+1)} {
			refused := func(what string, err error) {
				t.Helper()
				if licensing.CodeOf(err) != licensing.Invalid {
					t.Errorf("%s %q: %v", what, bad, err)
				}
			}
			for what, change := range map[string]func(*granting.AcquireRequest){
				"request id":     func(q *granting.AcquireRequest) { q.RequestID = bad },
				"nonce":          func(q *granting.AcquireRequest) { q.Nonce = bad + "12345678" },
				"pool":           func(q *granting.AcquireRequest) { q.Pool = bad },
				"instance":       func(q *granting.AcquireRequest) { q.Instance = bad },
				"holder":         func(q *granting.AcquireRequest) { q.Holder.ID = bad },
				"kind":           func(q *granting.AcquireRequest) { q.Holder.Kind = bad },
				"component":      func(q *granting.AcquireRequest) { q.Holder.Components = map[string]string{bad: "00"} },
				"component hash": func(q *granting.AcquireRequest) { q.Holder.Components = map[string]string{"disk": bad} },
			} {
				q := ask("seats", 2)
				change(&q)
				_, err := d.Acquire(t.Context(), d.p, q)
				refused(what, err)
				out := d.Batch(t.Context(), d.p, granting.LeaseBatch{Acquire: []granting.AcquireRequest{q}})
				refused(what+" in a batch", out.Acquire[0].Err)
			}
			id := licensing.LeaseID(bad)
			_, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: id, Generation: 1})
			refused("renewed lease", err)
			_, err = d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: 1, Nonce: bad + "12345678"})
			refused("nonce of a renewal", err)
			_, err = d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: 1, Caller: licensing.Caller{Instance: bad}})
			refused("instance of a renewal", err)
			_, err = d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: id, Generation: 1})
			refused("released lease", err)
			_, err = d.Ticket(t.Context(), d.p, licensing.TicketID(bad))
			refused("ticket", err)
			_, err = d.Check(t.Context(), d.p, granting.CheckRequest{Pool: "seats", Holder: request.Holder{ID: bad}})
			refused("holder of a check", err)
			_, err = d.Check(t.Context(), d.p, granting.CheckRequest{Feature: bad})
			refused("feature of a check", err)
			r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: "of-" + strconv.Quote(bad), Meter: bad, Quantity: "1"}}})
			if err != nil || r.Results[0].Status != licensing.InvalidUsage {
				t.Errorf("meter %q: %v, %v", bad, r.Results, err)
			}
		}
		r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: "a\x00", Meter: "calls", Quantity: "1"}}})
		if err != nil || r.Results[0].Status != licensing.InvalidUsage {
			t.Errorf("event id: %v, %v", r.Results, err)
		}
		if _, err := d.Acquire(t.Context(), d.p, granting.AcquireRequest{RequestID: "r", Pool: "seats", Holder: request.Holder{ID: "h"}, Nonce: "short"}); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("a nonce that is none: %v", err)
		}
		if _, _, live := d.held(t, "seats"); live != 1 {
			t.Errorf("%d leases: what was refused was done", live)
		}
	})
}

// TestANameThatDeceivesIsRefused checks names and references that differ only in invisible
// characters, or that reverse the text around them. In a list they would look like others.
func TestANameThatDeceivesIsRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		product := licensing.Product{Name: "mill", Title: "Mill", Owner: licensing.Owner{Team: "cad", Pager: "cad@example.com", Runbook: "https://example.com/run"}}
		for _, bad := range []string{"Acme\u200b", "\u202eemcA", "Ac\u00adme", "Acme\ufeff", "Acme\u2028", "A\u0007cme", "A\xffcme"} {
			for what, try := range map[string]func() error{
				"customer": func() error {
					_, err := s.CreateCustomer(t.Context(), s.p, licensing.Customer{Name: bad})
					return err
				},
				"customer's reference": func() error {
					_, err := s.CreateCustomer(t.Context(), s.p, licensing.Customer{Name: "Acme", Reference: bad})
					return err
				},
				"changed customer": func() error {
					_, err := s.ChangeCustomer(t.Context(), s.p, s.customer, v1.CustomerChange{Name: &bad})
					return err
				},
				"changed reference of a customer": func() error {
					_, err := s.ChangeCustomer(t.Context(), s.p, s.customer, v1.CustomerChange{Reference: &bad})
					return err
				},
				"license's reference": func() error {
					_, err := s.IssueLicense(t.Context(), s.p, v1.IssueRequest{Customer: s.customer, Plan: "studio", Reference: bad})
					return err
				},
				"product": func() error {
					p := product
					p.Title = bad
					_, err := s.CreateProduct(t.Context(), s.p, p)
					return err
				},
				"changed product": func() error {
					_, err := s.ChangeProduct(t.Context(), s.p, "lathe", v1.ProductChange{Owner: v1.OwnerChange{Team: &bad}})
					return err
				},
				"token": func() error {
					_, err := s.CreateToken(t.Context(), s.p, v1.TokenRequest{Name: bad, Role: access.Viewer})
					return err
				},
			} {
				if err := try(); licensing.CodeOf(err) != licensing.Invalid {
					t.Errorf("%s %q: %v", what, bad, err)
				}
			}
			im, err := s.ImportLicenses(t.Context(), s.p, v1.ImportRequest{CSV: "key,customer,plan\n\"OLD-" + bad + "-KEY\"," + string(s.customer) + ",studio\n"})
			if err == nil && im.Failed != 1 {
				t.Errorf("imported key with %q: %+v", bad, im)
			}
		}
		for _, good := range []string{"Müller & Söhne GmbH", "株式会社アクメ", "شركة أكمي", "Acme™ 🚀", "Acme\u00a0Ltd", "नमस्ते"} {
			if _, err := s.CreateCustomer(t.Context(), s.p, licensing.Customer{Name: good}); err != nil {
				t.Errorf("%q: %v", good, err)
			}
		}
	})
}

// entries counts the log entries of each kind.
func (d *testAuthority) entries(t *testing.T) map[string]int {
	t.Helper()
	kinds := map[string]int{}
	if err := d.ledger.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := d.ledger.DB.View(t.Context(), func(tx *store.Tx) error {
		for row, err := range tx.LogRows(t.Context(), d.p.Env) {
			if err != nil {
				return err
			}
			entries, err := audit.ReadRow(row.Body)
			if err != nil {
				return err
			}
			for _, e := range entries {
				for _, kind := range []string{licensing.DenialFirst, licensing.ViolationClone, licensing.ViolationBinding} {
					kinds[kind] += bytes.Count(e.Leaf, []byte(`"`+kind+`"`))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

// TestDenialsOfCountlessHoldersAreCountedAndNotKept checks this because names cost nothing, while
// rows and log entries remain.
func TestDenialsOfCountlessHoldersAreCountedAndNotKept(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		const asked = documents.MaxDenied + 100
		d.acquire(t, ask("soft", 0))
		pools := []string{"soft", "no-such-pool-"}
		for n := range asked {
			q := ask(pools[n%2], n+1)
			if n%2 == 1 {
				q.Pool += strconv.Itoa(n)
			}
			if _, err := d.Acquire(t.Context(), d.p, q); err != nil {
				t.Fatal(err)
			}
		}
		var rows, times int64
		err := d.ledger.DB.View(t.Context(), func(tx *store.Tx) error {
			denials, err := tx.LicenseDenials(t.Context(), d.p.Env, d.p.License, 10*asked)
			for _, denial := range denials {
				rows++
				times += denial.Times
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if rows > documents.MaxDenied+2 || times != asked {
			t.Errorf("%d denials in %d rows", times, rows)
		}
		if n := d.entries(t)[licensing.DenialFirst]; n > documents.MaxDenied+2 {
			t.Errorf("%d entries in the log", n)
		}
	})
}

// TestAViolationIsToldOnceAMinute checks this regardless of how often a copy or another machine
// tries.
func TestAViolationIsToldOnceAMinute(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		g := d.acquire(t, ask("seats", 1))
		q := ask("machines", 1)
		q.Holder.Components = map[string]string{"disk": "aa", "board": "bb", "mac": "cc"}
		d.acquire(t, q)
		renew := func(generation int64, nonce string) license.Decision {
			r, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: g.Lease.ID, Generation: generation, Nonce: nonce})
			if err != nil {
				t.Fatal(err)
			}
			return r.Decision
		}
		renew(1, "the-first")
		for n := range 10 {
			if said := renew(1, "a-copy-"+strconv.Itoa(n)); said.Code != license.CodeClone {
				t.Errorf("%+v", said)
			}
			q.RequestID, q.Holder.Components = "other-"+strconv.Itoa(n), map[string]string{"disk": "dd", "board": "ee", "mac": "ff"}
			r, err := d.Acquire(t.Context(), d.p, q)
			if err != nil || r.Decision.Code != license.CodeBindingMismatch {
				t.Errorf("%+v, %v", r.Decision, err)
			}
		}
		told := d.entries(t)
		if told[licensing.ViolationClone] != 1 || told[licensing.ViolationBinding] != 1 {
			t.Errorf("%v", told)
		}
	})
}

// TestAllWhoSentAWaitingRequestHearOfItsLease checks a client that repeats its request after a lost
// connection. It must not wait behind the lost request.
func TestAllWhoSentAWaitingRequestHearOfItsLease(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		first := d.acquire(t, ask("queue", 1))
		q := ask("queue", 2)
		q.Wait = 300
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		got := make(chan granting.Granted, 2)
		for range 2 {
			go func() {
				g, err := d.Acquire(ctx, d.p, q)
				if err != nil {
					t.Error(err)
				}
				got <- g
			}()
		}
		d.awaitSame(t, 2)
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: first.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		one, other := <-got, <-got
		if one.Lease == nil || other.Lease == nil || one.Lease.ID != other.Lease.ID {
			t.Errorf("%+v and %+v", one, other)
		}
	})
}

// awaitSame returns when n requests with one id wait and have a ticket.
func (d *testAuthority) awaitSame(t *testing.T, n int) {
	t.Helper()
	for {
		count := d.Waiting()
		if count == n {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("nobody waits")
		}
	}
}

// TestWhatWasUsedStaysUsed checks that the holder of a license key cannot evade its quota with
// negative usage.
func TestWhatWasUsedStaysUsed(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{
			{ID: "e1", Meter: "calls", Quantity: "5"}, {ID: "e2", Meter: "calls", Quantity: "-5"}, {ID: "e3", Meter: "calls", Quantity: "1"},
		}})
		if err != nil || r.Results[1].Status != licensing.InvalidUsage || r.Results[2].Status != licensing.DeniedUsage {
			t.Errorf("%+v, %v", r.Results, err)
		}
		if _, err := d.Check(t.Context(), d.p, granting.CheckRequest{Meter: "calls", Quantity: "-5"}); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("checked: %v", err)
		}
	})
}
