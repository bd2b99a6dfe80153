package authority

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/jobs"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// issueTo issues n licenses to a customer.
func (s *shop) issueTo(customer licensing.CustomerID, n int) (all []licensing.License) {
	s.t.Helper()
	issued, err := s.IssueLicenses(s.t.Context(), s.p, slices.Repeat([]v1.IssueRequest{{Customer: customer, Plan: "studio"}}, n))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, i := range issued {
		all = append(all, licensing.License(i.License))
	}
	return all
}

// bulk returns a job, which must have been created.
func (s *shop) bulk(job v1.Job, err error) v1.Job {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

func byFilter(f v1.LicenseFilter) v1.LicenseSelection { return v1.LicenseSelection{Filter: &f} }

func byFile(lines ...string) v1.LicenseSelection {
	return v1.LicenseSelection{CSV: strings.Join(lines, "\n") + "\n"}
}

// changes returns how many log entries about a license have a type.
func (s *shop) changes(kind string, id licensing.LicenseID) int {
	s.t.Helper()
	page, err := s.ledger.LogEntries(s.t.Context(), s.p, ledger.LogFilter{Type: kind, License: id}, request.PageOf{Limit: 10})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(page.Items)
}

// TestLicensesOfAFilterAreExtendedOnceThoughServersStop extends the licenses of one of two
// customers, while servers stop. A license that was issued after the job was created is not changed.
func TestLicensesOfAFilterAreExtendedOnceThoughServersStop(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		mine, other := s.issueTo(s.customer, 80), s.issueTo(s.customerNamed("Other", "", "C8"), 40)
		job := s.bulk(s.Jobs.Extend(t.Context(), s.p, v1.ExtendJobRequest{
			LicenseSelection: byFilter(v1.LicenseFilter{Customer: s.customer, Status: licensing.Active}), By: licensing.Length{Days: 14}, Reason: "outage",
		}))
		for !s.ledger.Now().After(job.CreatedAt.Add(time.Millisecond)) { // ids are sorted by milliseconds
			runtime.Gosched()
		}
		late := s.issueTo(s.customer, 1)[0]
		for stopped := 0; stopped < 2 && !job.Status.Ended(); stopped++ {
			was := job
			first, second := s.runJobs(jobs.New(s.ledger, s.Catalog)), s.runJobs(jobs.New(s.ledger, s.Catalog))
			job = s.jobBecomes(job.ID, func(job v1.Job) bool {
				return job.Status.Ended() || (job.Done != was.Done || job.Phase != was.Phase) && rand.N(3) == 0
			})
			first()
			second()
		}
		s.runJobs(s.Jobs)
		job = s.jobEnds(job.ID)
		if job.Status != licensing.JobSucceeded || job.Total != 80 || job.Done != 80 || job.Failed != 0 {
			t.Errorf("%+v", job)
		}
		seen := map[licensing.LicenseID]bool{}
		for _, r := range s.results(job.ID, false) {
			seen[r.License] = true
		}
		for _, l := range mine {
			if now := s.license(l.ID); !now.End.Equal(l.End.AddDate(0, 0, 14)) || now.Seq.Counter != l.Seq.Counter+1 || !seen[l.ID] || s.changes(licensing.LicenseExtended, l.ID) != 1 {
				t.Fatalf("license %s: end %s after %s, seq %v after %v", l.ID, now.End, l.End, now.Seq, l.Seq)
			}
		}
		for _, l := range append(other, late) {
			if now := s.license(l.ID); now.Seq != l.Seq || !now.End.Equal(l.End) {
				t.Errorf("license %s of customer %s changed", l.ID, l.Customer)
			}
		}
	})
}

// TestALicenseThatNoLongerMatchesIsNotChanged lets a server stop after it has selected licenses.
// One of them is renewed before another server continues.
func TestALicenseThatNoLongerMatchesIsNotChanged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		two := s.issueTo(s.customer, 2)
		job := s.bulk(s.Jobs.Suspend(t.Context(), s.p, v1.StatusJobRequest{LicenseSelection: byFilter(v1.LicenseFilter{EndsBefore: two[0].End.Add(time.Hour)}), Reason: "overdue"}))
		err := s.ledger.DB.Update(t.Context(), func(tx *store.Tx) error {
			stored, _, err := tx.LockJob(t.Context(), testEnv, job.ID)
			if err != nil {
				return err
			}
			stored.Position, stored.Total = `{"phase":"change"}`, 2
			list := fmt.Sprintf(`[{"license":%q},{"license":%q}]`, two[0].ID, two[1].ID)
			if err := tx.InsertJobItems(t.Context(), testEnv, job.ID, store.JobItems{List: list}); err != nil {
				return err
			}
			return tx.UpdateJob(t.Context(), stored)
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.RenewLicense(t.Context(), s.p, two[0].ID, v1.RenewRequest{After: two[0].End}); err != nil {
			t.Fatal(err)
		}
		s.runJobs(s.Jobs)
		job = s.jobEnds(job.ID)
		failed := s.results(job.ID, true)
		if job.Status != licensing.JobSucceeded || job.Done != 2 || len(failed) != 1 || failed[0].License != two[0].ID || !strings.Contains(failed[0].Error.Message, "no longer matches") {
			t.Errorf("%+v %+v", job, failed)
		}
		if s.license(two[0].ID).Status != licensing.Active || s.license(two[1].ID).Status != licensing.Suspended {
			t.Error("the wrong license is suspended")
		}
	})
}

// TestLicensesOfAFileAreChanged sends a file in two parts with a date, a fault and a repeated
// license. It checks that nothing changes unless the job is partial, and then each license once.
func TestLicensesOfAFileAreChanged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.runJobs(s.Jobs)
		three := s.issueTo(s.customer, 3)
		until := three[1].End.AddDate(0, 1, 0)
		send := func(of v1.LicenseSelection) v1.Job {
			file := byFile("license,until", string(three[0].ID)+",", "lic_none,", string(three[1].ID)+","+until.Format(time.RFC3339))
			of.CSV, of.More = file.CSV, true
			job := s.bulk(s.Jobs.Extend(t.Context(), s.p, v1.ExtendJobRequest{LicenseSelection: of, By: licensing.Length{Days: 7}}))
			s.bulk(s.Jobs.AddRows(t.Context(), s.p, job.ID, v1.JobRowsRequest{ // each part begins at line 2, so the lines of both are equal
				CSV: byFile("license,until", string(three[0].ID)+",", string(three[2].ID)+",soon", ",2030-01-01").CSV,
			}))
			return s.jobEnds(job.ID)
		}
		ends := func() (all []string) {
			for _, l := range three {
				all = append(all, s.license(l.ID).End.Format(time.DateOnly))
			}
			return all
		}
		before := ends()
		if job := send(v1.LicenseSelection{}); job.Status != licensing.JobFailed || job.Failed != 4 || job.Phase != "check" || !slices.Equal(ends(), before) {
			t.Errorf("%+v, ends %v after %v", job, ends(), before)
		}
		if job := send(v1.LicenseSelection{DryRun: true}); job.Status != licensing.JobSucceeded || job.Failed != 4 || job.Done != 6 || len(s.results(job.ID, false)) != 6 || !slices.Equal(ends(), before) {
			t.Errorf("%+v, ends %v after %v", job, ends(), before)
		}
		job := send(v1.LicenseSelection{Partial: true})
		if job.Status != licensing.JobSucceeded || job.Failed != 4 || job.Done != 6 {
			t.Errorf("%+v", job)
		}
		want := []string{three[0].End.AddDate(0, 0, 7).Format(time.DateOnly), until.Format(time.DateOnly), before[2]}
		if !slices.Equal(ends(), want) {
			t.Errorf("ends %v, not %v", ends(), want)
		}
		var why []string
		for _, r := range s.results(job.ID, true) {
			why = append(why, r.Error.Message)
		}
		for i, want := range []string{"does not exist", "already in line 2", "not a date", "has no license"} {
			if len(why) != 4 || !strings.Contains(why[i], want) {
				t.Fatalf("%q", why)
			}
		}
	})
}

// TestManyLicensesAreRenewedSuspendedAndReinstated runs the other kinds, and checks that a dry run
// changes nothing.
func TestManyLicensesAreRenewedSuspendedAndReinstated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.runJobs(s.Jobs)
		l := s.issueTo(s.customer, 2)[0]
		run := func(create func(v1.LicenseSelection) (v1.Job, error), of v1.LicenseSelection) licensing.License {
			t.Helper()
			of.DryRun = true
			if job := s.jobEnds(s.bulk(create(of)).ID); job.Status != licensing.JobSucceeded || job.Done != 2 || job.Failed != 0 {
				t.Errorf("%+v", job)
			}
			if now := s.license(l.ID); now.Seq != l.Seq {
				t.Fatalf("a dry run changed the license: %+v", now)
			}
			of.DryRun = false
			if job := s.jobEnds(s.bulk(create(of)).ID); job.Status != licensing.JobSucceeded || job.Done != 2 || job.Failed != 0 {
				t.Errorf("%+v", job)
			}
			l = s.license(l.ID)
			return l
		}
		end := l.End
		if now := run(func(of v1.LicenseSelection) (v1.Job, error) {
			return s.Jobs.Renew(t.Context(), s.p, v1.RenewJobRequest{LicenseSelection: of, Paid: true})
		}, v1.LicenseSelection{All: true}); !now.End.Equal(end.AddDate(1, 0, 0)) {
			t.Errorf("renewed from %s to %s", end, now.End)
		}
		if now := run(func(of v1.LicenseSelection) (v1.Job, error) {
			return s.Jobs.Suspend(t.Context(), s.p, v1.StatusJobRequest{LicenseSelection: of})
		}, byFilter(v1.LicenseFilter{Status: licensing.Active})); now.Status != licensing.Suspended {
			t.Errorf("%+v", now)
		}
		if now := run(func(of v1.LicenseSelection) (v1.Job, error) {
			return s.Jobs.Reinstate(t.Context(), s.p, v1.StatusJobRequest{LicenseSelection: of})
		}, byFilter(v1.LicenseFilter{Plan: "studio", Revision: l.Granted[:8]})); now.Status != licensing.Active {
			t.Errorf("%+v", now)
		}
	})
}

// TestASelectionOfLicensesStaysWithinTheScope checks limited tokens, and requests that select
// nothing, everything by mistake, or two things.
func TestASelectionOfLicensesStaysWithinTheScope(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.runJobs(s.Jobs)
		other := s.customerNamed("Other", "", "C8")
		mine, theirs := s.issueTo(s.customer, 1)[0], s.issueTo(other, 1)[0]
		p := access.Principal{Kind: access.KindToken, Env: testEnv, Role: access.Issuer, Customer: s.customer, Actor: "token:tok_mine", Token: "tok_mine"}
		suspend := func(p access.Principal, of v1.LicenseSelection) (v1.Job, error) {
			return s.Jobs.Suspend(t.Context(), p, v1.StatusJobRequest{LicenseSelection: of})
		}
		job := s.jobEnds(s.bulk(suspend(p, v1.LicenseSelection{All: true})).ID)
		if job.Total != 1 || s.license(mine.ID).Status != licensing.Suspended || s.license(theirs.ID).Status != licensing.Active {
			t.Errorf("%+v", job)
		}
		of := byFile("license", string(theirs.ID))
		of.Partial = true
		if job := s.jobEnds(s.bulk(suspend(p, of)).ID); job.Failed != 1 || s.license(theirs.ID).Status != licensing.Active {
			t.Errorf("%+v", job)
		}
		mill := access.Principal{Kind: access.KindToken, Env: testEnv, Role: access.Operator, Product: "mill", Actor: "token:tok_mill", Token: "tok_mill"}
		if job := s.jobEnds(s.bulk(suspend(mill, byFilter(v1.LicenseFilter{Customer: other}))).ID); job.Status != licensing.JobSucceeded || job.Total != 0 {
			t.Errorf("%+v", job)
		}
		open := byFile("license", string(theirs.ID))
		open.More = true
		receiving := s.bulk(suspend(s.p, open))
		viewer := access.Principal{Kind: access.KindToken, Env: testEnv, Role: access.Viewer, Actor: "token:tok_view", Token: "tok_view"}
		_, rows := s.Jobs.AddRows(t.Context(), viewer, receiving.ID, v1.JobRowsRequest{CSV: "license\n"})
		_, renews := s.Jobs.Renew(t.Context(), mill, v1.RenewJobRequest{LicenseSelection: v1.LicenseSelection{All: true}})
		_, foreign := suspend(p, byFilter(v1.LicenseFilter{Customer: other}))
		_, product := suspend(mill, byFilter(v1.LicenseFilter{Product: "lathe"}))
		_, nothing := suspend(s.p, v1.LicenseSelection{})
		_, everything := suspend(s.p, byFilter(v1.LicenseFilter{}))
		_, two := suspend(s.p, v1.LicenseSelection{All: true, Filter: &v1.LicenseFilter{Plan: "studio"}})
		_, column := suspend(s.p, byFile("license,until", string(theirs.ID)+",2030-01-01"))
		for i, c := range []struct {
			err  error
			code licensing.Code
		}{
			{rows, licensing.Forbidden}, {renews, licensing.Forbidden}, {foreign, licensing.NotFound}, {product, licensing.NotFound},
			{nothing, licensing.Invalid}, {everything, licensing.Invalid}, {two, licensing.Invalid}, {column, licensing.Invalid},
		} {
			if licensing.CodeOf(c.err) != c.code {
				t.Errorf("%d: %v", i, c.err)
			}
		}
		if s.license(theirs.ID).Status != licensing.Active {
			t.Error("a refused request changed a license")
		}
	})
}
