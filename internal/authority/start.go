package authority

import (
	"context"
)

// Start makes the authority ready. Call it once, before any other method.
func (a *Authority) Start(ctx context.Context) error {
	if err := a.ledger.Start(ctx); err != nil || !a.ledger.DB.Closed().IsZero() {
		return err
	}
	return a.KeepQueues(ctx)
}
