package api_test

import (
	"net/http"
	"strings"
	"testing"

	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
)

func TestMetricsSayWhatIsHeldDeniedAndEnding(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db, everyModel)
		for _, who := range []string{"ann", "bob", "cid"} {
			d.ask("POST", "/v1/leases", members{"request_id": who, "pool": "seats", "holder": user(who), "instance": who})
		}
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
			`copyhold_decisions_total{code="pool_full",environment="production",outcome="denied",pool="seats",product="lathe"} 1`,
			`copyhold_denials_total{code="pool_full",environment="production",kind="true",pool="seats",product="lathe"} 1`,
			`copyhold_pool_held{environment="production",pool="seats",product="lathe"} 2`,
			`copyhold_pool_capacity{environment="production",pool="seats",product="lathe"} 2`,
			`copyhold_expiry_seconds{environment="production",kind="key_set"}`,
			`copyhold_expiry_seconds{environment="production",kind="term"}`,
			`copyhold_runway_seconds{cause=`,
			`copyhold_log_lag_rows{environment="production"}`,
			`copyhold_commit_batch_requests_count`,
			`copyhold_http_requests_total{operation="acquire-lease",status="409"} 1`,
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
