package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// TokenPath identifies a token.
type TokenPath struct {
	ID licensing.TokenID `path:"id" maxLength:"64"`
}

func (s *server) tokenRoutes() {
	const tag, path = "token", "/v1/tokens"
	handle(s, route{ID: "list-tokens", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.TokenRead, Summary: "List tokens; their secrets are not stored"},
		func(ctx context.Context, p access.Principal, in *ListQuery) (*reply[v1.List[v1.Token]], error) {
			return listed(s.Authority.Tokens(ctx, p, in.page()))
		})
	handle(s, route{ID: "get-token", Method: http.MethodGet, Path: path + "/{id}", Tag: tag, Permission: access.TokenRead, Summary: "Show a token"},
		func(ctx context.Context, p access.Principal, in *TokenPath) (*reply[v1.Token], error) {
			return answered(s.Authority.Token(ctx, p, in.ID))
		})
	write(s, route{ID: "create-token", Method: http.MethodPost, Path: path, Tag: tag, Permission: access.TokenWrite, Status: http.StatusCreated,
		Summary: "Create a token", Description: "Only this answer contains the secret. A token cannot have more rights than the token that creates it."},
		func(ctx context.Context, p access.Principal, in *struct {
			Repeatable
			Body v1.TokenRequest
		}) (*reply[v1.NewToken], error) {
			return answered(s.Authority.CreateToken(ctx, p, in.Body))
		})
	handle(s, route{ID: "delete-token", Method: http.MethodDelete, Path: path + "/{id}", Tag: tag, Permission: access.TokenWrite, Summary: "End a token immediately"},
		func(ctx context.Context, p access.Principal, in *TokenPath) (*nothing, error) {
			return done(s.Authority.DeleteToken(ctx, p, in.ID))
		})
}
