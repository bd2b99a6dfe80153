package licensing

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

// TestAFenceEndsWithTheLongestLeaseThatAnyRevisionCouldHaveGranted: an earlier
// revision counts, another plan's does not, and neither does a later license.
func TestAFenceEndsWithTheLongestLeaseThatAnyRevisionCouldHaveGranted(t *testing.T) {
	since := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	plan := func(name PlanName, pool Pool) Plan {
		return Plan{Product: "lathe", Name: name, Documents: Documents{Life: 500, Grace: 50}, Pools: map[string]Pool{"seats": pool}}
	}
	f := Fence{Since: since, Epoch: 2}
	f.Learn(plan("basic", Pool{Lease: 900, Grace: 60}))
	f.Learn(plan("basic", Pool{Lease: 300, Borrow: 3000, Grace: 60}))
	f.Learn(plan("basic", Pool{Lease: 100, Grace: 60}))
	f.Learn(plan("pro", Pool{Lease: 900, Borrow: 86_400, Grace: 60}))
	f.Learn(plan("machines", Pool{}))
	before := Terms{Product: "lathe", Plan: "basic", Issued: since.Add(-time.Hour), Seq: license.Seq{Epoch: 1}}
	changed, issued, machines := before, before, before
	changed.Seq.Epoch = 2
	issued.Issued = since.Add(time.Microsecond)
	machines.Plan = "machines"
	for name, c := range map[string]struct {
		fence Fence
		terms Terms
		pool  string
		want  time.Duration // after since; 0: not fenced
	}{
		"any revision of the plan":             {f, before, "seats", 3060 * time.Second},
		"a changed license had any other plan": {f, changed, "seats", 86_460 * time.Second},
		"a license that was issued later":      {f, issued, "seats", 0},
		"a pool that no revision has":          {f, before, "other", 0},
		"leases without an end":                {f, machines, "seats", 550 * time.Second},
		"no fence":                             {Fence{Plans: f.Plans, Products: f.Products}, before, "seats", 0},
	} {
		want := time.Time{}
		if c.want > 0 {
			want = since.Add(c.want + time.Minute)
		}
		if got := c.fence.Until(&c.terms, c.pool, time.Minute); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestAFenceAfterAClockWasSetBackStandsForLaterLicensesToo: their dates of
// issue were written by the wrong clock, and leases without an end are known.
func TestAFenceAfterAClockWasSetBackStandsForLaterLicensesToo(t *testing.T) {
	since := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	f := Fence{Since: since, Epoch: 2, Ending: true}
	f.Learn(Plan{Product: "lathe", Name: "basic", Pools: map[string]Pool{"seats": {Lease: 900}, "machines": {}}})
	later := Terms{Product: "lathe", Plan: "basic", Issued: since.Add(time.Hour)}
	if got := f.Until(&later, "seats", 0); !got.Equal(since.Add(900 * time.Second)) {
		t.Errorf("seats: %v", got)
	}
	if got := f.Until(&later, "machines", 0); !got.IsZero() {
		t.Errorf("machines: %v", got)
	}
}

// TestNoLostLeaseOutlivesTheFence draws revisions and a lease of one of them.
func TestNoLostLeaseOutlivesTheFence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		since := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		span := func(name string) Span { return Span(rapid.Int64Range(0, 100_000).Draw(t, name)) }
		f := Fence{Since: since, Epoch: 2}
		revisions := make([]Plan, rapid.IntRange(1, 4).Draw(t, "revisions"))
		for i := range revisions {
			lease := span("lease") + 1
			revisions[i] = Plan{Product: "lathe", Name: "basic", Documents: DefaultDocuments(), Pools: map[string]Pool{
				"seats": {Holder: "user", Capacity: 1, Lease: lease, Borrow: span("borrow"), Grace: span("grace")}}}
			f.Learn(revisions[i])
		}
		granted := rapid.SampledFrom(revisions).Draw(t, "granted by")
		pool := granted.Pools["seats"]
		terms := Terms{Product: "lathe", Plan: "basic", Documents: granted.Documents, Start: since.Add(-time.Hour), Issued: since.Add(-time.Hour)}
		asked := Span(rapid.Int64Range(0, int64(max(pool.Lease, pool.Borrow))).Draw(t, "asked"))
		d := terms.LeaseDates(pool, asked, since)
		if until := f.Until(&terms, "seats", time.Minute); d.Due(time.Minute).After(until) {
			t.Fatalf("a lease is reclaimed at %v, after the fence's end %v", d.Due(time.Minute), until)
		}
	})
}
