package authority

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// explainedPlan has pools and meters that are full in each way, and a fallback.
const explainedPlan = `
product: lathe
plan: studio
name: Lathe Studio
term: {length: 1y, start: issue, renewal: anchored, grace: 3d}
features: {export: true, max_layers: 50, theme: dark}
fallback: {export: true}
addons: {more: {pools: {seats: +3}}}
pools:
  seats: {holder: user, capacity: 2, lease: 15m, grace: 1h, full: deny}
  line: {holder: user, capacity: 1, lease: 15m, grace: 1h, full: queue}
  spare: {holder: user, capacity: 1, lease: 15m, grace: 1h, full: fallback}
meters:
  calls: {unit: call, scale: 0, quota: 5, per: month, full: deny}
`

// explainedShop opens a shop whose license has explainedPlan, with a clock that does not advance.
func explainedShop(t *testing.T, db *store.DB) (*shop, *testAuthority, v1.Issued) {
	t.Helper()
	clock := newTestClock()
	db.Now = clock.Now
	a := New(ledger.Config{DB: db, Ring: ready(t, db, "", nil).ledger.Ring, Now: clock.Now, Machine: clock.machine()})
	t.Cleanup(a.Close)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := openShopOf(t, a)
	if _, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: []policy.File{{Name: "studio.yaml", Text: explainedPlan}}}); err != nil {
		t.Fatal(err)
	}
	issued := s.issue()
	p := access.Principal{Kind: access.KindLicense, Env: testEnv, License: issued.License.ID, Actor: "license:" + string(issued.License.ID)}
	return s, &testAuthority{s.Authority, p, clock}, issued
}

func eachShop(t *testing.T, fn func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, d, issued := explainedShop(t, db)
		fn(t, s, d, issued)
	})
}

func (d *testAuthority) use(t *testing.T, id, quantity string) granting.UsageResult {
	t.Helper()
	r, err := d.Usage(t.Context(), d.p, granting.UsageRequest{Events: []granting.UsageEvent{{ID: id, Meter: "calls", Quantity: quantity}}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Results[0]
}

// TestWhyShowsWhatIsHeld checks that why shows the current state, not the result of one more
// request.
func TestWhyShowsWhatIsHeld(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		shows := func(what string, got license.Decision, outcome license.Outcome, code string, held int64, reason string) {
			t.Helper()
			if got.Outcome != outcome || got.Code != code || got.Held != held || got.Reason != reason {
				t.Errorf("%s: %+v; want %s %s, %d held: %s", what, got, outcome, code, held, reason)
			}
		}
		why := func() v1.Explanation {
			t.Helper()
			e, err := s.ExplainLicense(t.Context(), s.p, issued.License.ID)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		e := why()
		shows("an unused pool", e.Pools["seats"], license.Allowed, license.CodeOK, 0, "0 of 2 seats in use")
		shows("an unused meter", e.Meters["calls"], license.Allowed, license.CodeOK, 0, "0 of 5 calls used")
		d.acquire(t, ask("seats", 1))
		d.use(t, "one", "4")
		e = why()
		shows("a pool with room", e.Pools["seats"], license.Allowed, license.CodeOK, 1, "1 of 2 seats in use")
		shows("a meter with something left", e.Meters["calls"], license.Allowed, license.CodeOK, 4, "4 of 5 calls used")
		d.acquire(t, ask("seats", 2))
		d.acquire(t, ask("line", 1))
		d.acquire(t, ask("line", 2)) // waits
		d.acquire(t, ask("spare", 1))
		d.use(t, "two", "1")
		e = why()
		shows("a full pool", e.Pools["seats"], license.Denied, license.CodePoolFull, 2, "all 2 seats are in use")
		shows("a queue", e.Pools["line"], license.Denied, license.CodeQueued, 1, "1 of 1 unit in use, 1 request waiting; the next request waits in the queue")
		shows("a fallback", e.Pools["spare"], license.Allowed, license.CodeFallback, 1, "1 of 1 unit in use; the next request gets the fallback features")
		shows("a spent meter", e.Meters["calls"], license.Denied, license.CodeQuotaSpent, 5, "5 of 5 calls used; none left")
		if len(e.Pools["seats"].Holders) != 2 || e.Pools["seats"].FreeAt == 0 {
			t.Errorf("who holds: %+v", e.Pools["seats"])
		}
	})
}

// TestWhyShowsALicenseThatIsNotInForceThroughout checks that suspended, revoked and ended licenses
// grant nothing in any part, and that their leases are still shown.
func TestWhyShowsALicenseThatIsNotInForceThroughout(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		id := issued.License.ID
		held := d.acquire(t, ask("seats", 1)).Lease
		d.acquire(t, ask("line", 1))
		waits := d.acquire(t, ask("line", 2)).Ticket
		d.use(t, "event", "3")
		shown := func(code string, features map[string]string) {
			t.Helper()
			e, err := s.ExplainLicense(t.Context(), s.p, id)
			if err != nil {
				t.Fatal(err)
			}
			if e.Decision.Code != code || e.Runway.Seconds > 0 || e.Runway.Never {
				t.Errorf("%+v, runway %+v", e.Decision, e.Runway)
			}
			for name, part := range e.Features {
				want := code
				if features[name] != "" {
					want = features[name]
				}
				if part.Code != want {
					t.Errorf("feature %s: %+v, want %s", name, part, want)
				}
			}
			for name, part := range e.Pools {
				if part.Code != code || part.Outcome != license.Denied || (part.Held == 0) != (name == "spare") || part.Capacity == 0 {
					t.Errorf("pool %s: %+v", name, part)
				}
			}
			if part := e.Meters["calls"]; part.Code != code || part.Outcome != license.Denied || part.Held != 3 || part.Capacity != 5 {
				t.Errorf("meter: %+v", part)
			}
			for _, about := range []string{string(id), string(held.ID), string(waits.ID), string(issued.Key.ID)} {
				why, err := s.Explain(t.Context(), s.p, about)
				if err != nil || why.Decision.Code != code || why.Standing.Code != code {
					t.Errorf("%s: %+v, %v", about, why, err)
				}
			}
			for _, about := range []string{"req-seats-1", "event"} { // the decision at that time, and the current state of the license
				why, err := s.Explain(t.Context(), s.p, about)
				if err != nil || why.Standing.Code != code {
					t.Errorf("%s: %+v, %v", about, why, err)
				}
			}
		}
		if _, err := s.SuspendLicense(t.Context(), s.p, id, "unpaid"); err != nil {
			t.Fatal(err)
		}
		shown(license.CodeSuspended, nil)
		if _, err := s.RevokeLicense(t.Context(), s.p, id, v1.RevokeRequest{Reason: "refund"}); err != nil {
			t.Fatal(err)
		}
		shown(license.CodeRevoked, nil)
	})
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		d.acquire(t, ask("seats", 1))
		d.clock.pass(370 * 24 * time.Hour)
		e, err := s.ExplainLicense(t.Context(), s.p, issued.License.ID)
		if err != nil || e.Decision.Code != license.CodeTermEnded || e.Pools["seats"].Code != license.CodeTermEnded || e.Runway.Seconds >= 0 ||
			e.Features["export"].Code != license.CodeFallback || e.Features["theme"].Code != license.CodeTermEnded {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

// TestWhyNamesExceptionsAsTheCause checks exceptions of a feature, a pool and a meter, including
// those behind an earlier denial, but only while they are in force.
func TestWhyNamesExceptionsAsTheCause(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		id := issued.License.ID
		until := d.clock.Now().Add(48 * time.Hour).Truncate(time.Second)
		except := func(all ...licensing.Exception) {
			t.Helper()
			for i := range all {
				all[i].Reason, all[i].Until = "as agreed", until
			}
			if _, err := s.ChangeLicense(t.Context(), s.p, id, v1.ChangeRequest{Change: licensing.Change{Except: all}}); err != nil {
				t.Fatal(err)
			}
		}
		except(licensing.Exception{Feature: "export"}, licensing.Exception{Feature: "max_layers", Value: license.IntValue(90)},
			licensing.Exception{Pool: "seats", Adjust: licensing.Adjustment{Amount: 1}}, licensing.Exception{Meter: "calls", Adjust: licensing.Adjustment{Add: true, Amount: -2}})
		d.acquire(t, ask("seats", 1))
		denied := d.acquire(t, ask("seats", 2)).Decision
		refused := d.use(t, "event", "4")
		l, err := s.License(t.Context(), s.p, id)
		if err != nil {
			t.Fatal(err)
		}
		of := func(name string) string {
			i := slices.IndexFunc(l.Exceptions, func(e licensing.Exception) bool { return name == e.Feature+e.Pool+e.Meter })
			return string(l.Exceptions[i].ID)
		}
		e, err := s.ExplainLicense(t.Context(), s.p, id)
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string]license.Decision{"export": e.Features["export"], "max_layers": e.Features["max_layers"], "seats": e.Pools["seats"], "calls": e.Meters["calls"]} {
			was := map[string]string{"export": "true", "max_layers": "50", "seats": "2 seats", "calls": "5 calls"}[name]
			if !slices.Equal(got.Exceptions, []string{of(name)}) || !strings.Contains(got.Reason, of(name)+" (as agreed) until "+ledger.StampOf(until)) || !strings.HasSuffix(got.Reason, "grants "+was) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		for _, name := range []string{"theme"} {
			if got := e.Features[name]; len(got.Exceptions) > 0 || strings.Contains(got.Reason, "exception") {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if got := e.Features["export"]; got.Outcome != license.Denied || got.Rule != "license.exception" {
			t.Errorf("%+v", got)
		}
		for about, name := range map[string]string{denied.RequestID: "seats", "event": "calls", refused.Decision.RequestID: "calls"} {
			why, err := s.Explain(t.Context(), s.p, about)
			if err != nil || why.Decision.Outcome != license.Denied || !slices.Equal(why.Decision.Exceptions, []string{of(name)}) {
				t.Errorf("%s: %+v, %v", name, why, err)
			}
		}
		v, err := d.Validate(t.Context(), d.p, documents.ValidateRequest{Product: "lathe", Features: []string{"export"}})
		if err != nil || v.Decision.Outcome != license.Denied || !slices.Equal(v.Decision.Exceptions, []string{of("export")}) {
			t.Errorf("%+v, %v", v.Decision, err)
		}
		d.clock.pass(49 * time.Hour)
		if e, err = s.ExplainLicense(t.Context(), s.p, id); err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string]license.Decision{"export": e.Features["export"], "seats": e.Pools["seats"], "calls": e.Meters["calls"]} {
			if got.Outcome != license.Allowed || len(got.Exceptions) > 0 || strings.Contains(got.Reason, "exception") {
				t.Errorf("%s, after it: %+v", name, got)
			}
		}
	})
}

// TestEachEventOfABatchIsExplainedByItself checks recorded, repeated, denied and invalid events, by
// their own ids and together by the id of the request.
func TestEachEventOfABatchIsExplainedByItself(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		other := s.issue()
		elsewhere := &testAuthority{s.Authority, access.Principal{Kind: access.KindLicense, Env: testEnv, License: other.License.ID}, d.clock}
		elsewhere.use(t, "b6", "1") // the same id, for another license
		var q granting.UsageRequest
		for i, quantity := range []string{"2", "9", "1", "x", "9"} {
			q.Events = append(q.Events, granting.UsageEvent{ID: "b" + strconv.Itoa(i+1), Meter: "calls", Quantity: quantity})
		}
		q.Events = append(q.Events, granting.UsageEvent{ID: "b1", Meter: "calls", Quantity: "2"}, granting.UsageEvent{ID: "b6", Meter: "none", Quantity: "1"})
		for n := range 40 { // more than the remembered repetitions of one denial
			q.Events = append(q.Events, granting.UsageEvent{ID: "c" + strconv.Itoa(n), Meter: "calls", Quantity: "9"})
		}
		call := d.ledger.NewCall()
		if _, err := d.Usage(request.WithCall(t.Context(), call), d.p, q); err != nil {
			t.Fatal(err)
		}
		codes := map[string]string{"b1": license.CodeOK, "b2": license.CodeQuotaSpent, "b3": license.CodeOK, "b4": string(licensing.Invalid), "b5": license.CodeQuotaSpent}
		for n := range 40 {
			codes["c"+strconv.Itoa(n)] = license.CodeQuotaSpent
		}
		statuses := map[string]licensing.UsageStatus{license.CodeOK: licensing.RecordedUsage, license.CodeQuotaSpent: licensing.DeniedUsage, string(licensing.Invalid): licensing.InvalidUsage}
		for id, code := range codes {
			why, err := s.Explain(t.Context(), s.p, id)
			if err != nil || why.Kind != kindUsage || why.Decision.Code != code || why.Request != id || why.Call != call || why.Pool != "calls" || len(why.Parts) > 0 || why.Status != statuses[code] {
				t.Errorf("%s: %+v, %v; want %s", id, why, err, code)
			}
		}
		both, err := s.Explain(t.Context(), s.p, "b6")
		if err != nil || len(both.Parts) != 2 || both.Parts[0].License == both.Parts[1].License {
			t.Errorf("%+v, %v", both, err)
		}
		all, err := s.Explain(t.Context(), s.p, call)
		if err != nil || len(all.Parts) != len(codes)+1 || all.Decision.Outcome != license.Denied {
			t.Errorf("%d parts, %+v, %v", len(all.Parts), all.Decision, err)
		}
		for _, part := range all.Parts {
			if want := codes[part.Request]; want != "" && part.Decision.Code != want {
				t.Errorf("%+v", part)
			}
		}
		// An event that did not fit at first, but fits later, is recorded.
		if _, err := s.ChangeLicense(t.Context(), s.p, issued.License.ID, v1.ChangeRequest{Change: licensing.Change{
			Except: []licensing.Exception{{Meter: "calls", Adjust: licensing.Adjustment{Amount: 100}, Reason: "as agreed"}}}}); err != nil {
			t.Fatal(err)
		}
		d.use(t, "b2", "9")
		if why, err := s.Explain(t.Context(), s.p, "b2"); err != nil || why.Decision.Code != license.CodeOK || why.Quantity != "9" {
			t.Errorf("%+v, %v", why, err)
		}
	})
}

// TestWhyTakesEveryIDThatAnAnswerOrTheLogShows also checks the reason that is given for an unknown
// id.
func TestWhyTakesEveryIDThatAnAnswerOrTheLogShows(t *testing.T) {
	eachShop(t, func(t *testing.T, s *shop, d *testAuthority, issued v1.Issued) {
		ctx := t.Context()
		token, err := s.CreateToken(ctx, s.p, v1.TokenRequest{Name: "ci", Role: access.Viewer})
		if err != nil {
			t.Fatal(err)
		}
		changed, err := s.ChangeLicense(request.WithCall(ctx, d.ledger.NewCall()), s.p, issued.License.ID, v1.ChangeRequest{Change: licensing.Change{
			Except: []licensing.Exception{{Pool: "spare", Adjust: licensing.Adjustment{Amount: 9}, Reason: "as agreed"}}}})
		if err != nil {
			t.Fatal(err)
		}
		called := func() string { d.clock.pass(time.Second); return d.ledger.NewCall() }
		acquired, queued := called(), called()
		lease, err := d.Acquire(request.WithCall(ctx, acquired), d.p, ask("line", 1))
		if err != nil {
			t.Fatal(err)
		}
		waits, err := d.Acquire(request.WithCall(ctx, queued), d.p, ask("line", 2))
		if err != nil {
			t.Fatal(err)
		}
		ended := d.acquire(t, ask("seats", 3)).Lease
		if _, err := d.Release(ctx, d.p, granting.ReleaseRequest{Lease: ended.ID, Generation: ended.Generation}); err != nil {
			t.Fatal(err)
		}
		v, err := d.Validate(ctx, d.p, documents.ValidateRequest{Product: "lathe", Nonce: "nonce-of-it"})
		if err != nil {
			t.Fatal(err)
		}
		var doc license.License
		if err := json.Unmarshal([]byte(claims(t, v.License)), &doc); err != nil {
			t.Fatal(err)
		}
		kinds := map[string]string{
			string(issued.License.ID): kindLicense, string(issued.Key.ID): kindKey, doc.LicenseKeys[0]: kindKey,
			string(lease.Lease.ID): kindLease, string(ended.ID): kindLease, string(waits.Ticket.ID): kindTicket,
			"req-line-1": kindRequest, acquired: kindRequest, instancePrefix + acquired: kindRequest, queued: kindRequest,
			string(token.ID): kindLogEntry, string(s.customer): kindLogEntry, string(changed.Exceptions[0].ID): kindLogEntry, string(changed.Granted): kindLogEntry,
		}
		entries, err := s.ledger.LogEntries(ctx, owner(), ledger.LogFilter{}, request.PageOf{Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries.Items {
			whole, err := s.ledger.LogEntry(ctx, owner(), e.Index)
			if err != nil {
				t.Fatal(err)
			}
			_, leaf, _ := strings.Cut(whole.Leaf, `"id":"`)
			leaf, _, _ = strings.Cut(leaf, `"`)
			for _, id := range []string{e.Hash, strconv.FormatInt(e.Index, 10), leaf} {
				kinds[id] = kindLogEntry
				if why, err := s.Explain(ctx, s.p, id); err != nil || len(why.Entries) != 1 || why.Entries[0].Index != e.Index {
					t.Errorf("%s of entry %d: %+v, %v", id, e.Index, why, err)
				}
			}
			_, actor, _ := strings.Cut(e.Actor, ":")
			for _, id := range []string{e.Subject, e.Request, e.Call, e.License, e.Customer, actor, e.Actor} {
				if _, known := kinds[id]; !known && id != "" && !strings.HasPrefix(id, "system:") {
					kinds[id] = ""
				}
			}
		}
		if len(kinds) < 40 {
			t.Fatalf("only %d ids", len(kinds))
		}
		for id, kind := range kinds {
			why, err := s.Explain(ctx, s.p, id)
			if err != nil || kind != "" && why.Kind != kind || why.Decision.Outcome == "" {
				t.Errorf("%s: %+v, %v; want %s", id, why, err, kind)
			}
		}
		if why, err := s.Explain(ctx, s.p, acquired); err != nil || why.Lease != lease.Lease.ID || why.Holder != "holder-1" {
			t.Errorf("%+v, %v", why, err)
		}
		// A forgotten lease is still in the log.
		d.clock.pass(licensing.Remembered + time.Hour)
		if err := s.Forget(ctx); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			id   string
			p    access.Principal
			code licensing.Code
			text string
		}{
			{doc.ID, s.p, licensing.NotFound, "signed document"},
			{d.ledger.NewCall(), s.p, licensing.NotFound, "has no record"},
			{"never-heard-of", s.p, licensing.NotFound, "id never-heard-of was not found"},
			{"99999999", s.p, licensing.NotFound, "was not found"},
			{"a\x00b", s.p, licensing.Invalid, "id contains U+0000"},
			{string(issued.License.ID), access.Principal{Kind: access.KindToken, Env: testEnv, Role: access.Viewer, Customer: "cus_other"}, licensing.NotFound, ""},
			{entries.Items[0].Hash, access.Principal{Kind: access.KindToken, Env: testEnv, Role: access.Viewer}, licensing.NotFound, ""},
			{entries.Items[0].Hash, access.Principal{Kind: access.KindToken, Env: testEnv, Role: access.Auditor, Customer: "cus_other"}, licensing.NotFound, ""},
		} {
			if why, err := s.Explain(ctx, tc.p, tc.id); licensing.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%q: %+v, %v", tc.id, why, err)
			}
		}
	})
}
