//go:build go1.25

package copyhold

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

func get(h http.Handler, key string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestMiddlewareGatesAndMeters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dates = span{60, 120, 420, 1260, 3060}
		c := w.open(t, w.options())
		status := http.StatusOK
		h := c.Require("export", c.Metered("calls", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })))
		for _, key := range []string{"", "", "a", "a"} {
			if rec := get(h, key); rec.Code != 200 {
				t.Errorf("status %d", rec.Code)
			}
		}
		status = 502
		get(h, "")
		pass(61 * time.Second)
		if w.counted() != 3 {
			t.Errorf("%d counted, want two without a key and one with", w.counted())
		}
		w.set(func() {
			w.quota = &license.Decision{Outcome: license.Denied, Code: license.CodeQuotaSpent, Reason: "1000 of 1000 calls", NextAt: time.Now().Unix() + 3600}
		})
		status = 200
		get(h, "b")
		pass(61 * time.Second)
		rec := get(h, "c")
		if rec.Code != http.StatusTooManyRequests {
			t.Errorf("quota spent: %d", rec.Code)
		}
		var problem struct{ Code, Detail string }
		if err := json.Unmarshal(rec.Body.Bytes(), &problem); err != nil || problem.Code != "quota_spent" {
			t.Errorf("%s: %v", rec.Body, err)
		}
		w.net.cut("one.test", true)
		pass(time.Hour)
		if rec := get(h, ""); rec.Code != http.StatusForbidden {
			t.Errorf("after the grace: %d", rec.Code)
		}
	})
}

func TestMiddlewareWithoutALicenseIsUnavailable(t *testing.T) {
	rec := get((*Client)(nil).Require("export", http.NotFoundHandler()), "")
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d", rec.Code)
	}
}

// A used-up quota is available again in its next period, whether or not a server reports it.
func TestASpentQuotaEndsWithItsPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		w.set(func() {
			w.quota = &license.Decision{Outcome: license.Denied, Code: license.CodeQuotaSpent, Reason: "1000 of 1000 calls", NextAt: time.Now().Unix() + 3600}
		})
		must(t, c.Record("calls", 1))
		pass(61 * time.Second)
		if d := c.Quota("calls"); d.Code != license.CodeQuotaSpent || d.NextTime().Sub(time.Now()) > time.Hour {
			t.Errorf("%s until %v", d, d.NextTime())
		}
		w.net.cut("one.test", true)
		pass(time.Hour)
		if d := c.Quota("calls"); d.Outcome != license.Unavailable {
			t.Errorf("after the period: %s", d)
		}
	})
}
