package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// scalar represents license.Value in the OpenAPI document: a text, a whole number, or
// true or false.
type scalar struct{}

// Schema implements huma.SchemaProvider.
func (scalar) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeInteger}, {Type: huma.TypeBoolean}}}
}

// quantity returns the decimal in v, or "" if v has none.
func quantity(v license.Value) string {
	if n, ok := v.Int(); ok {
		return strconv.FormatInt(n, 10)
	}
	text, _ := v.Text()
	return text
}

// moment returns the time in v, as RFC 3339 or as Unix seconds, and zero if v is omitted.
func moment(v license.Value) (time.Time, error) {
	if v.IsZero() {
		return time.Time{}, nil
	}
	if n, ok := v.Int(); ok {
		t := time.Unix(n, 0).UTC()
		if !licensing.Dated(t) {
			return t, licensing.Errorf(licensing.Invalid, "at must be a time between 1970 and 9999, in Unix seconds").At("at")
		}
		return t, nil
	}
	text, _ := v.Text()
	t, err := licensing.ParseDate(text)
	if err != nil {
		return t, licensing.Errorf(licensing.Invalid, "at must be a time between 1970 and 9999, such as 2026-11-22T03:00:00Z, or Unix seconds").At("at")
	}
	return t, nil
}

// usageRoutes registers how programs report usage.
func (s *server) usageRoutes() {
	serve(s, route{
		ID: "record-usage", Method: http.MethodPost, Path: "/v1/usage", Tag: "usage", Permission: access.LicenseKey, Class: usage,
		Summary:     "Record usage of meters",
		Description: "Each event is counted once, identified by its id, and has its own status. A denied event is not recorded.",
	}, nil, []answer{{http.StatusOK, "The results", v1.UsageAnswer{}}},
		func(c *call, req *http.Request, in *v1.UsageBody) error {
			events := make([]granting.UsageEvent, len(in.Events))
			for i, e := range in.Events {
				at, err := moment(e.At)
				if err != nil {
					return err
				}
				events[i] = granting.UsageEvent{ID: e.ID, Meter: e.Meter, Quantity: quantity(e.Quantity), At: at}
			}
			done, err := s.Authority.Usage(req.Context(), c.principal, granting.UsageRequest{Events: events, Nonce: in.Nonce, Caller: callerOf(in.CallerBody)})
			if err != nil {
				return err
			}
			out := v1.UsageAnswer{Results: make([]v1.UsageResult, len(done.Results)), Reply: done.Reply}
			for i, r := range done.Results {
				out.Results[i] = v1.UsageResult{ID: r.ID, Status: string(r.Status), Reason: r.Reason}
				if r.Decision.Outcome != "" {
					out.Results[i].Decision = &r.Decision
				}
			}
			s.writeJSON(c, http.StatusOK, "application/json", out)
			return nil
		})
}
