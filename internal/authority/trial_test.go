package authority

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

const trialPlan = `
product: lathe
plan: trial
term: {length: 14d, trial: true, once: ONCE}
pools:
  machines: {holder: machine, capacity: 2, lease: none, match: {need: 2, of: 3}, full: deny}
`

// limits applies the trial plan. once is customer, machine or nobody.
func (s *shop) limits(once string) {
	s.t.Helper()
	text := strings.Replace(trialPlan, "ONCE", once, 1)
	if once == "" {
		text = strings.Replace(trialPlan, ", once: ONCE", "", 1)
	}
	if _, err := s.ApplyPlans(s.t.Context(), s.p, v1.ApplyRequest{Files: []policy.File{{Name: "trial.yaml", Text: text}}, Licenses: "all"}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) trialFor(customer licensing.CustomerID) (v1.Issued, error) {
	return s.IssueLicense(s.t.Context(), s.p, v1.IssueRequest{Customer: customer, Plan: "trial"})
}

func (s *shop) customerNamed(name, email, reference string) licensing.CustomerID {
	s.t.Helper()
	c, err := s.CreateCustomer(s.t.Context(), s.p, licensing.Customer{Name: name, Email: email, Reference: reference})
	if err != nil {
		s.t.Fatal(err)
	}
	return c.ID
}

func (s *shop) refusedTrial(what string, err error) {
	s.t.Helper()
	if licensing.CodeOf(err) != licensing.Conflict || !strings.Contains(err.Error(), "the trial of lathe") {
		s.t.Errorf("%s: %v", what, err)
	}
}

// TestACustomerHasATrialOnce tries every way in which a customer could get a second trial.
func TestACustomerHasATrialOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.limits("")
		early := s.customerNamed("Early", "", "")
		if _, err := s.trialFor(early); err != nil {
			t.Fatal(err)
		}
		s.limits("customer")
		_, err := s.trialFor(early)
		s.refusedTrial("after one that was issued before the plan was limited", err)

		first, err := s.trialFor(s.customer)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.trialFor(s.customer)
		s.refusedTrial("issued again", err)
		other := s.customerNamed("Other", "", "C8")
		_, err = s.IssueLicenses(t.Context(), s.p, []v1.IssueRequest{{Customer: other, Plan: "trial"}, {Customer: other, Plan: "trial"}})
		s.refusedTrial("twice in one request", err)
		file := "key,customer,plan\nOLD-KEY-0001-ABCD,ref:C7,trial\nOLD-KEY-0002-ABCD,ref:C8,trial\nOLD-KEY-0003-ABCD,ref:C8,trial\n"
		got, err := s.ImportLicenses(t.Context(), s.p, v1.ImportRequest{CSV: file, Partial: true})
		if err != nil || got.Imported != 1 || got.Failed != 2 || got.Errors[0].Line != 2 || got.Errors[1].Line != 4 {
			t.Errorf("an import: %+v, %v", got, err)
		}
		if page, err := s.Licenses(t.Context(), s.p, catalog.LicenseFilter{Plan: "trial"}, request.PageOf{}); err != nil || len(page.Items) != 3 {
			t.Errorf("%d trials (%v): a refused trial was stored", len(page.Items), err)
		}
		_, err = s.TransferLicense(t.Context(), s.p, first.License.ID, v1.TransferRequest{Customer: other})
		s.refusedTrial("by a transfer", err)
		third := s.customerNamed("Third", "", "")
		if _, err := s.TransferLicense(t.Context(), s.p, first.License.ID, v1.TransferRequest{Customer: third}); err != nil {
			t.Error(err)
		}
		_, err = s.trialFor(third)
		s.refusedTrial("after a transfer", err)
		_, err = s.trialFor(s.customer)
		s.refusedTrial("after the trial was given away", err)

		bought := s.issue().License.ID // the customer has had a trial
		for _, when := range []licensing.When{licensing.ChangeNow, licensing.ChangeAtRenewal} {
			_, err = s.ChangeLicense(t.Context(), s.p, bought, v1.ChangeRequest{Change: licensing.Change{Plan: "trial", When: when}})
			s.refusedTrial("by a change of plan, "+string(when), err)
		}
		if _, err = s.ChangeLicense(t.Context(), s.p, first.License.ID, v1.ChangeRequest{Change: licensing.Change{Plan: "studio"}}); err != nil {
			t.Error(err)
		}
		_, err = s.trialFor(third)
		s.refusedTrial("after the trial became a purchase", err)
	})
}

func TestOfManyTrialsAtOnceACustomerGetsOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.limits("customer")
		const asks = 8
		errs := make([]error, asks)
		parallel(asks, func(n int) { _, errs[n] = s.trialFor(s.customer) })
		issued := 0
		for _, err := range errs {
			if err == nil {
				issued++
			} else {
				s.refusedTrial("at once", err)
			}
		}
		if issued != 1 {
			t.Errorf("%d of %d trials were issued", issued, asks)
		}
	})
}

// TestADeletedCustomersTrialIsRememberedFor400Days creates the customer again, with the same
// address or reference. No data that names the customer remains.
func TestADeletedCustomersTrialIsRememberedFor400Days(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clock := newTestClock()
		db.Now = clock.Now
		sealing, err := signing.NewSealingKey()
		if err != nil {
			t.Fatal(err)
		}
		a := New(ledger.Config{DB: db, Ring: signing.NewRing(sealing), Now: clock.Now, Machine: clock.machine()})
		t.Cleanup(a.Close)
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := openShopOf(t, a)
		s.limits("customer")
		gone := s.customerNamed("Gone", "ann@gone.example", "crm-77")
		l, err := s.trialFor(gone)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.TransferLicense(t.Context(), s.p, l.License.ID, v1.TransferRequest{Customer: s.customerNamed("Archive", "", "")}); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteCustomer(t.Context(), s.p, gone); err != nil {
			t.Fatal(err)
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			left, err := tx.Trials(t.Context(), testEnv, string(gone))
			for _, row := range left {
				if strings.Contains(row.Subject, "gone") || strings.Contains(row.Subject, "77") || row.Forget.IsZero() {
					t.Errorf("the remaining records name the customer, or are kept forever: %+v", row)
				}
			}
			if len(left) != 2 {
				t.Errorf("%d records are kept", len(left))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		again := s.customerNamed("New name", "Ann@Gone.example", "")
		_, err = s.trialFor(again)
		s.refusedTrial("with the same address", err)
		if err := s.DeleteCustomer(t.Context(), s.p, again); err != nil {
			t.Fatal(err)
		}
		referred := s.customerNamed("New name", "", "crm-77")
		_, err = s.trialFor(referred)
		s.refusedTrial("with the same reference", err)
		if _, err := s.trialFor(s.customerNamed("Somebody", "bob@gone.example", "crm-78")); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		clock.pass(licensing.TrialRemembered - time.Hour)
		_, err = s.trialFor(referred)
		s.refusedTrial("on the last day", err)
		clock.pass(2 * time.Hour)
		if _, err := s.trialFor(referred); err != nil {
			t.Errorf("after 400 days: %v", err)
		}
		if err := s.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			left, err := tx.Trials(t.Context(), testEnv, string(gone))
			if len(left) != 0 {
				t.Errorf("%d rows stay: %+v", len(left), left)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// hardware returns the components of a machine with the given board, drive and network card.
func hardware(board, drive, card string) map[string]string {
	components := map[string]string{}
	for name, value := range map[string]string{license.ComponentBoard: board, license.ComponentDrive: drive, license.ComponentNetwork: card} {
		components[name] = license.HashComponent([]byte("salt"), name, value)
	}
	return components
}

// onMachine requests a unit of the trial's machines, then checks whether it would get one.
func (s *shop) onMachine(key, req, holder string, components map[string]string) license.Decision {
	s.t.Helper()
	p, err := s.Authenticate(s.t.Context(), "License "+key, "", free)
	if err != nil {
		s.t.Fatal(err)
	}
	machine := request.Holder{Kind: licensing.HolderMachine, ID: holder, Components: components}
	checked, err := s.Check(s.t.Context(), p, granting.CheckRequest{Pool: "machines", Holder: machine})
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := s.Acquire(s.t.Context(), p, granting.AcquireRequest{RequestID: req, Pool: "machines", Units: 1, Holder: machine})
	if err != nil {
		s.t.Fatal(err)
	}
	if got.Decision.Outcome != checked.Decision.Outcome || got.Decision.Outcome == license.Denied && got.Decision.Code != checked.Decision.Code {
		s.t.Errorf("%s: a check returns %+v, but an acquire %+v", req, checked.Decision, got.Decision)
	}
	return got.Decision
}

// TestAMachineHasATrialOnce moves one machine from trial to trial: with another name, with a
// replaced part, after its lease was freed, online and with a license file.
func TestAMachineHasATrialOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.limits("machine")
		var trials []v1.Issued
		for range 3 {
			l, err := s.trialFor(s.customer) // a customer is not limited
			if err != nil {
				t.Fatal(err)
			}
			trials = append(trials, l)
		}
		cell, repaired, other := hardware("b1", "d1", "n1"), hardware("b1", "d9", "n1"), hardware("b2", "d2", "n2")
		allowed := func(what string, d license.Decision) {
			t.Helper()
			if d.Outcome != license.Allowed {
				t.Errorf("%s: %+v", what, d)
			}
		}
		used := func(what string, d license.Decision) {
			t.Helper()
			if d.Outcome != license.Denied || d.Code != license.CodeTrialUsed {
				t.Errorf("%s: %+v", what, d)
			}
		}
		allowed("a machine's first trial", s.onMachine(trials[0].Key.Text, "a", "cell", cell))
		allowed("the same trial again", s.onMachine(trials[0].Key.Text, "b", "cell", cell))
		allowed("another machine", s.onMachine(trials[0].Key.Text, "c", "other", other))
		used("a second trial", s.onMachine(trials[1].Key.Text, "d", "cell", cell))
		used("under another name and with a new drive", s.onMachine(trials[1].Key.Text, "e", "new", repaired))
		leases, err := s.Leases(t.Context(), s.p, LeaseFilter{License: trials[0].License.ID}, request.PageOf{})
		if err != nil || len(leases.Items) != 2 {
			t.Fatal(leases, err)
		}
		key, err := s.Authenticate(t.Context(), "License "+trials[0].Key.Text, "", free)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leases.Items {
			if _, err := s.Release(t.Context(), key, granting.ReleaseRequest{Lease: l.ID, Generation: l.Generation}); err != nil {
				t.Fatal(err)
			}
		}
		used("after its lease was given back", s.onMachine(trials[1].Key.Text, "f", "cell", cell))
		allowed("its own trial after that", s.onMachine(trials[0].Key.Text, "g", "cell", cell))

		export := func(n int, machine request.Holder) error {
			_, err := s.ExportLicense(t.Context(), s.p, trials[n].License.ID, machine)
			return err
		}
		if err := export(2, request.Holder{}); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("a file for any machine: %v", err)
		}
		s.refusedTrial("a file for a machine that had the trial", export(2, request.Holder{Kind: licensing.HolderMachine, ID: "cell", Components: cell}))
		away := hardware("b3", "d3", "n3")
		file, err := s.ExportLicense(t.Context(), s.p, trials[2].License.ID, request.Holder{Kind: licensing.HolderMachine, ID: "away", Components: away})
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := license.NewVerifier(s.ledger.Ring.Issuer(testEnv), "lathe", s.ledger.Ring.RootSet(testEnv))
		if err == nil {
			verifier, err = verifier.WithBundle(file, s.ledger.Now().Unix())
		}
		if err != nil {
			t.Fatal(err)
		}
		if doc, err := verifier.Filed().License(file.Doc, s.ledger.Now().Unix()); err != nil || doc.Binding == nil || doc.Binding.Holder != "away" || doc.Binding.Need != 2 || !doc.Binding.Matches(away) || doc.Binding.Matches(cell) {
			t.Errorf("the file does not name its machine: %+v, %v", doc, err)
		}
		if err := export(2, request.Holder{Kind: licensing.HolderMachine, ID: "away", Components: away}); err != nil {
			t.Errorf("the same file again: %v", err)
		}
		used("online after the file", s.onMachine(trials[1].Key.Text, "h", "away", away))
		plain := s.issue().License.ID
		if _, err := s.ExportLicense(t.Context(), s.p, plain, request.Holder{Kind: licensing.HolderMachine, ID: "away", Components: away}); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("a file without such a trial names a machine: %v", err)
		}
	})
}

func TestOfManyTrialsAtOnceAMachineGetsOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.limits("machine")
		const asks = 6
		keys := make([]access.Principal, asks)
		for n := range keys {
			l, err := s.trialFor(s.customer)
			if err != nil {
				t.Fatal(err)
			}
			if keys[n], err = s.Authenticate(t.Context(), "License "+l.Key.Text, "", free); err != nil {
				t.Fatal(err)
			}
		}
		outcomes := make([]license.Outcome, asks)
		parallel(asks, func(n int) {
			got, err := s.Acquire(t.Context(), keys[n], granting.AcquireRequest{RequestID: "r", Pool: "machines", Units: 1,
				Holder: request.Holder{Kind: licensing.HolderMachine, ID: "cell", Components: hardware("b1", "d1", "n1")}})
			if err != nil {
				t.Error(err)
			}
			outcomes[n] = got.Decision.Outcome
		})
		var granted int64
		for _, o := range outcomes {
			granted += granting.Btoi(o == license.Allowed)
		}
		if granted != 1 {
			t.Errorf("the machine got %d trials of %d", granted, asks)
		}
	})
}

// besideTrial gives a trial in one transaction on PostgreSQL, and requests another in a second one
// that begins before the first has ended. It returns the second answer.
func besideTrial(t *testing.T, s *shop, url string, give func(*ledger.Tx) error, ask func() error) error {
	t.Helper()
	raw, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answered := make(chan error, 1)
	var begin sync.Once
	err = s.ledger.Update(ctx, testEnv, "test", func(tx *ledger.Tx) (err error) {
		if err := give(tx); err != nil {
			return err
		}
		begin.Do(func() {
			waiting, stop := context.WithCancel(ctx)
			go func() {
				answered <- ask()
				stop() // it did not wait
			}()
			if err = somebodyWaits(waiting, raw); waiting.Err() != nil {
				err = ctx.Err()
			}
			stop()
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return <-answered
}

func TestOfTwoTrialsOfACustomerTheFirstCounts(t *testing.T) {
	url := storetest.PostgresURL(t)
	s := openShop(t, connect(t, url))
	s.limits("customer")
	err := besideTrial(t, s, url, func(tx *ledger.Tx) error {
		i := catalog.NewIssuing(tx, s.p)
		_, err := i.Issue(t.Context(), v1.IssueRequest{Customer: s.customer, Plan: "trial"})
		return err
	}, func() error {
		_, err := s.trialFor(s.customer)
		return err
	})
	s.refusedTrial("beside the first", err)
}

func TestOfTwoTrialsOfAMachineTheFirstCounts(t *testing.T) {
	url := storetest.PostgresURL(t)
	s := openShop(t, connect(t, url))
	s.limits("machine")
	file, err := s.trialFor(s.customer)
	if err != nil {
		t.Fatal(err)
	}
	seat, err := s.trialFor(s.customer)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.Authenticate(t.Context(), "License "+seat.Key.Text, "", free)
	if err != nil {
		t.Fatal(err)
	}
	machine := request.Holder{Kind: licensing.HolderMachine, ID: "cell", Components: hardware("b1", "d1", "n1")}
	var got granting.Granted
	err = besideTrial(t, s, url, func(tx *ledger.Tx) error {
		_, err := s.Exported(t.Context(), tx, licensing.License(file.License), machine)
		return err
	}, func() (err error) {
		got, err = s.Acquire(t.Context(), key, granting.AcquireRequest{RequestID: "r", Pool: "machines", Units: 1, Holder: machine})
		return err
	})
	if err != nil || got.Decision.Code != license.CodeTrialUsed {
		t.Errorf("next to the first: %+v, %v", got.Decision, err)
	}
}
