package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// TestHealthIsNotGatedByLicensing ends a license in every way there is.
func TestHealthIsNotGatedByLicensing(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	healthy := func(after string) {
		t.Helper()
		for _, path := range []string{"/healthz", "/readyz"} {
			if o := d.ask("GET", path, nil, "Nobody"); o.status != http.StatusOK {
				t.Errorf("%s after %s: %d %s", path, after, o.status, o.body)
			}
		}
	}
	_, err := d.authority.SuspendLicense(t.Context(), d.owner, d.license, "unpaid")
	d.check(err)
	healthy("a suspension")
	_, err = d.authority.RevokeLicense(t.Context(), d.owner, d.license, v1.RevokeRequest{Reason: "fraud"})
	d.check(err)
	healthy("a revocation")
	key := d.config.Ring.Active("production", time.Now())
	_, err = d.authority.WithdrawSigningKey(t.Context(), d.owner, key, time.Now(), "drill")
	d.check(err)
	healthy("a withdrawn key")
}

func TestMetricsSayWhatIsHeldDeniedAndEnding(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		background, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); d.authority.Run(background) }()
		defer func() { stop(); <-done }()
		for _, who := range []string{"ann", "bob", "cid"} {
			d.ask("POST", "/v1/leases", members{"request_id": who, "pool": "seats", "holder": user(who), "instance": who})
		}
		d.ask("POST", "/v1/leases", members{"request_id": "cid-again", "pool": "line", "holder": user("cid"), "instance": "cid"})
		d.ask("POST", "/v1/leases", members{"request_id": "cid-once-more", "pool": "seats", "holder": user("cid"), "instance": "cid"})
		d.ask("POST", "/v1/validate", members{"product": "lathe"})
		d.check(d.authority.Measure(t.Context()))
		req, err := http.NewRequestWithContext(t.Context(), "GET", d.url+"/metrics", nil)
		d.check(err)
		req.Header.Set("Authorization", "Bearer "+d.token)
		req.Header.Set("Copyhold-Environment", "production")
		o := d.do(req)
		if o.status != http.StatusOK {
			t.Fatalf("%d %s", o.status, o.body)
		}
		for _, want := range []string{
			`copyhold_decisions_total{code="ok",environment="production",outcome="allowed",pool="seats",product="lathe"} 2`,
			`copyhold_decisions_total{code="pool_full",environment="production",outcome="denied",pool="seats",product="lathe"} 2`,
			`copyhold_denials_total{code="pool_full",environment="production",kind="true",pool="seats",product="lathe"} 1`,
			`copyhold_denials_total{code="pool_full",environment="production",kind="retried",pool="seats",product="lathe"} 1`,
			`copyhold_pool_held{environment="production",pool="seats",product="lathe"} 2`,
			`copyhold_pool_capacity{environment="production",pool="seats",product="lathe"} 2`,
			`copyhold_expiry_seconds{environment="production",kind="key_set"}`,
			`copyhold_expiry_seconds{environment="production",kind="term"}`,
			`copyhold_runway_seconds{cause=`,
			`copyhold_log_lag_rows{environment="production"}`,
			`copyhold_log_lag_seconds{environment="production"}`,
			`copyhold_commit_seconds_bucket{result="ok"`,
			`copyhold_task_age_seconds{task="sequencer"}`,
			`copyhold_commit_batch_requests_count`,
			`copyhold_http_requests_total{operation="acquire-lease",status="409"} 2`,
		} {
			if !strings.Contains(string(o.body), want) {
				t.Errorf("missing %s", want)
			}
		}
		if strings.Contains(string(o.body), string(d.license)) {
			t.Error("a license is a label")
		}
	})
}
