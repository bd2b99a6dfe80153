package authority

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/jobs"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// importFile returns an import file with n rows for the customer with reference C7.
func importFile(from, n int) string {
	var text strings.Builder
	text.WriteString("key,customer,plan,reference\n")
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&text, "OLD-KEY-%08d,ref:C7,studio,old-%d\n", i, i)
	}
	return text.String()
}

// imported returns how many licenses were imported in all.
func (s *shop) imported() (n int) {
	s.t.Helper()
	for of := (request.PageOf{Limit: request.MaxPage}); ; {
		page, err := s.ledger.LogEntries(s.t.Context(), s.p, ledger.LogFilter{Type: licensing.LicenseImported}, of)
		if err != nil {
			s.t.Fatal(err)
		}
		if n += len(page.Items); page.Next == "" {
			return n
		}
		of.Cursor = page.Next
	}
}

// openShopAt is openShop with a clock.
func openShopAt(t *testing.T, db *store.DB, clock *testClock) *shop {
	t.Helper()
	sealing, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	db.Now = clock.Now
	a := New(ledger.Config{DB: db, Ring: signing.NewRing(sealing), Now: clock.Now, Machine: clock.machine()})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return openShopOf(t, a)
}

// runJobs runs the jobs of j, as a server of its own, until the returned function is called.
func (s *shop) runJobs(j *jobs.Jobs) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	running.Go(func() { j.Tasks()[0].Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	s.t.Cleanup(stop)
	return stop
}

// jobEnds returns a job once it has ended.
func (s *shop) jobEnds(id licensing.JobID) v1.Job {
	s.t.Helper()
	return s.jobBecomes(id, func(job v1.Job) bool { return job.Status.Ended() })
}

func (s *shop) jobBecomes(id licensing.JobID, so func(v1.Job) bool) v1.Job {
	s.t.Helper()
	for poll := time.NewTicker(time.Millisecond); ; <-poll.C {
		job, err := s.Jobs.Show(s.t.Context(), s.p, id)
		if err != nil {
			s.t.Fatal(err)
		}
		if so(job) {
			poll.Stop()
			return job
		}
	}
}

// results returns all results of a job, read in small pages.
func (s *shop) results(id licensing.JobID, failed bool) (all []v1.JobResult) {
	s.t.Helper()
	for of := (request.PageOf{Limit: 7}); ; {
		page, err := s.Jobs.Results(s.t.Context(), s.p, id, failed, of)
		if err != nil {
			s.t.Fatal(err)
		}
		if all = append(all, page.Items...); page.Next == "" {
			return all
		}
		if len(page.Items) == 0 {
			s.t.Fatal("a page is empty although another one follows")
		}
		of.Cursor = page.Next
	}
}

// importJob creates an import.
func (s *shop) importJob(req v1.ImportJobRequest) v1.Job {
	s.t.Helper()
	job, err := s.Jobs.Import(s.t.Context(), s.p, req)
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

func csvOf(text string) v1.ImportJobRequest {
	return v1.ImportJobRequest{ImportRequest: v1.ImportRequest{CSV: text}}
}

// TestAJobDoesEachItemOnceThoughServersStop stops the server that runs an import at random moments,
// while another server tries to run the same job.
func TestAJobDoesEachItemOnceThoughServersStop(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		const rows = 300
		job := s.importJob(csvOf(importFile(0, rows)))
		if job.Status != licensing.JobQueued || job.Total != rows {
			t.Fatalf("%+v", job)
		}
		for stopped := 0; stopped < 5 && !job.Status.Ended(); stopped++ {
			was := job.Done
			first, second := s.runJobs(jobs.New(s.ledger, s.Catalog)), s.runJobs(jobs.New(s.ledger, s.Catalog))
			job = s.jobBecomes(job.ID, func(job v1.Job) bool { return job.Status.Ended() || job.Done != was && rand.N(3) == 0 })
			first()
			second()
		}
		s.runJobs(s.Jobs)
		job = s.jobEnds(job.ID)
		if job.Status != licensing.JobSucceeded || job.Done != rows || job.Failed != 0 {
			t.Errorf("%+v", job)
		}
		all := s.results(job.ID, false)
		seen := map[licensing.LicenseID]bool{}
		for i, r := range all {
			if r.Line != i+2 || r.Error != nil || seen[r.License] || s.license(r.License).Reference != fmt.Sprintf("old-%d", i) {
				t.Fatalf("result %d: %+v", i, r)
			}
			seen[r.License] = true
		}
		if n := s.imported(); len(all) != rows || n != rows {
			t.Errorf("%d results and %d entries for %d rows", len(all), n, rows)
		}
		if s.entries(licensing.JobCreated) != 1 || s.entries(licensing.JobEnded) != 1 {
			t.Error("the log does not say once that the job was created and has ended")
		}
	})
}

// TestAJobChangesNothingIfAnItemIsFaulty checks that faults in any part of a file are listed with
// their lines, that nothing is imported then, and that a partial import does the rest.
func TestAJobChangesNothingIfAnItemIsFaulty(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.runJobs(s.Jobs)
		first, second := importFile(0, 150), "key,customer,plan,reference\nshort,ref:C7,studio,\nOLD-KEY-00000003,ref:C7,studio,again\nOLD-KEY-99,ref:C7,studio,free\nOLD-KEY-98,ref:C7,nothing,\n"
		send := func(req v1.ImportJobRequest) v1.Job {
			req.CSV, req.More = first, true
			job := s.importJob(req)
			if job.Status != licensing.JobReceiving {
				t.Fatalf("%+v", job)
			}
			more, err := s.Jobs.AddRows(t.Context(), s.p, job.ID, v1.JobRowsRequest{CSV: second, JobPart: v1.JobPart{FirstLine: 152}})
			if err != nil || more.Total != 154 {
				t.Fatal(more, err)
			}
			return s.jobEnds(job.ID)
		}
		before := s.imported()
		job := send(v1.ImportJobRequest{})
		if job.Status != licensing.JobFailed || job.Failed != 3 || job.Phase != "check" || !strings.Contains(job.Error.Message, "nothing was changed") {
			t.Errorf("%+v %+v", job, job.Error)
		}
		var lines []int
		for _, r := range s.results(job.ID, true) {
			lines = append(lines, r.Line)
		}
		if fmt.Sprint(lines) != "[152 153 155]" || s.imported() != before {
			t.Errorf("faults in lines %v", lines)
		}
		if job = send(v1.ImportJobRequest{ImportRequest: v1.ImportRequest{DryRun: true}}); job.Status != licensing.JobSucceeded || job.Failed != 3 || job.Done != 154 || s.imported() != before {
			t.Errorf("%+v", job)
		}
		if all := s.results(job.ID, false); len(all) != 154 || all[0].Importable == nil || all[0].License != "" || all[0].Importable.Line != 2 {
			t.Errorf("%d results, %+v", len(all), all[0])
		}
		if job = send(v1.ImportJobRequest{ImportRequest: v1.ImportRequest{Partial: true}}); job.Status != licensing.JobSucceeded || job.Failed != 3 || s.imported() != before+151 {
			t.Errorf("%+v", job)
		}
		// A client that omits first_line sends rows of several parts with the same line.
		before = s.imported()
		part := csvOf(importFile(900, 2))
		part.More = true
		same := s.importJob(part)
		if _, err := s.Jobs.AddRows(t.Context(), s.p, same.ID, v1.JobRowsRequest{CSV: importFile(900, 1)}); err != nil {
			t.Fatal(err)
		}
		if same = s.jobEnds(same.ID); same.Status != licensing.JobFailed || same.Failed != 1 || s.imported() != before {
			t.Errorf("%+v, %d imported", same, s.imported()-before)
		}
		if _, err := s.Jobs.AddRows(t.Context(), s.p, job.ID, v1.JobRowsRequest{CSV: second}); licensing.CodeOf(err) != licensing.Conflict {
			t.Error(err)
		}
	})
}

// TestJobsThatChangeLicensesWait checks that the second job waits and names the first one, that a
// job can be canceled before and while it runs.
func TestJobsThatChangeLicensesWait(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		first, second := s.importJob(csvOf(importFile(0, 2000))), s.importJob(csvOf(importFile(5000, 3)))
		dry := csvOf(importFile(6000, 3))
		dry.DryRun = true
		third := s.importJob(dry)
		if first.WaitsFor != "" || second.WaitsFor != first.ID || third.WaitsFor != "" {
			t.Errorf("%q %q %q", first.WaitsFor, second.WaitsFor, third.WaitsFor)
		}
		canceled, err := s.Jobs.Cancel(t.Context(), s.p, second.ID)
		if err != nil || canceled.Status != licensing.JobStopped {
			t.Fatal(canceled, err)
		}
		fourth := s.importJob(csvOf(importFile(7000, 3)))
		s.runJobs(s.Jobs)
		s.jobBecomes(first.ID, func(job v1.Job) bool { return job.Phase == "change" && job.Done > 0 })
		if _, err := s.Jobs.Cancel(t.Context(), s.p, first.ID); err != nil {
			t.Fatal(err)
		}
		first, third, fourth = s.jobEnds(first.ID), s.jobEnds(third.ID), s.jobEnds(fourth.ID)
		if first.Status != licensing.JobStopped || first.Done == 0 || int64(s.imported()) != first.Done+fourth.Done {
			t.Errorf("%+v, %d imported", first, s.imported())
		}
		if third.Status != licensing.JobSucceeded || fourth.Status != licensing.JobSucceeded || fourth.StartedAt.Before(first.EndedAt) {
			t.Errorf("%+v %+v", third, fourth)
		}
		if _, err := s.Jobs.Cancel(t.Context(), s.p, first.ID); licensing.CodeOf(err) != licensing.Conflict {
			t.Error(err)
		}
	})
}

// TestAJobWhoseRowsNeverComeIsCanceled lets a client vanish between the parts of a file.
func TestAJobWhoseRowsNeverComeIsCanceled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clock := newTestClock()
		s := openShopAt(t, db, clock)
		open := csvOf(importFile(8000, 3))
		open.More = true
		abandoned := s.importJob(open)
		for _, after := range []time.Duration{licensing.JobReceives - time.Minute, 2 * time.Minute} {
			clock.pass(after)
			if err := s.Jobs.ForgetOld(t.Context()); err != nil {
				t.Fatal(err)
			}
			job, err := s.Jobs.Show(t.Context(), s.p, abandoned.ID)
			if late := after == 2*time.Minute; err != nil || job.Status.Ended() != late {
				t.Error(after, job, err)
			}
		}
	})
}

// TestAJobIsSeenOnlyWithinItsScope checks that tokens of other scopes and without the permission
// cannot see or cancel a job, and that old jobs are deleted.
func TestAJobIsSeenOnlyWithinItsScope(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clock := newTestClock()
		s := openShopAt(t, db, clock)
		job := s.importJob(csvOf(importFile(0, 3)))
		token := func(role access.Role, product licensing.ProductName, env licensing.Env) access.Principal {
			return access.Principal{Kind: access.KindToken, Env: env, Role: role, Product: product, Actor: "token:tok_other", Token: "tok_other"}
		}
		for _, c := range []struct {
			who       string
			p         access.Principal
			show, end licensing.Code
		}{
			{"viewer", token(access.Viewer, "", testEnv), "", licensing.Forbidden},
			{"operator", token(access.Operator, "", testEnv), "", licensing.Forbidden},
			{"other product", token(access.Issuer, "mill", testEnv), licensing.NotFound, licensing.NotFound},
			{"other environment", token(access.Issuer, "", "staging"), licensing.NotFound, licensing.NotFound},
			{"customer", token(access.Customer, "", testEnv), licensing.Forbidden, licensing.Forbidden},
		} {
			_, show := s.Jobs.Show(t.Context(), c.p, job.ID)
			_, results := s.Jobs.Results(t.Context(), c.p, job.ID, false, request.PageOf{})
			_, end := s.Jobs.Cancel(t.Context(), c.p, job.ID)
			if licensing.CodeOf(show) != c.show || licensing.CodeOf(results) != c.show || licensing.CodeOf(end) != c.end {
				t.Errorf("%s: show %v, results %v, cancel %v", c.who, show, results, end)
			}
			page, err := s.Jobs.List(t.Context(), c.p, false, request.PageOf{})
			if sees := c.show == ""; err == nil && (len(page.Items) == 1) != sees {
				t.Errorf("%s: %+v", c.who, page)
			}
		}
		if _, err := s.Jobs.Import(t.Context(), token(access.Viewer, "", testEnv), csvOf(importFile(0, 1))); licensing.CodeOf(err) != licensing.Forbidden {
			t.Error(err)
		}
		s.runJobs(s.Jobs)
		s.jobEnds(job.ID)
		clock.pass(licensing.JobsKept + time.Minute)
		if err := s.Jobs.ForgetOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Jobs.Show(t.Context(), s.p, job.ID); licensing.CodeOf(err) != licensing.NotFound {
			t.Error(err)
		}
		err := s.ledger.View(t.Context(), func(tx *store.Tx) error {
			items, found, err := tx.JobItems(t.Context(), testEnv, job.ID, 0)
			results, failed := tx.JobResults(t.Context(), testEnv, job.ID, 0, false, 10)
			if found || len(results) > 0 || failed != nil {
				t.Errorf("left behind: %+v %+v %v", items, results, failed)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestAJobKeepsNoKey checks that what is stored of an import has no license key in it.
func TestAJobKeepsNoKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.importJob(csvOf(importFile(0, 3)))
		err := s.ledger.View(t.Context(), func(tx *store.Tx) error {
			return tx.DumpTable(t.Context(), "job_item", func(line []byte) error {
				if strings.Contains(string(line), "OLD-KEY") {
					t.Errorf("%s", line)
				}
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// planJobEnds applies or compares plans in a job and returns it once it has ended.
func (s *shop) planJobEnds(create func(context.Context, access.Principal, v1.ApplyRequest) (v1.Job, error), layers, seats string) v1.Job {
	s.t.Helper()
	job, err := create(s.t.Context(), s.p, v1.ApplyRequest{Files: plan(layers, seats), Licenses: "all"})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.jobEnds(job.ID)
}

// TestAPlanIsAppliedInAJobOnceThoughServersStop applies a plan to licenses in a job whose server
// stops now and then, and checks that each license moves once.
func TestAPlanIsAppliedInAJobOnceThoughServersStop(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		stop := s.runJobs(s.Jobs)
		s.jobEnds(s.importJob(csvOf(importFile(0, 150))).ID)
		diff := s.planJobEnds(s.Jobs.DiffPlans, "60", "5")
		if diff.Status != licensing.JobSucceeded || diff.Impact == nil || diff.Impact.Moving != 150 || diff.Impact.Gaining != 150 || diff.Impact.Applied || diff.Total != 150 {
			t.Fatalf("%+v %+v", diff, diff.Impact)
		}
		stop()
		job, err := s.Jobs.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: plan("60", "5"), Licenses: "all"})
		if err != nil {
			t.Fatal(err)
		}
		for stopped := 0; stopped < 5 && !job.Status.Ended(); stopped++ {
			was := job.Done
			end := s.runJobs(jobs.New(s.ledger, s.Catalog))
			job = s.jobBecomes(job.ID, func(job v1.Job) bool { return job.Status.Ended() || job.Done != was })
			end()
		}
		if err := s.FinishMoves(t.Context(), ""); err != nil { // it must leave the move to the job
			t.Fatal(err)
		}
		s.runJobs(s.Jobs)
		job = s.jobEnds(job.ID)
		if job.Status != licensing.JobSucceeded || job.Done != 150 || job.Failed != 0 || job.Impact == nil || len(job.Impact.Moves) != 1 || job.Impact.Moves[0].Moved != 150 || !job.Impact.Applied {
			t.Errorf("%+v %+v", job, job.Impact)
		}
		page, err := s.ledger.LogEntries(t.Context(), s.p, ledger.LogFilter{Type: licensing.LicenseMoved}, request.PageOf{Limit: request.MaxPage})
		moved := map[string]bool{}
		for _, e := range page.Items {
			moved[e.License] = true
		}
		if err != nil || len(page.Items) != 150 || len(moved) != 150 {
			t.Errorf("%d entries about %d licenses: %v", len(page.Items), len(moved), err)
		}
		if again := s.planJobEnds(s.Jobs.ApplyPlans, "60", "5"); again.Status != licensing.JobSucceeded || again.Impact.Moving != 0 {
			t.Errorf("%+v %+v", again, again.Impact)
		}
		id := licensing.LicenseID(page.Items[0].License)
		s.hold(id, 4)
		if short := s.planJobEnds(s.Jobs.ApplyPlans, "60", "2"); short.Status != licensing.JobFailed || short.Error.Code != licensing.Conflict || !strings.Contains(short.Error.Message, string(id)) || short.Impact.Short != 1 || short.Impact.Applied {
			t.Errorf("%+v %+v", short.Error, short.Impact)
		}
	})
}

// TestACanceledApplyLeavesTheRest cancels a job that moves licenses. The licenses that have not moved
// keep their revision, and a later apply moves them.
func TestACanceledApplyLeavesTheRest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.runJobs(s.Jobs)
		s.jobEnds(s.importJob(csvOf(importFile(0, 400))).ID)
		job, err := s.Jobs.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: plan("60", "5"), Licenses: "all"})
		if err != nil {
			t.Fatal(err)
		}
		s.jobBecomes(job.ID, func(job v1.Job) bool { return job.Phase == "change" && job.Done > 0 })
		if _, err := s.Jobs.Cancel(t.Context(), s.p, job.ID); err != nil && licensing.CodeOf(err) != licensing.Conflict {
			t.Fatal(err)
		}
		job = s.jobEnds(job.ID)
		if job.Status != licensing.JobStopped || job.Done >= 400 {
			t.Fatalf("%+v", job)
		}
		if rest := s.planJobEnds(s.Jobs.ApplyPlans, "60", "5"); rest.Status != licensing.JobSucceeded || int64(rest.Impact.Moving) != 400-job.Done {
			t.Errorf("%+v %+v, after %d", rest, rest.Impact, job.Done)
		}
	})
}

// TestALogIsReconciledInAJob checks that a job returns the comparison of rows and log.
func TestALogIsReconciledInAJob(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.runJobs(s.Jobs)
		s.issue()
		job, err := s.Jobs.Reconcile(t.Context(), s.p)
		if err != nil {
			t.Fatal(err)
		}
		if job = s.jobEnds(job.ID); job.Status != licensing.JobSucceeded || job.Reconciliation == nil || job.Reconciliation.Licenses != 1 || len(job.Reconciliation.Mismatches) != 0 {
			t.Errorf("%+v %+v", job, job.Reconciliation)
		}
		limited := access.Principal{Kind: access.KindToken, Env: testEnv, Role: access.Auditor, Product: "lathe", Actor: "token:tok_other", Token: "tok_other"}
		if _, err := s.Jobs.Reconcile(t.Context(), limited); licensing.CodeOf(err) != licensing.Forbidden {
			t.Error(err)
		}
	})
}
