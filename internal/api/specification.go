package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
	"copyhold.dev/sdk/license"
)

// specification returns huma's configuration: JSON only, no links to schemas,
// no page that loads scripts from elsewhere, errors without what was sent.
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
				License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: registry,
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
	registry.Schema(reflect.TypeFor[Problem](), true, "Problem")
	return c
}

// date stands in the document for time.Time. A date that can't be one is refused
// here, because year 1 would otherwise be taken for a date that was left out.
type date struct{}

// Schema implements huma.SchemaProvider.
func (date) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Pattern: datePattern}
}

// datePattern is the beginning of a date between 1970 and 9999.
const datePattern = `^(19[7-9]\d|[2-9]\d{3})-`

// operation returns r as huma documents it.
func (s *server) operation(r route) huma.Operation {
	op := huma.Operation{
		OperationID: r.ID, Method: r.Method, Path: r.Path,
		Summary: r.Summary, Description: r.Description, Tags: []string{r.Tag},
		DefaultStatus: r.Status,
		Responses: map[string]*huma.Response{"default": {
			Description: "An error; `code` says which.",
			Content: map[string]*huma.MediaType{problemType: {
				Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}},
		}},
		Extensions: map[string]any{"x-permission": string(r.Permission)},
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

func textResponse(description string) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
		"text/plain": {Schema: &huma.Schema{Type: "string"}}}}
}

// finishSpecification publishes the document, without the error type of huma
// that no answer uses.
func (s *server) finishSpecification() {
	spec := s.huma.OpenAPI()
	r := route{Method: http.MethodGet, Path: "/openapi.json", ID: "openapi", Summary: "This document", Tag: "server", Permission: access.Public, Class: critical}
	s.declare(r)
	op := s.operation(r)
	op.Responses["200"] = &huma.Response{Description: "OpenAPI 3.1", Content: map[string]*huma.MediaType{
		"application/openapi+json": {Schema: &huma.Schema{Type: "object"}}}}
	spec.AddOperation(&op)
	delete(spec.Components.Schemas.Map(), "ErrorModel")
	delete(spec.Components.Schemas.Map(), "ErrorDetail")
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
