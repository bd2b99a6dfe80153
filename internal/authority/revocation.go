package authority

import (
	"context"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// revoke adds r to the list of env; a subject revoked already stays as it is.
func (c *change) revoke(ctx context.Context, env licensing.Env, r store.Revocation) error {
	// Numbers have no gaps, so only one transaction gives them at a time.
	if err := c.LockEnvironment(ctx, env); err != nil {
		return err
	}
	_, err := c.InsertRevocation(ctx, env, r)
	return err
}
