package catalog

import (
	"context"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// Revoke adds r to env's list. If the subject is already revoked, the list does not change.
func Revoke(ctx context.Context, tx *ledger.Tx, env licensing.Env, r store.Revocation) error {
	// Numbers have no gaps, so only one transaction at a time may assign them.
	if err := tx.LockEnvironment(ctx, env); err != nil {
		return err
	}
	_, err := tx.InsertRevocation(ctx, env, r)
	return err
}
