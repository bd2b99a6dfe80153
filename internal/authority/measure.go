package authority

import (
	"context"
	"time"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/store"
)

const (
	// measureEvery is how often the gauges of the metrics are updated.
	measureEvery = 15 * time.Second
	// measuredPools limits how many pools the metrics show.
	measuredPools = 1000
)

// runMeasure updates the gauges of the metrics until ctx ends.
func (a *Authority) runMeasure(ctx context.Context) {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		err := a.Measure(ctx)
		if ctx.Err() != nil {
			return
		}
		a.ledger.Task("measure", err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Measure updates the gauges of the metrics: units in use, upcoming expiries and the lag of the
// log. This happens every 15 seconds; call Measure to update them immediately.
func (a *Authority) Measure(ctx context.Context) error {
	if err := a.ledger.DB.Count(ctx); err != nil || a.ledger.Metrics == nil {
		return err
	}
	var state metrics.State
	err := a.ledger.View(ctx, func(tx *store.Tx) error {
		state = metrics.State{}
		sums, err := tx.PoolSums(ctx, measuredPools)
		if err != nil {
			return err
		}
		for _, s := range sums {
			state.Pools = append(state.Pools, metrics.Pool{
				Environment: string(s.Env), Product: string(s.Product), Pool: s.Pool, Held: s.Held, Capacity: s.Capacity})
		}
		clock, err := a.ledger.ClockStatus(ctx, tx)
		if err != nil {
			return err
		}
		state.Clock = metrics.Clock{InDoubt: clock.InDoubt, Offset: clock.Offset, Kept: clock.Kept}
		for _, env := range a.ledger.Ring.Envs() {
			if err := a.measureEnv(ctx, tx, env, &state); err != nil {
				return err
			}
		}
		quarantines, err := tx.Quarantines(ctx, ledger.ShownQuarantines)
		for _, q := range quarantines {
			state.Quarantines = append(state.Quarantines, metrics.Quarantine{Environment: string(q.Env), Cause: string(q.Cause), Rows: q.Rows})
		}
		return err
	})
	if err == nil {
		a.ledger.Metrics.SetState(state)
	}
	return err
}

// measureEnv adds the expiries, the runway and the log lag of one environment.
func (a *Authority) measureEnv(ctx context.Context, tx *store.Tx, env licensing.Env, state *metrics.State) error {
	terms, err := termDeadlines(ctx, tx, env, store.LicenseFilter{})
	if err != nil {
		return err
	}
	deadlines := append(a.keyDeadlines(env), terms...)
	first := map[licensing.RunwayCause]time.Time{}
	for _, d := range deadlines {
		if at, seen := first[d.Cause]; !d.At.IsZero() && (!seen || d.At.Before(at)) {
			first[d.Cause] = d.At
		}
	}
	for cause, at := range first {
		state.Expiries = append(state.Expiries, metrics.Expiry{Environment: string(env), Kind: string(cause), At: at})
	}
	if r := licensing.FirstDenial(tx.Now(), deadlines); !r.Never {
		state.Runways = append(state.Runways, metrics.Runway{Environment: string(env), Cause: string(r.Cause), At: r.At})
	}
	lag := metrics.Lag{Environment: string(env)}
	if lag.Rows, err = tx.PendingCount(ctx, env); err != nil {
		return err
	}
	if lag.Since, err = tx.OldestPending(ctx, env); err != nil {
		return err
	}
	state.Lags = append(state.Lags, lag)
	return nil
}
