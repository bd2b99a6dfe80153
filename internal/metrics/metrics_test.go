package metrics_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"

	"copyhold.dev/internal/metrics"
)

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// used returns metrics with a value in every instrument, and their clock.
func used() (m *metrics.Metrics, clock *time.Time) {
	now := time.Unix(1_000_000, 0)
	m = metrics.New(func() time.Time { return now })
	m.Decision("production", "lathe", "seats", "denied", "pool_full")
	m.Denial("production", "lathe", "seats", "pool_full", false)
	m.Denial("production", "lathe", "seats", "pool_full", true)
	m.Commit(time.Millisecond, 7, nil)
	m.Panic()
	m.Shed("acquire")
	m.Throttled("address")
	m.Stream()
	m.Cache("terms", func() metrics.CacheUsage {
		return metrics.CacheUsage{Bytes: 10, Budget: 20, Entries: 3, Hits: 4, Misses: 5, Evictions: 6}
	})
	m.Task("sequence", nil)
	m.Task("sequence", errors.New("no"))
	op := m.Operation("acquire-lease", "acquire")
	op.Begin()
	op.End(201, time.Millisecond)
	m.SetState(metrics.State{
		Pools:    []metrics.Pool{{Environment: "production", Product: "lathe", Pool: "seats", Held: 3, Capacity: 5}},
		Expiries: []metrics.Expiry{{Environment: "production", Kind: "key_set", At: now.Add(time.Hour)}},
		Runways:  []metrics.Runway{{Environment: "production", Cause: "key_set", At: now.Add(30 * time.Minute)}},
		Lags:     []metrics.Lag{{Environment: "production", Rows: 2, Since: now.Add(-time.Second)}},

		Quarantines: []metrics.Quarantine{{Environment: "prodution", Cause: "unknown_environment", Rows: 300}},
		Clock:       metrics.Clock{InDoubt: true, Offset: 7200, Kept: 60},
	})
	return m, &now
}

func TestEveryInstrumentIsRead(t *testing.T) {
	m, now := used()
	*now = now.Add(time.Minute)
	got := scrape(t, m)
	for _, want := range []string{
		`copyhold_decisions_total{code="pool_full",environment="production",outcome="denied",pool="seats",product="lathe"} 1`,
		`copyhold_denials_total{code="pool_full",environment="production",kind="true",pool="seats",product="lathe"} 1`,
		`copyhold_denials_total{code="pool_full",environment="production",kind="retried",pool="seats",product="lathe"} 1`,
		`copyhold_commit_seconds_count{result="ok"} 1`,
		`copyhold_commit_batch_requests_sum 7`,
		`copyhold_panics_total 1`,
		`copyhold_http_shed_total{class="acquire"} 1`,
		`copyhold_http_throttled_total{limit="address"} 1`,
		`copyhold_http_requests_total{operation="acquire-lease",status="201"} 1`,
		`copyhold_streams 1`,
		`copyhold_cache_bytes{cache="terms"} 10`,
		`copyhold_cache_budget_bytes{cache="terms"} 20`,
		`copyhold_cache_entries{cache="terms"} 3`,
		`copyhold_cache_lookups_total{cache="terms",result="hit"} 4`,
		`copyhold_cache_lookups_total{cache="terms",result="miss"} 5`,
		`copyhold_cache_evictions_total{cache="terms"} 6`,
		`copyhold_task_age_seconds{task="sequence"} 60`,
		`copyhold_task_failures_total{task="sequence"} 1`,
		`copyhold_pool_held{environment="production",pool="seats",product="lathe"} 3`,
		`copyhold_pool_capacity{environment="production",pool="seats",product="lathe"} 5`,
		`copyhold_expiry_seconds{environment="production",kind="key_set"} 3540`,
		`copyhold_runway_seconds{cause="key_set",environment="production"} 1740`,
		`copyhold_log_lag_rows{environment="production"} 2`,
		`copyhold_clock_in_doubt 1`,
		`copyhold_clock_offset_seconds 7200`,
		`copyhold_clock_kept_seconds 60`,
		`copyhold_log_lag_seconds{environment="production"} 61`,
		`copyhold_log_quarantined_rows{cause="unknown_environment",environment="prodution"} 300`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
}

func TestLabelsFromPlansAreBounded(t *testing.T) {
	m := metrics.New(time.Now)
	for i := range 5000 {
		m.Decision("production", "lathe", fmt.Sprintf("pool%d", i), "allowed", "ok")
	}
	got := scrape(t, m)
	if n := strings.Count(got, "copyhold_decisions_total{"); n > 2001 {
		t.Errorf("%d series", n)
	}
	if !strings.Contains(got, `copyhold_decisions_total{code="ok",environment="other",outcome="allowed",pool="other",product="other"} 3000`) {
		t.Error("what came after the bound is not counted")
	}
}

func TestNilRecordsNothing(t *testing.T) {
	var m *metrics.Metrics
	m.Decision("", "", "", "", "")
	m.Denial("", "", "", "", true)
	m.Commit(0, 1, nil)
	m.Task("x", nil)
	m.SetState(metrics.State{})
	m.Operation("x", "y").End(200, 0)
	m.Stream()()
}
