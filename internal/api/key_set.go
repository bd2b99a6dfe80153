package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// publicAge is how long caches may serve public documents, in seconds.
// It is part of the ten seconds in which a change reaches a connected client.
const publicAge = 5

// keySetRoutes registers public keys and revocations, which anyone may fetch.
func (s *server) keySetRoutes() {
	s.publish("keyset", "/v1/keyset", "Fetch the key set in force", v1.KeySetAnswer{}, nil, func(_ *http.Request, env licensing.Env) (any, error) {
		return v1.KeySetAnswer{KeySet: s.Authority.KeySet(env)}, nil
	})
	numbered := parameter{Name: "number", In: "query", Kind: "integer", Doc: "The number of a root set; each one is signed by the roots before it. Default: the root set in force"}
	s.publish("rootset", "/v1/rootset", "Fetch the root set in force, for pinning", v1.RootSetAnswer{}, []parameter{numbered}, func(req *http.Request, env licensing.Env) (any, error) {
		text := req.URL.Query().Get("number")
		if text == "" {
			return v1.RootSetAnswer{RootSet: s.Authority.RootSet(env)}, nil
		}
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, licensing.Errorf(licensing.Invalid, "number must be a whole number").At("number")
		}
		set, err := s.Authority.RootSetNumbered(env, number)
		return v1.RootSetAnswer{RootSet: set}, err
	})
	s.publish("revocations", "/v1/revocations", "Fetch the signed list of revocations", v1.RevocationsAnswer{}, nil, func(req *http.Request, env licensing.Env) (any, error) {
		list, err := s.Authority.Revocations(req.Context(), env)
		return v1.RevocationsAnswer{Revocations: list.Compact, Number: list.Number}, err
	})
	s.publish("jwks", "/.well-known/jwks.json", "Fetch the public keys for standard JOSE libraries", v1.JWKSAnswer{}, nil, func(_ *http.Request, env licensing.Env) (any, error) {
		return v1.JWKSAnswer{Keys: s.Authority.JWKS(env)}, nil
	})
}

// publish registers a public document of an environment. It can be cached, and is not
// sent again to a client that has it.
func (s *server) publish(id, path, summary string, body any, more []parameter, make func(req *http.Request, env licensing.Env) (any, error)) {
	serve(s, route{ID: id, Method: http.MethodGet, Path: path, Tag: "trust", Permission: access.Public, Class: renew, Summary: summary},
		append([]parameter{
			{Name: "issuer", In: "query", Kind: "string", Doc: "The environment, by the issuer of its documents"},
			{Name: "env", In: "query", Kind: "string", Doc: "The environment, by its name. Without issuer and env it is production, or the only environment"},
			{Name: "If-None-Match", In: "header", Kind: "string", Doc: "The ETag of the document that you have"},
		}, more...),
		[]answer{{http.StatusOK, summary, body}, {http.StatusNotModified, "Your copy is current", nil}},
		func(c *call, req *http.Request, _ *none) error {
			query := req.URL.Query()
			env, err := s.Authority.PublishedBy(query.Get("issuer"), licensing.Env(query.Get("env")))
			if err != nil {
				return err
			}
			v, err := make(req, env)
			if err != nil {
				return err
			}
			text, err := json.Marshal(v)
			if err != nil {
				return err
			}
			tag := `"` + license.DocumentHash(string(text)) + `"`
			c.Header().Set("ETag", tag)
			c.Header().Set("Cache-Control", "public, max-age="+strconv.Itoa(publicAge))
			if strings.Contains(req.Header.Get("If-None-Match"), tag) {
				c.WriteHeader(http.StatusNotModified)
				return nil
			}
			s.writeBytes(c, http.StatusOK, "application/json", text)
			return nil
		})
}
