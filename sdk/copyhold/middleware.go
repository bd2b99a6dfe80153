package copyhold

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"copyhold.dev/sdk/license"
)

// Require serves a request only while the license grants the feature. Otherwise it
// answers 403 where the license denies, and 503 where no license was ever seen, with the
// decision as a problem (RFC 9457). Do not put it in front of health, metrics, or the
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

// Metered counts every request that next answers with a status below 500 as one unit, under
// the id that the header Idempotency-Key gives, if there is one. Once a server has signed
// that the quota is spent, it answers 429 until the quota is renewed; a server that is
// away refuses nothing.
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

// A statusWriter remembers the status. Flush and the like reach the writer by Unwrap.
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

// Unwrap serves http.ResponseController.
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
	d.Holders = nil // whom others are, is not for whoever sent the request
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// The connection may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(struct {
		Type     string           `json:"type"`
		Title    string           `json:"title"`
		Status   int              `json:"status"`
		Detail   string           `json:"detail"`
		Code     string           `json:"code"`
		Decision license.Decision `json:"decision"`
	}{"urn:copyhold:problem:" + d.Code, http.StatusText(status), status, strings.TrimSpace(d.Reason), d.Code, d})
}
