// Package v1 contains the types of requests and answers of version 1 of the HTTP API, as they
// are written in JSON. The version only grows: a member never changes its name, its type or
// its meaning, and no member is removed. docs/openapi.json describes them, and a test fails if
// a type and the description differ.
package v1

import "github.com/danielgtaylor/huma/v2"

// TransformSchema implements huma.SchemaTransformer.
func (CheckBody) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	textOrInt(s.Properties["quantity"])
	return s
}

// TransformSchema implements huma.SchemaTransformer.
func (UsageEvent) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	textOrInt(s.Properties["quantity"])
	textOrInt(s.Properties["at"])
	return s
}

// textOrInt limits the schema of a license.Value to the forms of a decimal or a time.
func textOrInt(s *huma.Schema) { s.OneOf = s.OneOf[:2] }
