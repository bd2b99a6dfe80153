package authority

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// Closed returns nil while the database is open. After a final backup has closed the database, it
// returns Unavailable, and the server decides and signs nothing more.
func (a *Authority) Closed() error {
	if a.ledger.DB.Closed().IsZero() {
		return nil
	}
	return store.ClosedError()
}

// readyTimeout is how long the database may take to answer.
const readyTimeout = 2 * time.Second

// Ready returns nil if the authority can decide now, and otherwise the reason. It also returns
// warnings for an operator. A problem of only some licenses or environments is no reason; the
// runway shows it.
func (a *Authority) Ready(ctx context.Context) (warnings []string, err error) {
	if err := a.ledger.DB.FatalErr(); err != nil {
		return nil, licensing.Errorf(licensing.Unavailable, "the storage failed; the server is shutting down")
	}
	if err := a.Closed(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	now := a.ledger.Now()
	var clock v1.ClockStatus
	err = a.ledger.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now()
		clock, err = a.ledger.ClockStatus(ctx, tx)
		return err
	})
	if err != nil {
		return nil, licensing.Errorf(licensing.Unavailable, "the database does not answer")
	}
	if !clock.IsZero() {
		warnings = append(warnings, clock.Reason)
	}
	for _, env := range a.ledger.Ring.Envs() {
		if a.ledger.Ring.Active(env, now) != "" {
			return warnings, nil
		}
	}
	return warnings, licensing.Errorf(licensing.Unavailable, "no environment has a current signing key: rotate the keys, or sign new ones with the root")
}
