package authority

import (
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// TestBoundsTellTheClockDifferenceOfTheDeployment checks every answer that contains bounds. A
// larger clock tolerance delays reclaiming, so all of them must use the deployment's own tolerance.
func TestBoundsTellTheClockDifferenceOfTheDeployment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.ledger.Skew = 5 * time.Minute
		issued := s.issue()
		detail, err := s.Plan(t.Context(), s.p, "studio", "")
		if err != nil {
			t.Fatal(err)
		}
		usual := detail.Content.Bounds(licensing.Skew.Duration())
		want := detail.Content.Bounds(s.ledger.Skew)
		later := licensing.Span(4 * 60)
		if want.Revocation != usual.Revocation+later || want.Reclaim["seats"].After != usual.Reclaim["seats"].After+later {
			t.Fatalf("%+v, with the usual difference %+v", want, usual)
		}
		impact, err := s.ApplyPlans(t.Context(), s.p, v1.ApplyRequest{Files: plan("51", "5"), DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		status, err := s.Status(t.Context(), s.p)
		if err != nil {
			t.Fatal(err)
		}
		why, err := s.ExplainLicense(t.Context(), s.p, issued.License.ID)
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]licensing.Bounds{
			"the plan": detail.Bounds, "what applying it does": impact.Plans[0].Bounds, "the status": status.Plans[0].Bounds, "why": why.Bounds,
		} {
			if got.Revocation != want.Revocation || got.Ended != want.Ended || got.Reclaim["seats"] != want.Reclaim["seats"] {
				t.Errorf("%s returns %+v, want %+v", what, got, want)
			}
		}
	})
}
