package authority

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// diff assesses plan files for all licenses.
func (s *shop) diff(files []policy.File) v1.Impact {
	s.t.Helper()
	impact, err := s.ApplyPlans(s.t.Context(), s.p, v1.ApplyRequest{Files: files, Licenses: "all", DryRun: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return impact
}

// TestAnApplyIsDecidedAsAWhole checks that every license that does not fit, and every one that
// would use more than the new capacity, is named before anything changes, and that nothing changes
// then.
func TestAnApplyIsDecidedAsAWhole(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		var misfits, holding []licensing.LicenseID
		for n := range 6 {
			l := s.issue().License
			if n%2 == 0 {
				c := v1.ChangeRequest{Capacity: map[string]int64{"seats": 7}}
				if _, err := s.ChangeLicense(t.Context(), s.p, l.ID, c); err != nil {
					t.Fatal(err)
				}
				misfits = append(misfits, l.ID)
				continue
			}
			s.hold(l.ID, 3)
			holding = append(holding, l.ID)
		}
		pinned := s.issue().License
		if _, err := s.ChangeLicense(t.Context(), s.p, pinned.ID, v1.ChangeRequest{Change: licensing.Change{Revision: pinned.Granted[:12]}}); err != nil {
			t.Fatal(err)
		}
		if l := s.license(pinned.ID); l.Revision != pinned.Granted {
			t.Errorf("pinned by a short hash to %s", l.Revision)
		}
		// This plan lacks a pool for which three licenses have an exception.
		without := []policy.File{{Name: "studio.yaml", Text: strings.Split(plan("50", "5")[0].Text, "pools:")[0]}}
		smaller := plan("50", "2")
		for _, c := range []struct {
			what  string
			files []policy.File
			below licensing.Below
			names []licensing.LicenseID
			says  string
		}{
			{"without the pool", without, licensing.BelowDrain, misfits, "3 licenses do not fit"},
			{"smaller", smaller, "", holding, "below=drain"},
			{"smaller, as overdraft", smaller, licensing.BelowOverdraft, holding, "more than the overdraft allows"},
		} {
			before := s.entries("")
			_, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: c.files, Licenses: "all", Below: c.below})
			if licensing.CodeOf(err) != licensing.Conflict || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("%s: %v", c.what, err)
				continue
			}
			for _, id := range c.names {
				if !strings.Contains(err.Error(), string(id)) {
					t.Errorf("%s: %s is not named in %v", c.what, id, err)
				}
			}
			if s.entries("") != before || s.license(holding[0]).Granted != pinned.Granted {
				t.Errorf("%s: something changed", c.what)
			}
		}
		if i := s.diff(without); len(i.Misfits) != 3 || i.Pinned != 1 || len(i.Keeping) != 1 || i.Keeping[0].License != pinned.ID || i.Moving != 6 || i.Losing != 3 {
			t.Errorf("%+v", i)
		}
		if i := s.diff(smaller); i.Short != 3 || i.Moving != 6 || len(i.Misfits) != 0 {
			t.Errorf("%+v", i)
		}
		done, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: smaller, Licenses: "all", Below: licensing.BelowDrain})
		if err != nil || len(done.Moves) != 1 || done.Moves[0].Moved != 6 || done.Moves[0].DoneAt.IsZero() || s.entries(licensing.PlanMoved) != 1 {
			t.Errorf("%+v, %v", done.Moves, err)
		}
		again, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: smaller, Licenses: "all", Below: licensing.BelowDrain})
		if err != nil || len(again.Moves) != 0 || again.Plans[0].Status != "unchanged" || s.entries(licensing.PlanMoved) != 1 {
			t.Errorf("again: %+v, %v", again, err)
		}
	})
}

// TestEveryFaultOfThePlansIsFoundAtOnce checks faults in the files and in relation to the stored
// plans.
func TestEveryFaultOfThePlansIsFoundAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		metered := plan("50", "5")
		metered[0].Text += "meters: {calls: {unit: call, scale: 2, quota: 10, per: month}}\n"
		if _, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: metered}); err != nil {
			t.Fatal(err)
		}
		metered[0].Text = strings.Replace(metered[0].Text, "scale: 2", "scale: 1", 1)
		files := append(metered, policy.File{Name: "mill.yaml", Text: "product: mill\nplan: mill\nterm: {length: 1y}\n"},
			policy.File{Name: "bad.yaml", Text: "product: lathe\nplan: bad\nterm: {length: soon, grace: -1}\n"})
		impact := s.diff(files)
		for _, want := range []string{"meters.calls.scale", "product", "term.length", "term.grace"} {
			found := false
			for _, f := range impact.Findings {
				found = found || f.Path == want && f.Severity == policy.SevError && f.Line > 0
			}
			if !found {
				t.Errorf("%s is not found in %v", want, impact.Findings)
			}
		}
		if _, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: files}); licensing.CodeOf(err) != licensing.Invalid || !strings.Contains(err.Error(), "calls") || !strings.Contains(err.Error(), "mill") {
			t.Errorf("%v", err)
		}
	})
}

// TestAMoveGoesOnAfterACrash checks that licenses move in batches, that the status shows the
// progress, and that a server that starts moves the rest. Licenses that have changed in the
// meantime stay and are named.
func TestAMoveGoesOnAfterACrash(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		requests := make([]v1.IssueRequest, catalog.MoveBatch+50)
		for n := range requests {
			requests[n] = v1.IssueRequest{Customer: s.customer, Plan: "studio"}
		}
		issued, err := s.IssueLicenses(t.Context(), s.p, requests)
		if err != nil {
			t.Fatal(err)
		}
		impact, err := s.WeighPlans(t.Context(), s.p, v1.ApplyRequest{Files: plan("80", "2")}, &store.LicenseFilter{}, nil)
		if err != nil || impact.Moving != len(requests) {
			t.Fatal(impact.Moving, err)
		}
		moves, err := s.StorePlans(t.Context(), s.p, impact, &store.LicenseFilter{}, licensing.BelowRefuse)
		if err != nil || len(moves) != 1 {
			t.Fatal(moves, err)
		}
		if err := s.ledger.Update(t.Context(), testEnv, ledger.SystemActor, func(tx *ledger.Tx) error {
			_, err := catalog.StepMove(t.Context(), tx, moves[0].ID, func() bool { return false })
			return err
		}); err != nil {
			t.Fatal(err)
		}
		// The server was killed here.
		status, err := s.Status(t.Context(), s.p)
		if err != nil || len(status.Moves) != 1 || status.Moves[0].Moved != catalog.MoveBatch || status.Moves[0].Total != int64(len(requests)) || status.Moves[0].ID != moves[0].ID {
			t.Errorf("%+v, %v", status.Moves, err)
		}
		to := impact.Plans[0].Revision
		var last licensing.License // that has not moved yet
		var key string
		for _, one := range issued {
			if l := s.license(one.License.ID); l.Granted != to {
				last, key = l, one.Key.Text
			}
		}
		holder, err := s.Authenticate(t.Context(), "License "+key, "", free)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			if g, err := s.Acquire(t.Context(), holder, ask("seats", n)); err != nil || g.Lease == nil {
				t.Fatalf("%+v, %v", g, err)
			}
		}
		for range 2 {
			if err := s.FinishMoves(context.WithoutCancel(t.Context()), ""); err != nil {
				t.Fatal(err)
			}
		}
		for _, one := range issued {
			if l := s.license(one.License.ID); (l.Granted == to) == (l.ID == last.ID) {
				t.Errorf("license %s is granted by %s", l.ID, l.Granted)
			}
		}
		detail, err := s.Plan(t.Context(), s.p, "studio", to[:12])
		if err != nil || detail.Revision != to || len(detail.Moves) != 1 || detail.Moves[0].Moved != int64(len(requests)-1) || detail.Moves[0].Refused != 1 || detail.Moves[0].DoneAt.IsZero() {
			t.Errorf("%+v, %v", detail.Moves, err)
		}
		page, err := s.ledger.LogEntries(t.Context(), s.p, ledger.LogFilter{Type: licensing.LicenseLeft}, request.PageOf{})
		if err != nil || len(page.Items) != 1 || page.Items[0].License != string(last.ID) {
			t.Errorf("%+v, %v", page.Items, err)
		}
		if found := reconciledShop(t, s); len(found) > 0 {
			t.Errorf("rows and log: %v", found)
		}
	})
}

// TestRevisionsOfEqualContentAreOne checks content that an earlier version gave another name, which
// included the channel. The content is recognized, so nothing changes and no license moves.
func TestRevisionsOfEqualContentAreOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, other *store.DB) {
		db, raw := exposed(t, other.Engine())
		s := openShop(t, db)
		l := s.issue().License
		const old licensing.RevisionID = "00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee"
		for _, text := range []string{`UPDATE revision SET hash = $1`, `UPDATE channel SET revision = $1`, `UPDATE license SET granted = $1`} {
			if _, err := raw.ExecContext(t.Context(), text, string(old)); err != nil {
				t.Fatal(err)
			}
		}
		impact := s.apply("all", "50", "5")
		if impact.Moving != 0 || impact.Plans[0].Status != "unchanged" || impact.Plans[0].Revision != old || s.license(l.ID).Granted != old {
			t.Errorf("%+v", impact)
		}
		rev, err := licensing.NewRevision(planOf(t, plan("50", "5")))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []licensing.RevisionID{old, old[:12], rev.ID, rev.ID[:12]} {
			if d, err := s.Plan(t.Context(), s.p, "studio", name); err != nil || d.Revision != old {
				t.Errorf("%s names %s, %v", name, d.Revision, err)
			}
			issued, err := s.IssueLicense(t.Context(), s.p, v1.IssueRequest{Customer: s.customer, Plan: "studio", Revision: name})
			if err != nil || issued.License.Revision != old || issued.License.Granted != old {
				t.Errorf("issued by %s: %+v, %v", name, issued.License, err)
			}
			page, err := s.Licenses(t.Context(), s.p, catalog.LicenseFilter{Revision: name}, request.PageOf{})
			if err != nil || len(page.Items) < 2 {
				t.Errorf("listed by %s: %d, %v", name, len(page.Items), err)
			}
		}
		// The same content on another channel is the same revision and does not count as a
		// rollback.
		beta := plan("50", "5")
		beta[0].Text += "channel: beta\n"
		if i, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: beta}); err != nil || i.Plans[0].Revision != old || s.entries(licensing.PlanRolledBack) != 0 {
			t.Errorf("on another channel: %+v, %v", i, err)
		}
	})
}

func planOf(t *testing.T, files []policy.File) licensing.Plan {
	t.Helper()
	sources, findings := policy.Read(files)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	return sources[0].Plan
}

// TestWhatWasNotWeighedIsNotApplied checks that another apply in the meantime is reported.
func TestWhatWasNotWeighedIsNotApplied(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		impact, err := s.WeighPlans(t.Context(), s.p, v1.ApplyRequest{Files: plan("80", "5")}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.apply("new", "60", "5")
		if _, err := s.StorePlans(t.Context(), s.p, impact, nil, ""); licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("%v", err)
		}
		if text, err := json.Marshal(s.diff(plan("60", "5"))); err != nil || !strings.Contains(string(text), `"status":"unchanged"`) {
			t.Errorf("%s, %v", text, err)
		}
	})
}
