package catalog

import (
	"context"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// Revoke adds r to the list of env; a subject revoked already stays as it is.
func Revoke(ctx context.Context, tx *ledger.Tx, env licensing.Env, r store.Revocation) error {
	// Numbers have no gaps, so only one transaction gives them at a time.
	if err := tx.LockEnvironment(ctx, env); err != nil {
		return err
	}
	_, err := tx.InsertRevocation(ctx, env, r)
	return err
}
