package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	v1 "copyhold.dev/internal/v1"
)

// fenceRoutes registers the fence that a restore causes and the way to end it early.
func (s *server) fenceRoutes() {
	const tag, path = "server", "/v1/fence"
	handle(s, route{ID: "show-fence", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.StatusRead,
		Summary: "Show which pools grant no new leases after a restore, and until when"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.FenceStatus], error) {
			return answered(s.Authority.Fence(ctx, p))
		})
	handle(s, route{ID: "declare-nothing-lost", Method: http.MethodPost, Path: path + "/declaration", Tag: tag, Permission: access.FenceEnd,
		Summary: "Declare that the restore lost no lease",
		Description: "The first declaration waits one day for a second one by another person. The second one ends the wait for new leases. " +
			"Two tokens are two people unless one was created with the other. Both declarations are in the log."},
		func(ctx context.Context, p access.Principal, in *struct{ Body v1.FenceDeclarationRequest }) (*reply[v1.FenceDeclared], error) {
			fence, ended, err := s.Authority.DeclareNothingLost(ctx, p, in.Body.Reason)
			return answered(v1.FenceDeclared{Ended: ended, Fence: fence}, err)
		})
}
