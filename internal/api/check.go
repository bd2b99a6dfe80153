package api

import (
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	v1 "copyhold.dev/internal/v1"
)

// checkRoutes registers the question that changes nothing.
func (s *server) checkRoutes() {
	serve(s, route{
		ID: "check", Method: http.MethodPost, Path: "/v1/check", Tag: "license", Permission: access.LicenseKey, Class: acquire,
		Summary: "Show what would be decided", Description: "Changes nothing. A denial is a decision with status 200. The instance is an instance of the holder. If an acquire would be refused, the answer is the same error: 503 if the server cannot be certain after a restore, 409 if the holder has a different number of units.",
	}, nil, []answer{{http.StatusOK, "The decision", v1.CheckAnswer{}}},
		func(c *call, req *http.Request, in *v1.CheckBody) error {
			checked, err := s.Authority.Check(req.Context(), c.principal, granting.CheckRequest{
				Feature: in.Feature, Pool: in.Pool, Meter: in.Meter, Units: in.Units, Quantity: quantity(in.Quantity),
				Holder: holderOf(in.Holder), Nonce: in.Nonce, Caller: callerOf(in.CallerBody),
			})
			if err != nil {
				return err
			}
			s.writeJSON(c, http.StatusOK, "application/json", v1.CheckAnswer{Decision: checked.Decision, Reply: checked.Reply})
			return nil
		})
}
