package licensing

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

func TestUsageIsDecidedAsTheMeterSays(t *testing.T) {
	soft, hard := Limit{Percent: 80}, Limit{Percent: 150}
	w := Window{Start: at("2026-01-01T00:00:00Z"), End: at("2026-02-01T00:00:00Z")}
	for _, c := range []struct {
		what            string
		m               Meter
		total, quantity int64
		outcome         license.Outcome
		code            string
		after           int64
	}{
		{"within the quota", Meter{Quota: 100, Soft: soft}, 10, 5, license.Allowed, license.CodeOK, 15},
		{"up to the soft limit", Meter{Quota: 100, Soft: soft}, 79, 1, license.Allowed, license.CodeSoftLimit, 80},
		{"the last unit", Meter{Quota: 100}, 99, 1, license.Allowed, license.CodeOK, 100},
		{"beyond the quota", Meter{Quota: 100, Full: FullDeny}, 99, 2, license.Denied, license.CodeQuotaSpent, 99},
		{"beyond the quota, with a fallback", Meter{Quota: 100, Full: FullFallback}, 100, 1, license.Allowed, license.CodeFallback, 100},
		{"beyond, with overage", Meter{Quota: 100, Overage: true}, 100, 50, license.Allowed, license.CodeOverage, 150},
		{"beyond the hard limit", Meter{Quota: 100, Overage: true, Hard: hard, Full: FullDeny}, 100, 51, license.Denied, license.CodeQuotaSpent, 100},
		{"up to the hard limit", Meter{Quota: 100, Overage: true, Hard: hard}, 100, 50, license.Allowed, license.CodeOverage, 150},
		{"a hard limit below the quota", Meter{Quota: 100, Hard: Limit{Amount: 40}, Full: FullDeny}, 40, 1, license.Denied, license.CodeQuotaSpent, 40},
		{"no quota at all", Meter{Full: FullDeny}, 0, 1, license.Denied, license.CodeQuotaSpent, 0},
		{"nothing, of a spent quota", Meter{Quota: 100}, 100, 0, license.Allowed, license.CodeOK, 100},
		{"more than can be counted", Meter{Quota: 100, Overage: true, Full: FullDeny}, 1 << 62, 1<<63 - 1, license.Denied, license.CodeQuotaSpent, 1 << 62},
		{"after a plan with a smaller quota", Meter{Quota: 100, Full: FullDeny}, 500, 1, license.Denied, license.CodeQuotaSpent, 500},
	} {
		d, after := c.m.Consume(c.total, c.quantity, w)
		if d.Outcome != c.outcome || d.Code != c.code || after != c.after || d.Reason == "" || d.Rule == "" || d.NextAt != w.End.Unix() {
			t.Errorf("%s: %+v, total %d", c.what, d, after)
		}
	}
}

func TestUsageNeverPassesTheHardLimitAndNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Meter{
			Quota: rapid.Int64Range(0, 1000).Draw(t, "quota"), Overage: rapid.Bool().Draw(t, "overage"), Full: FullDeny,
			Hard: Limit{Percent: rapid.Int64Range(0, 300).Draw(t, "hard")},
		}
		total, counted := int64(0), int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			q := rapid.Int64Range(0, 500).Draw(t, "quantity")
			d, after := m.Consume(total, q, Window{})
			if d.Outcome == license.Allowed {
				counted += q
			} else if after != total {
				t.Fatalf("a denied quantity is counted: %d to %d", total, after)
			}
			total = after
			if total != counted || total > m.HardLimit() {
				t.Fatalf("%d used, %d allowed, limit %d", total, counted, m.HardLimit())
			}
		}
	})
}

// TestNoTotalPassesWhatJSONCarries counts on a meter whose plan sets no limit, or one
// that is higher than any number that a document can carry.
func TestNoTotalPassesWhatJSONCarries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Meter{Unit: "byte", Per: PerMonth, Quota: rapid.Int64Range(0, MaxQuantity).Draw(t, "quota"), Overage: true}
		if rapid.Bool().Draw(t, "limited") {
			m.Hard = Limit{Percent: rapid.Int64Range(1, 1_000_000).Draw(t, "hard")}
		}
		total := rapid.Int64Range(0, MaxQuantity).Draw(t, "total")
		quantity := rapid.Int64Range(0, MaxQuantity).Draw(t, "quantity")
		d, after := m.Consume(total, quantity, Window{})
		switch {
		case after > MaxQuantity || d.Held > MaxQuantity || d.Capacity > MaxQuantity:
			t.Fatalf("%d and %d is counted as %d: %+v", total, quantity, after, d)
		case total+quantity > MaxQuantity && (d.Code != license.CodeQuotaSpent || after != total):
			t.Fatalf("%d and %d is more than can be counted, and it is %s: %d", total, quantity, d.Code, after)
		case quantity <= min(m.HardLimit(), MaxQuantity)-total && after != total+quantity:
			t.Fatalf("%d and %d fits, and %d is counted", total, quantity, after)
		}
	})
}

func TestPercentagesOfAnyQuotaDoNotOverflow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.Int64Range(0, MaxQuantity).Draw(t, "quota")
		p := rapid.Int64Range(1, 1<<20).Draw(t, "percent")
		got := Limit{Percent: p}.of(q)
		if got < 0 || p <= 100 && got > q || p >= 100 && got < q {
			t.Fatalf("%d%% of %d is %d", p, q, got)
		}
	})
}

func TestMetersOfAPlanKeepTheirZone(t *testing.T) {
	rev := mustRevision(t, Plan{Product: "lathe", Name: "p", Meters: map[string]Meter{"m": {Unit: "call", Per: PerDay, Anchor: AnchorCalendar, Zone: "Asia/Tokyo", Full: FullDeny}}})
	terms := mustCompile(t, rev, License{Product: "lathe", Plan: "p"}, at("2026-01-01T00:00:00Z"))
	if w, _ := terms.Window("m", Window{}, at("2026-01-01T16:00:00Z")); !w.Start.Equal(at("2026-01-01T15:00:00Z")) {
		t.Errorf("a day in Tokyo begins at %s", stamp(w.Start))
	}
}

func mustRevision(t interface {
	Helper()
	Fatal(...any)
}, p Plan) Revision {
	t.Helper()
	rev, err := NewRevision(p)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func mustCompile(t interface {
	Helper()
	Fatal(...any)
}, rev Revision, l License, now time.Time) Terms {
	t.Helper()
	terms, err := Compile(rev, l, now)
	if err != nil {
		t.Fatal(err)
	}
	return terms
}
