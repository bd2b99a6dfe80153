package api

import (
	"net/http"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// HolderBody is who holds, or would.
type HolderBody struct {
	Kind       string            `json:"kind" doc:"machine, user, workload or another kind the plan names"`
	ID         string            `json:"id" doc:"The same each time this holder asks"`
	Name       string            `json:"name,omitempty" maxLength:"200" doc:"What people recognize the holder by in lists, such as a host name; it decides nothing"`
	Components map[string]string `json:"components,omitempty" doc:"Of a machine: names to salted SHA-256 hashes, hexadecimal"`
}

// ValidateBody is what a program tells of itself.
type ValidateBody struct {
	Product   string     `json:"product" doc:"The program's product"`
	Nonce     string     `json:"nonce,omitempty" doc:"8 to 128 random characters, for a signed reply"`
	Holder    HolderBody `json:"holder,omitzero" doc:"Where the program runs"`
	DeviceKey string     `json:"device_key,omitempty" doc:"X25519 public key, base64url: keys of features are wrapped for it"`
	Released  int64      `json:"released,omitempty" doc:"When the build was released, Unix seconds; held against the end of maintenance"`
	Features  []string   `json:"features,omitempty" doc:"Features that each have to be in force"`
	CallerBody
}

// ValidateAnswer is what the license allows. Believe the signed parts.
type ValidateAnswer struct {
	Decision    license.Decision `json:"decision"`
	License     string           `json:"license,omitempty" doc:"The license document, compact JWS; none when nothing is left of the license"`
	Reply       string           `json:"reply,omitempty" doc:"The decision and the document's hash, signed for the nonce, compact JWS"`
	KeySet      int64            `json:"keyset" doc:"Number of the key set in force: fetch it when it is higher than yours"`
	Revocations int64            `json:"revocations" doc:"Number of the list of revocations: fetch it when it is higher than yours"`
}

// validateRoutes registers what a program calls at its start.
func (s *server) validateRoutes() {
	serve(s, route{
		ID: "validate", Method: http.MethodPost, Path: "/v1/validate", Tag: "license", Permission: access.LicenseKey, Class: renew,
		Summary: "What does the license allow?",
		Description: "Answers the license document and, with a nonce, a signed reply that binds the decision and the document to the question. " +
			"A denial is a decision with status 200. The document is the same until its refresh begins or the license changes.",
	}, nil, []answer{{http.StatusOK, "The decision", ValidateAnswer{}}},
		func(c *call, req *http.Request, in *ValidateBody) error {
			v, err := s.Authority.Validate(req.Context(), c.principal, validateRequest(in))
			if err != nil {
				return err
			}
			s.writeJSON(c, http.StatusOK, "application/json", ValidateAnswer{
				Decision: v.Decision, License: v.License, Reply: v.Reply, KeySet: v.KeySet, Revocations: v.Revocations,
			})
			return nil
		})
}

func validateRequest(b *ValidateBody) documents.ValidateRequest {
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
