package copyhold

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"copyhold.dev/sdk/license"
)

// Require passes a request to next only while the license grants the feature. Otherwise it answers
// 403 if the license denies the feature, and 503 if there was never a license. The body is the
// decision as a problem (RFC 9457). Do not put it in front of health checks, metrics, or the
// customer's own data.
func (c *Client) Require(feature string, next http.Handler) http.Handler {
	f := c.Feature(feature)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.Enabled() {
			refuse(w, f.Decision())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Metered counts each request that next answers with a status below 500 as one unit of the meter.
// The event's id is the value of the Idempotency-Key header, if there is one. Once a server has
// signed that the quota is used up, Metered answers 429 until the quota is renewed. An unreachable
// server never causes a refusal.
func (c *Client) Metered(meter string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d := c.Quota(meter); d.Outcome == license.Denied {
			refuse(w, d)
			return
		}
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(s, r)
		if s.status >= http.StatusInternalServerError {
			return
		}
		u := Usage{Meter: meter, Quantity: "1"}
		if key := r.Header.Get("Idempotency-Key"); key != "" && len(key) <= maxID {
			u.ID = key
		}
		if err := c.RecordUsage(u); err != nil && c != nil {
			c.log.Error("a request was not metered", "meter", meter, "error", err)
		}
	})
}

// A statusWriter records the status. Flush and similar calls reach the original writer through
// Unwrap.
type statusWriter struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (w *statusWriter) WriteHeader(status int) {
	if !w.wrote && status >= http.StatusOK {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// refuse answers with a decision.
func refuse(w http.ResponseWriter, d license.Decision) {
	status := http.StatusForbidden
	switch {
	case d.Outcome == license.Unavailable:
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", strconv.Itoa(int(firstFloor.Seconds())))
	case d.Code == license.CodeQuotaSpent:
		status = http.StatusTooManyRequests
	}
	d.Holders = nil // the sender of the request must not learn who the other holders are
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// The connection may be gone, and then nobody is left to receive an error.
	_ = json.NewEncoder(w).Encode(struct {
		Type     string           `json:"type"`
		Title    string           `json:"title"`
		Status   int              `json:"status"`
		Detail   string           `json:"detail"`
		Code     string           `json:"code"`
		Decision license.Decision `json:"decision"`
	}{"urn:copyhold:problem:" + d.Code, http.StatusText(status), status, strings.TrimSpace(d.Reason), d.Code, d})
}
