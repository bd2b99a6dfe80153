package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/sdk/license"
)

// CheckBody names one feature, pool or meter.
type CheckBody struct {
	Feature  string        `json:"feature,omitempty"`
	Pool     string        `json:"pool,omitempty"`
	Meter    string        `json:"meter,omitempty"`
	Units    int64         `json:"units,omitempty" doc:"Of the pool, 1 when left out"`
	Quantity license.Value `json:"quantity,omitzero" doc:"Of the meter, 1 when left out: a decimal as \"1.25\", or a whole number"`
	Holder   HolderBody    `json:"holder,omitzero" doc:"Who would hold"`
	Nonce    string        `json:"nonce,omitempty" doc:"8 to 128 random characters, for a signed reply"`
	CallerBody
}

// TransformSchema implements huma.SchemaTransformer.
func (CheckBody) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	textOrInt(s.Properties["quantity"])
	return s
}

// CheckAnswer is what would be decided now.
type CheckAnswer struct {
	Decision license.Decision `json:"decision"`
	Reply    string           `json:"reply,omitempty" doc:"The decision, signed for the nonce"`
}

// checkRoutes registers the question that changes nothing.
func (s *server) checkRoutes() {
	serve(s, route{
		ID: "check", Method: http.MethodPost, Path: "/v1/check", Tag: "license", Permission: access.LicenseKey, Class: acquire,
		Summary: "What would be decided?", Description: "Changes nothing. A denial is a decision with status 200. An instance is one of the holder. What an acquire would be refused with is an error: 503 where the server can't be certain after a restore, 409 where the holder has another number of units.",
	}, nil, []answer{{http.StatusOK, "The decision", CheckAnswer{}}},
		func(c *call, req *http.Request, in *CheckBody) error {
			checked, err := s.Authority.Check(req.Context(), c.principal, granting.CheckRequest{
				Feature: in.Feature, Pool: in.Pool, Meter: in.Meter, Units: in.Units, Quantity: quantity(in.Quantity),
				Holder: holderOf(in.Holder), Nonce: in.Nonce, Caller: callerOf(in.CallerBody),
			})
			if err != nil {
				return err
			}
			s.writeJSON(c, http.StatusOK, "application/json", CheckAnswer{checked.Decision, checked.Reply})
			return nil
		})
}
