package granting

import (
	"context"
	"time"

	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

const (
	forgetEvery = time.Minute
	// DenialsKnown is how long denials can be explained.
	DenialsKnown = 30 * 24 * time.Hour
)

// runForget deletes records that are no longer needed, and logs how many denials followed the first
// of each minute.
func (g *Granting) runForget(ctx context.Context) {
	g.ledger.Every(ctx, forgetEvery, "forget", func(ctx context.Context) error {
		if err := g.documents.StoreRepeats(ctx); err != nil {
			return err
		}
		if err := g.documents.CountDenials(ctx); err != nil {
			return err
		}
		return g.Forget(ctx)
	})
	g.ledger.Task("forget", g.documents.StoreRepeats(context.WithoutCancel(ctx))) // do not lose later counts
}

// Forget deletes one page at a time, so that requests can run in between.
func (g *Granting) Forget(ctx context.Context) error {
	var some bool
	err := g.ledger.View(ctx, func(tx *store.Tx) (err error) {
		now := tx.Now()
		some, err = tx.Forgettable(ctx, now.Add(-licensing.Remembered), now.Add(-licensing.SessionGap), now.Add(-licensing.UsageKnown), now.Add(-DenialsKnown))
		return err
	})
	if err != nil || !some {
		return err
	}
	for _, page := range []func(*store.Tx) (int64, error){
		func(tx *store.Tx) (int64, error) {
			n, err := tx.ForgetTickets(ctx, tx.Now().Add(-licensing.Remembered), documents.ForgetPage)
			return int64(n), err
		},
		func(tx *store.Tx) (int64, error) {
			return tx.ForgetEvents(ctx, tx.Now().Add(-licensing.UsageKnown), documents.ForgetPage)
		},
		func(tx *store.Tx) (int64, error) {
			return tx.ForgetDenials(ctx, tx.Now().Add(-DenialsKnown), documents.ForgetPage)
		},
		func(tx *store.Tx) (int64, error) {
			return tx.ForgetRefusals(ctx, tx.Now().Add(-DenialsKnown), documents.ForgetPage)
		},
		func(tx *store.Tx) (int64, error) {
			return tx.ForgetSessions(ctx, tx.Now().Add(-licensing.SessionGap), documents.ForgetPage)
		},
		func(tx *store.Tx) (int64, error) { return tx.ForgetRecalls(ctx, documents.ForgetPage) },
		func(tx *store.Tx) (int64, error) { return tx.ForgetTrials(ctx, tx.Now(), documents.ForgetPage) },
	} {
		for {
			var n int64
			err := g.ledger.DB.Update(ctx, func(tx *store.Tx) (err error) {
				n, err = page(tx)
				return err
			})
			if err != nil {
				return err
			}
			if n < documents.ForgetPage {
				break
			}
		}
	}
	return nil
}
