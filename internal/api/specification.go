package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// specification returns huma's configuration: JSON only, no links to schemas, no page
// that loads scripts from elsewhere, and errors that do not repeat the request.
func (s *server) specification() huma.Config {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: decodeStrict}
	c := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Copyhold",
				Version:     s.Version,
				Description: "Software licensing: signed licenses, leases on pools, usage of meters.",
				Contact:     &huma.Contact{Name: "Copyhold", URL: "https://copyhold.dev"},
				License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Tags: tags(),
			// The paths are relative to the server that serves the document, whatever its name.
			Servers: []*huma.Server{{URL: "/", Description: "The server that serves this document"}},
			Components: &huma.Components{
				Schemas: registry,
				Responses: map[string]*huma.Response{"Problem": {
					Description: "An error; `code` identifies it.",
					Content: map[string]*huma.MediaType{problemType: {
						Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}},
				}},
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"license-key": {Type: "apiKey", In: "header", Name: "Authorization",
						Description: "`Authorization: License KEY`, for programs."},
					"token": {Type: "http", Scheme: "bearer",
						Description: "`Authorization: Bearer TOKEN`, for people and systems."},
				},
			},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{s.cleanError},
	}
	registry.RegisterTypeAlias(reflect.TypeFor[license.Value](), reflect.TypeFor[scalar]())
	registry.RegisterTypeAlias(reflect.TypeFor[license.Seq](), reflect.TypeFor[pair]())
	registry.RegisterTypeAlias(reflect.TypeFor[time.Time](), reflect.TypeFor[date]())
	registry.Schema(reflect.TypeFor[v1.Problem](), true, "Problem")
	return c
}

// date represents time.Time in the OpenAPI document. An impossible date is refused
// here, because year 1 would otherwise look like an omitted date.
type date struct{}

// Schema implements huma.SchemaProvider.
func (date) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Pattern: datePattern}
}

// datePattern is the beginning of a date between 1970 and 9999.
const datePattern = `^(19[7-9]\d|[2-9]\d{3})-`

// operation returns r in the form that huma documents.
func (s *server) operation(r route) huma.Operation {
	problem := &huma.Response{Ref: "#/components/responses/Problem"}
	op := huma.Operation{
		OperationID: r.ID, Method: r.Method, Path: r.Path,
		Summary: r.Summary, Description: cmp.Or(r.Description, r.Summary), Tags: []string{r.Tag},
		DefaultStatus: r.Status,
		Responses:     map[string]*huma.Response{"4XX": problem, "default": problem},
		Extensions:    map[string]any{"x-permission": string(r.Permission)},
	}
	switch r.Permission {
	case access.Public:
		op.Security = []map[string][]string{{}}
	case access.LicenseKey:
		op.Security = []map[string][]string{{"license-key": {}}}
	default:
		op.Security = []map[string][]string{{"token": {}}}
	}
	if r.Or != "" {
		op.Security = append(op.Security, map[string][]string{"token": {}})
		op.Extensions["x-permission-or"] = string(r.Or)
	}
	return op
}

// tags returns the nouns that group operations, in reading order.
func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: "license", Description: "What a customer may use, and the keys that programs show."},
		{Name: "lease", Description: "Units of a pool in use, and places in its queue."},
		{Name: "usage", Description: "The usage of meters."},
		{Name: "trust", Description: "Signed sets and lists that a program needs to verify documents. Anyone may fetch them."},
		{Name: "customer", Description: "The buyers of licenses."},
		{Name: "product", Description: "The software that is licensed, and the team that owns it."},
		{Name: "plan", Description: "The offers, described in files. Each applied version is a revision."},
		{Name: "environment", Description: "Production, staging, development: each has its own data, signing keys and tokens."},
		{Name: "token", Description: "Credentials of people and systems."},
		{Name: "signing-key", Description: "The keys that sign documents, and the root that vouches for them."},
		{Name: "status", Description: "The state of an environment, and explanations of decisions."},
		{Name: "job", Description: "Long work that the server does in the background, with its progress and results."},
		{Name: "audit", Description: "The tamper-evident log, with proofs."},
		{Name: "server", Description: "The server itself: health, metrics, backup, the time after a restore."},
	}
}

func textResponse(description string) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
		"text/plain": {Schema: &huma.Schema{Type: "string"}}}}
}

// finishSpecification publishes the document, without null and without huma's error
// type, which no answer uses.
func (s *server) finishSpecification() {
	spec := s.huma.OpenAPI()
	r := route{Method: http.MethodGet, Path: "/openapi.json", ID: "openapi", Summary: "Fetch this document", Tag: "server", Permission: access.Public, Class: critical}
	s.declare(r)
	op := s.operation(r)
	op.Responses["200"] = &huma.Response{Description: "OpenAPI 3.1", Content: map[string]*huma.MediaType{
		"application/openapi+json": {Schema: &huma.Schema{Type: "object"}}}}
	spec.AddOperation(&op)
	delete(spec.Components.Schemas.Map(), "ErrorModel")
	delete(spec.Components.Schemas.Map(), "ErrorDetail")
	for _, schema := range spec.Components.Schemas.Map() {
		neverNull(schema)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		s.fault("writing the OpenAPI document: %w", err)
		return
	}
	s.mux.Handle(r.pattern(), s.guard(r, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		http.ServeContent(w, req, "", noModTime, bytes.NewReader(text))
	}))
}

// neverNull removes null from the types that s and its parts allow. Huma adds it for
// every slice, but no body may contain it and no answer does.
func neverNull(s *huma.Schema) {
	if s == nil {
		return
	}
	s.Nullable = false
	neverNull(s.Items)
	for _, part := range s.Properties {
		neverNull(part)
	}
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
		neverNull(values)
	}
}
