package api

import (
	"net/http"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// validateRoutes registers the call that a program makes at its start.
func (s *server) validateRoutes() {
	serve(s, route{
		ID: "validate", Method: http.MethodPost, Path: "/v1/validate", Tag: "license", Permission: access.LicenseKey, Class: renew,
		Summary: "Show what the license allows",
		Description: "Returns the license document and, with a nonce, a signed reply that binds the decision and the document to the request. " +
			"A denial is a decision with status 200. The document is the same until its refresh begins or the license changes.",
	}, nil, []answer{{http.StatusOK, "The decision", v1.ValidateAnswer{}}},
		func(c *call, req *http.Request, in *v1.ValidateBody) error {
			v, err := s.Authority.Validate(req.Context(), c.principal, validateRequest(in))
			if err != nil {
				return err
			}
			s.writeJSON(c, http.StatusOK, "application/json", v1.ValidateAnswer{
				Decision: v.Decision, License: v.License, Reply: v.Reply, KeySet: v.KeySet, Revocations: v.Revocations,
			})
			return nil
		})
}

func validateRequest(b *v1.ValidateBody) documents.ValidateRequest {
	r := documents.ValidateRequest{
		Product: licensing.ProductName(b.Product), Nonce: b.Nonce, DeviceKey: b.DeviceKey, Features: b.Features,
		Holder: b.Holder.ID,
		Asker:  licensing.Asker{Kind: b.Holder.Kind, Components: b.Holder.Components},
		Caller: callerOf(b.CallerBody),
	}
	if b.Released != 0 {
		r.Released = time.Unix(b.Released, 0).UTC()
	}
	return r
}
