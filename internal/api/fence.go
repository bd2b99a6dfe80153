package api

import (
	"context"
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/ledger"
)

// FenceDeclarationRequest is the word of one person that no lease was lost.
type FenceDeclarationRequest struct {
	Reason string `json:"reason" minLength:"1" maxLength:"400" doc:"What shows it; it is recorded"`
}

// FenceDeclared is what a declaration came to.
type FenceDeclared struct {
	Ended bool               `json:"ended" doc:"Two people have declared it, and newcomers are served again."`
	Fence ledger.FenceStatus `json:"fence" doc:"The fence as it stood"`
}

// fenceRoutes registers what a restore leaves behind, and how it ends early.
func (s *server) fenceRoutes() {
	const tag, path = "server", "/v1/fence"
	handle(s, route{ID: "show-fence", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.StatusRead,
		Summary: "Which pools grant nothing new after a restore, and until when"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[ledger.FenceStatus], error) {
			return answered(s.Authority.Fence(ctx, p))
		})
	handle(s, route{ID: "declare-nothing-lost", Method: http.MethodPost, Path: path + "/declaration", Tag: tag, Permission: access.FenceEnd,
		Summary: "Declare that the restore lost no lease",
		Description: "The first declaration waits a day for a second one by another person, which ends the wait of newcomers. " +
			"Two tokens are two people unless one was created with the other. Both declarations are in the log."},
		func(ctx context.Context, p access.Principal, in *struct{ Body FenceDeclarationRequest }) (*reply[FenceDeclared], error) {
			fence, ended, err := s.Authority.DeclareNothingLost(ctx, p, in.Body.Reason)
			return answered(FenceDeclared{ended, fence}, err)
		})
}
