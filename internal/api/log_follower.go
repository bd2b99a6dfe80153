package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	v1 "copyhold.dev/internal/v1"
)

// FollowerPath identifies a follower of the log.
type FollowerPath struct {
	Name string `path:"name" maxLength:"64" doc:"A name that the program chooses"`
}

func (s *server) logFollowerRoutes() {
	const tag, path = "audit", "/v1/followers"
	handle(s, route{ID: "list-followers", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.AuditRead,
		Summary: "List the followers of the log and how far behind they are"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.List[v1.Follower]], error) {
			all, err := s.Authority.Followers(ctx, p)
			return answered(v1.List[v1.Follower]{Items: all}, err)
		})
	handle(s, route{ID: "follow-log", Method: http.MethodGet, Path: path + "/{name}", Tag: tag, Permission: access.AuditRead,
		Summary:     "List the entries that a follower has not processed, oldest first",
		Description: "The entries are returned again until the follower is moved, so a program that fails in between gets them again. A follower that does not exist yet begins with the first entry."},
		func(ctx context.Context, p access.Principal, in *struct {
			FollowerPath
			Limit int `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"The maximum number of items"`
		}) (*reply[v1.FollowedPage], error) {
			return answered(s.Authority.Follow(ctx, p, in.Name, in.Limit))
		})
	handle(s, route{ID: "move-follower", Method: http.MethodPost, Path: path + "/{name}/move", Tag: tag, Permission: access.AuditFollow,
		Summary:     "Move a follower past entries that were processed",
		Description: "A new follower moves from 0. Each scope has its own names. 409 means that another program uses the name."},
		func(ctx context.Context, p access.Principal, in *struct {
			FollowerPath
			Body v1.FollowerMove
		}) (*nothing, error) {
			return done(s.Authority.MoveFollower(ctx, p, in.Name, in.Body))
		})
	handle(s, route{ID: "delete-follower", Method: http.MethodDelete, Path: path + "/{name}", Tag: tag, Permission: access.AuditFollow,
		Summary: "Delete a follower"},
		func(ctx context.Context, p access.Principal, in *FollowerPath) (*nothing, error) {
			return done(s.Authority.DeleteFollower(ctx, p, in.Name))
		})
}
