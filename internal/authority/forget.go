package authority

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

const (
	forgetEvery = time.Minute
	// denialsKnown is how long denials can be explained.
	denialsKnown = 30 * 24 * time.Hour
)

// forgetPage is how many rows are forgotten or counted at a time.
const forgetPage = 500

// runForget deletes what nobody can ask for any more, and enters in the log
// how many denials followed the first of each minute.
func (a *Authority) runForget(ctx context.Context) {
	a.every(ctx, forgetEvery, "forget", func(ctx context.Context) error {
		if err := a.storeRepeats(ctx); err != nil {
			return err
		}
		if err := a.countDenials(ctx); err != nil {
			return err
		}
		return a.forget(ctx)
	})
	a.task("forget", a.storeRepeats(context.WithoutCancel(ctx))) // what was counted since is not lost
}

// forget deletes a page at a time, so that requests find their turn between.
func (a *Authority) forget(ctx context.Context) error {
	for _, page := range []func(*store.Tx) (int64, error){
		func(tx *store.Tx) (int64, error) {
			n, err := tx.ForgetTickets(ctx, tx.Now().Add(-licensing.Remembered), forgetPage)
			return int64(n), err
		},
		func(tx *store.Tx) (int64, error) {
			return tx.ForgetEvents(ctx, tx.Now().Add(-licensing.UsageKnown), forgetPage)
		},
		func(tx *store.Tx) (int64, error) {
			return tx.ForgetDenials(ctx, tx.Now().Add(-denialsKnown), forgetPage)
		},
		func(tx *store.Tx) (int64, error) {
			return tx.ForgetRefusals(ctx, tx.Now().Add(-denialsKnown), forgetPage)
		},
		func(tx *store.Tx) (int64, error) {
			return tx.ForgetSessions(ctx, tx.Now().Add(-licensing.SessionGap), forgetPage)
		},
		func(tx *store.Tx) (int64, error) { return tx.ForgetRecalls(ctx, forgetPage) },
		func(tx *store.Tx) (int64, error) { return tx.ForgetTrials(ctx, tx.Now(), forgetPage) },
	} {
		for {
			var n int64
			err := a.db.Update(ctx, func(tx *store.Tx) (err error) {
				n, err = page(tx)
				return err
			})
			if err != nil {
				return err
			}
			if n < forgetPage {
				break
			}
		}
	}
	return nil
}

type countEvent struct {
	Code   string `json:"code"`
	Minute int64  `json:"minute"` // unix seconds
	Times  int64  `json:"times"`  // after the first of each holder
}

// countDenials enters one event for each pool, code and minute that is over. What
// is entered is noted with the denial in the same transaction, so a restart
// loses none and two servers enter none twice.
func (a *Authority) countDenials(ctx context.Context) error {
	for {
		n := 0
		err := a.update(ctx, "", systemActor, func(c *change) error {
			rows, err := c.UncountedDenials(ctx, c.Now().Truncate(time.Minute), forgetPage)
			if err != nil {
				return err
			}
			if n = len(rows); n == 0 {
				return nil
			}
			if err := c.recordCounts(rows); err != nil {
				return err
			}
			return c.CountDenials(ctx, rows)
		})
		if err != nil || n < forgetPage {
			return err
		}
	}
}

func (c *change) recordCounts(rows []store.Denial) error {
	type key struct {
		store.PoolKey
		code   string
		minute int64
	}
	var order []key
	times := map[key]int64{}
	for _, d := range rows {
		k := key{d.PoolKey, d.Code, d.Minute.Unix()}
		if times[k] == 0 {
			order = append(order, k)
		}
		times[k] += d.Times
	}
	for _, k := range order {
		e, err := licensing.NewEvent(licensing.DenialsCounted, k.Env, c.Now(), systemActor, countEvent{k.code, k.minute, times[k]})
		if err != nil {
			return err
		}
		e.License, e.Pool = k.License, k.Name
		if _, err := c.Record(e); err != nil {
			return err
		}
	}
	return nil
}
