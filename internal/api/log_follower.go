package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	v1 "copyhold.dev/internal/v1"
)

// FollowerPath names a follower of the log.
type FollowerPath struct {
	Name string `path:"name" maxLength:"64" doc:"A name that the program chooses"`
}

func (s *server) logFollowerRoutes() {
	const tag, path = "audit", "/v1/followers"
	handle(s, route{ID: "list-followers", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.AuditRead,
		Summary: "List who follows the log, and how far behind they are"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.List[v1.Follower]], error) {
			all, err := s.Authority.Followers(ctx, p)
			return answered(v1.List[v1.Follower]{Items: all}, err)
		})
	handle(s, route{ID: "follow-log", Method: http.MethodGet, Path: path + "/{name}", Tag: tag, Permission: access.AuditRead,
		Summary:     "What a follower has not read, the oldest first",
		Description: "It stays unread until the follower is moved, so a program that fails in between gets it again. A follower that does not exist yet begins with the first entry."},
		func(ctx context.Context, p access.Principal, in *struct {
			FollowerPath
			Limit int `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"At most so many items"`
		}) (*reply[v1.FollowedPage], error) {
			return answered(s.Authority.Follow(ctx, p, in.Name, in.Limit))
		})
	handle(s, route{ID: "move-follower", Method: http.MethodPost, Path: path + "/{name}/move", Tag: tag, Permission: access.AuditFollow,
		Summary:     "Move a follower over entries that were taken care of",
		Description: "A new follower moves from 0. Each scope has names of its own. 409 says that another program follows under the name."},
		func(ctx context.Context, p access.Principal, in *struct {
			FollowerPath
			Body v1.FollowerMove
		}) (*nothing, error) {
			return done(s.Authority.MoveFollower(ctx, p, in.Name, in.Body))
		})
	handle(s, route{ID: "delete-follower", Method: http.MethodDelete, Path: path + "/{name}", Tag: tag, Permission: access.AuditFollow,
		Summary: "Forget a follower"},
		func(ctx context.Context, p access.Principal, in *FollowerPath) (*nothing, error) {
			return done(s.Authority.DeleteFollower(ctx, p, in.Name))
		})
}
