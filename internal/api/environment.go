package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// EnvironmentBody asks for an environment.
type EnvironmentBody struct {
	Name licensing.Env  `json:"name" minLength:"1" maxLength:"64"`
	Kind licensing.Kind `json:"kind" enum:"production,staging,development"`
}

func (s *server) environmentRoutes() {
	const tag, path = "environment", "/v1/environments"
	handle(s, route{ID: "list-environments", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.EnvironmentRead, Summary: "List the environments the token reaches"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[List[licensing.Environment]], error) {
			all, err := s.Authority.Environments(ctx, p)
			return answered(List[licensing.Environment]{Items: append([]licensing.Environment{}, all...)}, err)
		})
	handle(s, route{ID: "get-environment", Method: http.MethodGet, Path: path + "/{name}", Tag: tag, Permission: access.EnvironmentRead, Summary: "Show an environment"},
		func(ctx context.Context, p access.Principal, in *struct {
			Name licensing.Env `path:"name"`
		}) (*reply[licensing.Environment], error) {
			return answered(s.Authority.Environment(ctx, p, in.Name))
		})
	write(s, route{ID: "create-environment", Method: http.MethodPost, Path: path, Tag: tag, Permission: access.EnvironmentWrite, Status: http.StatusCreated, Summary: "Create an environment with its own signing keys"},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Body EnvironmentBody
		}) (*reply[licensing.Environment], error) {
			return answered(s.Authority.CreateEnvironment(ctx, p, licensing.Environment{Name: in.Body.Name, Kind: in.Body.Kind}))
		})
	write(s, route{ID: "change-environment", Method: http.MethodPatch, Path: path + "/{name}", Tag: tag, Permission: access.EnvironmentWrite, Summary: "Change how careful Copyhold is in an environment"},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Name licensing.Env `path:"name"`
			Body struct {
				Kind licensing.Kind `json:"kind" enum:"production,staging,development"`
			}
		}) (*reply[licensing.Environment], error) {
			return answered(s.Authority.ChangeEnvironment(ctx, p, licensing.Environment{Name: in.Name, Kind: in.Body.Kind}))
		})
}
