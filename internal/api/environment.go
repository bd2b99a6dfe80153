package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

func (s *server) environmentRoutes() {
	const tag, path = "environment", "/v1/environments"
	handle(s, route{ID: "list-environments", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.EnvironmentRead, Summary: "List the environments that the token can use"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.List[licensing.Environment]], error) {
			all, err := s.Authority.Environments(ctx, p)
			return answered(v1.List[licensing.Environment]{Items: append([]licensing.Environment{}, all...)}, err)
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
			Body v1.EnvironmentBody
		}) (*reply[licensing.Environment], error) {
			return answered(s.Authority.CreateEnvironment(ctx, p, licensing.Environment{Name: in.Body.Name, Kind: in.Body.Kind}))
		})
	write(s, route{ID: "change-environment", Method: http.MethodPatch, Path: path + "/{name}", Tag: tag, Permission: access.EnvironmentWrite, Summary: "Change the kind of an environment"},
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
