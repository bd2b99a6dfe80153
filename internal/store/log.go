package store

import (
	"context"

	"copyhold.dev/internal/licensing"
)

// PutLogRow stores the entries of one transaction in one environment.
func (tx *Tx) PutLogRow(ctx context.Context, env licensing.Env, id string, body, leaves []byte) error {
	_, err := tx.exec(ctx, `INSERT INTO log_row (env, id, body, leaves) VALUES ($1, $2, $3, $4)`, env, id, body, leaves)
	return err
}
