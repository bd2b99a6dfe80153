package authority

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

const shopPlan = `
product: lathe
plan: studio
name: Lathe Studio
term: {length: 1y, grace: 3d}
features: {export: true, max_layers: LAYERS}
pools:
  seats: {holder: user, capacity: SEATS, lease: 15m, grace: 1h, full: deny}
`

// A shop is a deployment with a product, a plan and a customer.
type shop struct {
	*Authority
	t        *testing.T
	p        access.Principal
	customer licensing.CustomerID
	token    string
}

func openShop(t *testing.T, db *store.DB) *shop {
	t.Helper()
	return openShopOf(t, ready(t, db, "", nil))
}

func openShopOf(t *testing.T, a *Authority) *shop {
	t.Helper()
	s := &shop{Authority: a, t: t, p: access.System(testEnv, "test")}
	did, err := s.Bootstrap(t.Context(), FirstEnvironments(), func(token string) error { s.token = token; return nil })
	if err != nil || !did {
		t.Fatal(did, err)
	}
	if _, err := s.CreateProduct(t.Context(), s.p, licensing.Product{Name: "lathe", Owner: licensing.Owner{Team: "cad", Pager: "cad@example.com", Runbook: "https://example.com/run"}}); err != nil {
		t.Fatal(err)
	}
	s.apply("new", "50", "5")
	customer, err := s.CreateCustomer(t.Context(), s.p, licensing.Customer{Name: "Example", Reference: "C7"})
	if err != nil {
		t.Fatal(err)
	}
	s.customer = customer.ID
	return s
}

func plan(layers, seats string) []policy.File {
	return []policy.File{{Name: "studio.yaml", Text: strings.NewReplacer("LAYERS", layers, "SEATS", seats).Replace(shopPlan)}}
}

func (s *shop) apply(who, layers, seats string) v1.Impact {
	s.t.Helper()
	impact, err := s.ApplyPlans(s.t.Context(), s.p, v1.ApplyRequest{Files: plan(layers, seats), Licenses: who})
	if err != nil {
		s.t.Fatal(err)
	}
	return impact
}

func (s *shop) issue() v1.Issued {
	s.t.Helper()
	issued, err := s.IssueLicense(s.t.Context(), s.p, v1.IssueRequest{Customer: s.customer, Plan: "studio"})
	if err != nil {
		s.t.Fatal(err)
	}
	return issued
}

// hold makes a pool look as if leases held units.
func (s *shop) hold(id licensing.LicenseID, units int64) {
	s.t.Helper()
	err := s.ledger.DB.Update(s.t.Context(), func(tx *store.Tx) error {
		return tx.PutPools(s.t.Context(), []*store.Pool{{
			PoolKey: store.PoolKey{Env: testEnv, License: id, Name: "seats"}, Stock: licensing.Stock{Held: units, Leases: units}, Capacity: units,
		}})
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) license(id licensing.LicenseID) licensing.License {
	s.t.Helper()
	l, err := s.License(s.t.Context(), s.p, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func TestAPlanSaysWhoGainsAndWhoLosesBeforeItMovesAnybody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		old := s.issue().License
		other := s.issue().License
		if again := s.apply("all", "50", "5"); again.Plans[0].Status != "unchanged" || again.Moving != 0 {
			t.Errorf("the same plan again: %+v", again)
		}
		dry, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: plan("80", "4"), Licenses: "all", DryRun: true})
		if err != nil || dry.Applied || dry.Moving != 2 || dry.Gaining != 2 || dry.Losing != 2 {
			t.Errorf("a dry run: %+v (%v)", dry, err)
		}
		if l := s.license(old.ID); l.Granted != old.Granted || l.Seq != old.Seq {
			t.Error("a dry run moved a license")
		}
		// Only new licenses: existing ones do not change.
		s.apply("new", "80", "4")
		if l := s.license(old.ID); l.Granted != old.Granted {
			t.Error("a license moved, although only new ones should")
		}
		fresh := s.issue().License
		if fresh.Granted == old.Granted {
			t.Error("a new license has the old revision")
		}
		// A filter moves the matching licenses.
		s.apply("license="+string(other.ID), "80", "4")
		if l := s.license(other.ID); l.Granted != fresh.Granted || l.Seq.Counter != 2 {
			t.Errorf("the named license: %+v", l)
		}
		// Units in use are not taken away silently.
		s.hold(old.ID, 5)
		_, err = s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: plan("80", "4"), Licenses: "all"})
		if licensing.CodeOf(err) != licensing.Conflict || s.license(old.ID).Granted != old.Granted {
			t.Errorf("five of four units are in use: %v", err)
		}
		impact, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: plan("80", "4"), Licenses: "all", Below: licensing.BelowDrain})
		if err != nil || len(impact.Licenses) != 1 || len(impact.Licenses[0].Shortages) != 1 || s.license(old.ID).Granted != fresh.Granted {
			t.Errorf("draining: %+v (%v)", impact, err)
		}
		if back := s.apply("all", "50", "5"); back.Moving != 3 {
			t.Errorf("rolled back: %+v", back)
		}
		if l := s.license(fresh.ID); l.Granted != old.Granted {
			t.Error("a license stayed behind")
		}
		if _, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: plan("x", "-1")}); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("a plan with faults: %v", err)
		}
	})
}

func TestACapacityBelowWhatIsHeldNeedsAWord(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		id := s.issue().License.ID
		s.hold(id, 5)
		change := func(seats int64, below licensing.Below, when licensing.When) error {
			req := v1.ChangeRequest{Capacity: map[string]int64{"seats": seats}}
			req.Below, req.When = below, when
			_, err := s.ChangeLicense(t.Context(), s.p, id, req)
			return err
		}
		if err := change(3, "", ""); licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("refused: %v", err)
		}
		if err := change(3, licensing.BelowOverdraft, ""); licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("the plan has no overdraft: %v", err)
		}
		if err := change(3, licensing.BelowDrain, ""); err != nil {
			t.Error(err)
		}
		if err := change(9, "", ""); err != nil || len(s.license(id).Exceptions) != 1 {
			t.Errorf("a capacity replaces the previous one: %v %v", s.license(id).Exceptions, err)
		}
		if err := change(2, "", licensing.ChangeAtRenewal); err != nil || len(s.license(id).Scheduled) != 1 {
			t.Errorf("at renewal: %v", err)
		}
		end := s.license(id).End
		l, err := s.RenewLicense(t.Context(), s.p, id, v1.RenewRequest{After: end})
		if err != nil || len(l.Scheduled) != 1 || len(l.Exceptions) != 1 || !l.ChangeAt.Equal(end) {
			t.Errorf("renewed early: %+v (%v)", l, err)
		}
	})
}

func TestAnImportIsAllOrNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		file := "key,customer,plan,reference,end\nOLD-KEY-0001-ABCD,ref:C7,studio,a,2040-01-31\n" +
			"OLD-KEY-0002-ABCD," + string(s.customer) + ",studio,b,\n"
		bad := file + "OLD-KEY-0001-ABCD,ref:C7,studio,c,\nOLD-KEY-0003-ABCD,ref:C8,studio,d,\nshort,ref:C7,studio,e,\n"
		count := func(want int) {
			t.Helper()
			page, err := s.Licenses(t.Context(), s.p, catalog.LicenseFilter{}, request.PageOf{})
			if err != nil || len(page.Items) != want {
				t.Errorf("%d licenses, want %d (%v)", len(page.Items), want, err)
			}
		}
		got, err := s.ImportLicenses(t.Context(), s.p, v1.ImportRequest{CSV: bad})
		if err != nil || got.Imported != 0 || got.Failed != 3 || got.Errors[0].Line != 4 {
			t.Errorf("with bad lines: %+v (%v)", got, err)
		}
		count(0)
		if got, err = s.ImportLicenses(t.Context(), s.p, v1.ImportRequest{CSV: bad, DryRun: true}); err != nil || got.Imported != 2 {
			t.Errorf("a dry run: %+v (%v)", got, err)
		}
		count(0)
		if got, err = s.ImportLicenses(t.Context(), s.p, v1.ImportRequest{CSV: bad, Partial: true}); err != nil || got.Imported != 2 || got.Failed != 3 {
			t.Errorf("the good lines: %+v (%v)", got, err)
		}
		count(2)
		p, err := s.Authenticate(t.Context(), "License OLD-KEY-0001-ABCD", "", free)
		if err != nil || p.Customer != s.customer || !s.license(p.License).End.Equal(time.Date(2040, 1, 31, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("the old key: %+v (%v)", p, err)
		}
		for _, text := range []string{"", "key\nx\n", "key,customer,plan,colour\n"} {
			if _, err := s.ImportLicenses(t.Context(), s.p, v1.ImportRequest{CSV: text}); licensing.CodeOf(err) != licensing.Invalid {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// TestEachFaultOfAnImportIsAtItsLine counts lines like an editor, including empty lines and lines
// within quotes.
func TestEachFaultOfAnImportIsAtItsLine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		file := "key,customer,plan,reference\n\nshort,ref:C7,studio,line 3\n\"two\nlines of it\",ref:C7,studio,line 4\n\n\nOLD-KEY-0001-ABCD,ref:C8,studio,line 8\n"
		got, err := s.ImportLicenses(t.Context(), s.p, v1.ImportRequest{CSV: file})
		lines := []int{}
		for _, fault := range got.Errors {
			lines = append(lines, fault.Line)
		}
		if err != nil || !slices.Equal(lines, []int{3, 4, 8}) {
			t.Errorf("faults at %v, want 3, 4 and 8: %+v (%v)", lines, got, err)
		}
	})
}

// free allows every lookup of a credential.
func free() error { return nil }

func TestManyLicensesAreIssuedTogetherOrNotAtAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		requests := slices.Repeat([]v1.IssueRequest{{Customer: s.customer, Plan: "studio"}}, catalog.MaxIssue)
		all, err := s.IssueLicenses(t.Context(), s.p, requests)
		if err != nil || len(all) != catalog.MaxIssue {
			t.Fatal(len(all), err)
		}
		seen, cursor := map[licensing.LicenseID]bool{}, ""
		for {
			page, err := s.Licenses(t.Context(), s.p, catalog.LicenseFilter{}, request.PageOf{Limit: 300, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range page.Items {
				seen[l.ID] = true
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if len(seen) != catalog.MaxIssue {
			t.Errorf("the list has %d licenses", len(seen))
		}
		requests[7].Customer = "cus_nobody"
		if _, err := s.IssueLicenses(t.Context(), s.p, requests); licensing.CodeOf(err) != licensing.NotFound || !strings.Contains(err.Error(), "license 8 of") {
			t.Errorf("one has no customer: %v", err)
		}
		if status, err := s.Status(t.Context(), s.p); err != nil || status.Licenses.Active != catalog.MaxIssue {
			t.Errorf("%d were issued with one that could not be (%v)", status.Licenses.Active-catalog.MaxIssue, err)
		}
	})
}

// Licenses that end before a date are sorted by their end, across pages, also if several end together.
// A cursor of another list is refused.
func TestLicensesThatEndAreListedByTheirEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		now := time.Now().Truncate(time.Hour)
		var requests []v1.IssueRequest
		for _, months := range []int{5, 2, 9, 2, 2, 7, 1, 30} {
			requests = append(requests, v1.IssueRequest{Customer: s.customer, Plan: "studio", End: now.AddDate(0, months, 0)})
		}
		if _, err := s.IssueLicenses(t.Context(), s.p, requests); err != nil {
			t.Fatal(err)
		}
		for name, f := range map[string]catalog.LicenseFilter{"all": {}, "of a customer": {Customer: s.customer}, "of a plan, active": {Plan: "studio", Status: licensing.Active}} {
			f.EndsBefore = now.AddDate(0, 10, 0)
			var ends []int64
			seen := map[licensing.LicenseID]bool{}
			page := request.Page[v1.ListedLicense]{}
			for first := true; first || page.Next != ""; first = false {
				var err error
				if page, err = s.Licenses(t.Context(), s.p, f, request.PageOf{Limit: 2, Cursor: page.Next}); err != nil {
					t.Fatal(err)
				}
				for _, l := range page.Items {
					ends, seen[l.ID] = append(ends, l.End.Unix()), true
				}
			}
			if !slices.IsSorted(ends) || len(ends) != 7 || len(seen) != 7 {
				t.Errorf("%s: %d listed, %d different: %v", name, len(ends), len(seen), ends)
			}
		}
		byID, err := s.Licenses(t.Context(), s.p, catalog.LicenseFilter{}, request.PageOf{Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Licenses(t.Context(), s.p, catalog.LicenseFilter{EndsBefore: now.AddDate(0, 10, 0)}, request.PageOf{Limit: 2, Cursor: byID.Next})
		if licensing.CodeOf(err) != licensing.Invalid || !strings.Contains(err.Error(), "does not belong to this list") {
			t.Errorf("the cursor of another list: %v", err)
		}
	})
}

// TestAKeyEndsByTheTimeOfTheDatabase checks that this machine's clock, which is an hour behind,
// does not keep an ended key valid.
func TestAKeyEndsByTheTimeOfTheDatabase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		db.Now = func() time.Time { return time.Now().Add(time.Hour) }
		s := openShop(t, db)
		issued := s.issue()
		if _, err := s.RotateKey(t.Context(), s.p, issued.License.ID, v1.KeyRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Authenticate(t.Context(), "License "+issued.Key.Text, "", func() error { return nil }); licensing.CodeOf(err) != licensing.Unauthenticated {
			t.Errorf("an ended key: %v", err)
		}
	})
}

func TestACredentialIsForgottenWithItsEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		looked := 0
		look := func() error { looked++; return nil }
		issued := s.issue()
		for range 3 {
			if p, err := s.Authenticate(t.Context(), "License "+strings.ToLower(issued.Key.Text), "", look); err != nil || p.License != issued.License.ID {
				t.Fatalf("%+v, %v", p, err)
			}
		}
		if looked != 1 {
			t.Errorf("a good key was looked up %d times", looked)
		}
		if _, err := s.RotateKey(t.Context(), s.p, issued.License.ID, v1.KeyRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Authenticate(t.Context(), "License "+issued.Key.Text, "", look); licensing.CodeOf(err) != licensing.Unauthenticated || !strings.Contains(err.Error(), "license key has ended") {
			t.Errorf("an ended key: %v", err)
		}
		_, unknown := licensing.NewKey([4]byte{1}, [16]byte{2})
		if _, err := s.Authenticate(t.Context(), "License "+unknown, "", look); licensing.CodeOf(err) != licensing.Unauthenticated || !strings.Contains(err.Error(), "license key is not known") {
			t.Errorf("an unknown key: %v", err)
		}
		if _, err := s.Authenticate(t.Context(), "License "+unknown[:len(unknown)-1]+"Z", "", look); licensing.CodeOf(err) != licensing.Unauthenticated || !strings.Contains(err.Error(), "typing mistake") {
			t.Errorf("a mistyped key: %v", err)
		}
		created, err := s.CreateToken(t.Context(), s.p, v1.TokenRequest{Name: "ci", Role: access.Viewer})
		if err != nil {
			t.Fatal(err)
		}
		bearer := "Bearer " + created.Text
		if p, err := s.Authenticate(t.Context(), bearer, "", look); err != nil || p.Role != access.Viewer || p.Env != testEnv {
			t.Errorf("%+v, %v", p, err)
		}
		if _, err := s.Authenticate(t.Context(), bearer, "staging", look); licensing.CodeOf(err) != licensing.Forbidden {
			t.Errorf("a token of production in staging: %v", err)
		}
		if err := s.SaveTokenUses(t.Context()); err != nil {
			t.Error(err)
		}
		if token, err := s.Token(t.Context(), s.p, created.ID); err != nil || token.UsedAt.IsZero() {
			t.Errorf("%+v, %v", token, err)
		}
		if err := s.DeleteToken(t.Context(), s.p, created.ID); err != nil {
			t.Error(err)
		}
		looked = 0
		for range 3 {
			if _, err := s.Authenticate(t.Context(), bearer, "", look); licensing.CodeOf(err) != licensing.Unauthenticated {
				t.Errorf("an ended token: %v", err)
			}
		}
		if looked != 1 {
			t.Errorf("a bad token was looked up %d times", looked)
		}
		refused := errors.New("too many")
		if _, err := s.Authenticate(t.Context(), "License nobody-knows-it", "", func() error { return refused }); !errors.Is(err, refused) {
			t.Errorf("looked up although refused: %v", err)
		}
		if p, err := s.Authenticate(t.Context(), "Bearer "+s.token, testEnv, look); err != nil || !p.Spans || p.Role != access.Owner {
			t.Errorf("the first owner: %+v, %v", p, err)
		}
	})
}

// TestATokenShownAsALicenseKeyIsNobody checks that the cache of valid and invalid secrets also
// remembers their kind.
func TestATokenShownAsALicenseKeyIsNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		created, err := s.CreateToken(t.Context(), s.p, v1.TokenRequest{Name: "ci", Role: access.Viewer})
		if err != nil {
			t.Fatal(err)
		}
		isNobody := func(token string) {
			t.Helper()
			if p, err := s.Authenticate(t.Context(), "License "+token, "", free); licensing.CodeOf(err) != licensing.Unauthenticated {
				t.Errorf("a token shown as a license key is %+v (%v)", p, err)
			}
		}
		isKnown := func(token string) {
			t.Helper()
			if p, err := s.Authenticate(t.Context(), "Bearer "+token, testEnv, free); err != nil || p.Kind != access.KindToken {
				t.Errorf("a token is %+v (%v)", p, err)
			}
		}
		isKnown(s.token)
		isNobody(s.token)
		isNobody(created.Text)
		isKnown(created.Text)
	})
}

// TestOfManyWritesUnderOneKeyOneIsDone sends the same write several times at once.
func TestOfManyWritesUnderOneKeyOneIsDone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		p, err := s.Authenticate(t.Context(), "Bearer "+s.token, testEnv, free)
		if err != nil {
			t.Fatal(err)
		}
		p.Once = access.Once{Route: "issue", Key: "order 7"}
		var mu sync.Mutex
		keys := map[string]bool{}
		var work sync.WaitGroup
		for range 8 {
			work.Go(func() {
				issued, err := s.IssueLicense(t.Context(), p, v1.IssueRequest{Customer: s.customer, Plan: "studio"})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				keys[issued.Key.Text] = true
			})
		}
		work.Wait()
		page, err := s.Licenses(t.Context(), s.p, catalog.LicenseFilter{}, request.PageOf{})
		if err != nil || len(keys) != 1 || len(page.Items) != 1 {
			t.Errorf("%d keys and %d licenses, want one (%v)", len(keys), len(page.Items), err)
		}
	})
}

func TestTheFirstOwnersTokenIsReadByItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "owner.token")
	for n := range 2 {
		if err := TokenFile(path)(fmt.Sprint("token ", n)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if text, _ := os.ReadFile(path); string(text) != "token 1\n" {
		t.Errorf("%q", text)
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		did, err := s.Bootstrap(t.Context(), FirstEnvironments(), func(string) error { t.Error("a second first owner"); return nil })
		if did || err != nil {
			t.Error(did, err)
		}
	})
}
