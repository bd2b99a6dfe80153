package authority

import (
	"strconv"
	"testing"
	"time"

	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

func (d *testAuthority) validate(t *testing.T, r documents.ValidateRequest) documents.Validation {
	t.Helper()
	r.Product = "lathe"
	v, err := d.Validate(t.Context(), d.p, r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (d *testAuthority) entriesOf(t *testing.T, kind string) []v1.LogEntry {
	t.Helper()
	page, err := d.ledger.LogEntries(t.Context(), owner(), ledger.LogFilter{Type: kind}, request.PageOf{})
	if err != nil {
		t.Fatal(err)
	}
	return page.Items
}

func TestADeniedValidationIsRecordedAndRepeatsAreCounted(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		sell(t, d.Authority)
		before := d.validate(t, documents.ValidateRequest{Nonce: "nonce-allowed"})
		if before.Decision.Outcome != license.Allowed || len(d.entriesOf(t, licensing.DenialFirst)) != 0 {
			t.Fatalf("%+v", before.Decision)
		}
		if _, err := d.SuspendLicense(t.Context(), owner(), d.p.License, "unpaid"); err != nil {
			t.Fatal(err)
		}
		for n := range 30 {
			v := d.validate(t, documents.ValidateRequest{Nonce: "nonce-" + strconv.Itoa(100+n), Holder: "host-1"})
			if v.Decision.Code != license.CodeSuspended {
				t.Fatalf("%+v", v.Decision)
			}
		}
		d.validate(t, documents.ValidateRequest{Nonce: "nonce-of-another", Holder: "host-2"})
		first := d.entriesOf(t, licensing.DenialFirst)
		named := map[string]bool{}
		for _, e := range first {
			named[e.Request] = e.License == string(d.p.License) && e.Product == "lathe"
		}
		if len(first) != 2 || !named["nonce-100"] || !named["nonce-of-another"] {
			t.Fatalf("%+v", first)
		}
		why, err := d.Explain(t.Context(), owner(), "nonce-100")
		if err != nil || why.Decision.Code != license.CodeSuspended || why.Holder != "host-1" || why.Repeated {
			t.Errorf("%+v, %v", why, err)
		}
		if err := d.StoreRepeats(t.Context()); err != nil {
			t.Fatal(err)
		}
		if why, err = d.Explain(t.Context(), owner(), "nonce-129"); err != nil || !why.Repeated || why.Times != 30 {
			t.Errorf("a repeat: %+v, %v", why, err)
		}
		if _, err := d.Explain(t.Context(), owner(), "nonce-1"); licensing.CodeOf(err) != licensing.NotFound {
			t.Errorf("part of a nonce is found: %v", err)
		}
		e, err := d.ExplainLicense(t.Context(), owner(), d.p.License)
		if err != nil || len(e.Denials) != 2 {
			t.Errorf("%+v, %v", e.Denials, err)
		}
		d.clock.pass(time.Minute)
		if err := d.CountDenials(t.Context()); err != nil {
			t.Fatal(err)
		}
		if counted := d.entriesOf(t, licensing.DenialsCounted); len(counted) != 1 {
			t.Errorf("%+v", counted)
		}
		d.validate(t, documents.ValidateRequest{Nonce: "nonce-in-the-next", Holder: "host-1"})
		if n := len(d.entriesOf(t, licensing.DenialFirst)); n != 2 {
			t.Errorf("%d first denials, want no more in the same session", n)
		}
		d.clock.pass(licensing.SessionGap)
		d.validate(t, documents.ValidateRequest{Nonce: "nonce-of-the-next", Holder: "host-1"})
		if n := len(d.entriesOf(t, licensing.DenialFirst)); n != 3 {
			t.Errorf("%d first denials, want one more in the next session", n)
		}
	})
}

func TestAChangedFingerprintIsRecordedOnce(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		q := machine(1)
		d.acquire(t, q)
		other := licensing.Asker{Kind: "machine", Components: map[string]string{"board": "x", "disk": "y", "cpu": "c1"}}
		for n := range 5 {
			v := d.validate(t, documents.ValidateRequest{Nonce: "nonce-" + strconv.Itoa(100+n), Holder: q.Holder.ID, Asker: other})
			if v.Decision.Code != license.CodeBindingMismatch || v.Decision.Outcome != license.Allowed {
				t.Fatalf("%+v", v.Decision)
			}
		}
		again := d.beside(t, d.ledger.DB) // a restarted server knows it as well
		if _, err := again.Validate(t.Context(), d.p, documents.ValidateRequest{Product: "lathe", Nonce: "nonce-after", Holder: q.Holder.ID, Asker: other}); err != nil {
			t.Fatal(err)
		}
		if found := d.entriesOf(t, licensing.ViolationBinding); len(found) != 1 || found[0].Request != "nonce-100" {
			t.Fatalf("%+v", found)
		}
		d.clock.pass(license.BindingGrace * time.Second)
		d.validate(t, documents.ValidateRequest{Nonce: "nonce-later", Holder: q.Holder.ID, Asker: other})
		if found := d.entriesOf(t, licensing.ViolationBinding); len(found) != 2 {
			t.Errorf("%d after the window", len(found))
		}
		e, err := d.ExplainLicense(t.Context(), owner(), d.p.License)
		if err != nil || len(e.Denials) == 0 || e.Denials[0].Decision.Code != license.CodeBindingMismatch {
			t.Errorf("%+v, %v", e.Denials, err)
		}
	})
}

func TestARepeatedDenialIsExplained(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		d.acquire(t, ask("soft", 1))
		q := ask("soft", 2)
		for n := range 20 {
			q.RequestID = "req-repeated-" + strconv.Itoa(100+n)
			if _, err := d.Acquire(t.Context(), d.p, q); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"req-repeated-100", "req-repeated-112", "req-repeated-119"} {
			why, err := d.Explain(t.Context(), owner(), id)
			if err != nil || why.Times != 20 || why.Repeated != (id != "req-repeated-100") || why.Pool != "soft" {
				t.Errorf("%s: %+v, %v", id, why, err)
			}
		}
	})
}
