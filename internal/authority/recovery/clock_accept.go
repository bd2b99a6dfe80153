package recovery

import (
	"context"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
)

// A ClockAccepted is the result of accepting the clock.
type ClockAccepted struct {
	From time.Time     `json:"from"` // the time that the record and the boot clock prove
	To   time.Time     `json:"to"`   // the clock's time
	Kept time.Duration `json:"-"`    // how much longer units in use are kept
}

// AcceptClock makes the database continue from its clock's current time because an operator
// confirms it. It is needed after a stop that is too long for a clock that nothing proves. Every
// end that frees units is delayed by the unexplained time, as after a shorter stop, so that nothing
// is granted twice even if the clock is wrong. No server may run on the database. The error is
// Conflict if the clock is already accepted, is behind the record, or differs from this machine's
// clock. Config needs DB, Ring and Dir.
func AcceptClock(ctx context.Context, c ledger.Config, reason string) (ClockAccepted, error) {
	if reason == "" {
		return ClockAccepted{}, licensing.Errorf(licensing.Invalid, "reason is missing: state why the clock is accepted; it is recorded in the log").At("reason")
	}
	if c.DB.Mark().IsZero() {
		return ClockAccepted{}, licensing.Errorf(licensing.NotFound, "the database is empty: no server has run on it")
	}
	rec := opened(c)
	defer rec.granting.Close()
	if err := rec.ledger.Start(ctx); err != nil {
		return ClockAccepted{}, err
	}
	_, v, line, err := rec.ledger.JudgeStart(ctx)
	if err != nil {
		return ClockAccepted{}, err
	}
	wall, err := rec.ledger.CompareClocks(ctx)
	if err != nil {
		return ClockAccepted{}, err
	}
	done := ClockAccepted{From: line.UTC(), To: wall.UTC(), Kept: wall.Sub(line)}
	switch {
	case !v.Doubt:
		return done, licensing.Errorf(licensing.Conflict, "the clock shows %s and is already accepted: there is nothing to accept", ledger.StampOf(wall))
	case wall.Before(line):
		return done, licensing.Errorf(licensing.Conflict, "the clock shows %s, which is before the record at %s: correct the clock, or use copyhold clock set-back", ledger.StampOf(wall), ledger.StampOf(line))
	case rec.ledger.Now().Sub(wall).Abs() > rec.ledger.Skew:
		return done, licensing.Errorf(licensing.Conflict, "the database's clock shows %s and this machine's clock %s: correct the wrong one first", ledger.StampOf(wall), ledger.StampOf(rec.ledger.Now()))
	}
	var moved *ledger.Tx
	err = rec.ledger.DB.MoveClock(ctx, line, wall, ledger.ClockSettle, rec.ledger.Changing(ctx, "", ledger.ClockActor, &moved, func(tx *ledger.Tx) error {
		return tx.NoteClock(ctx, licensing.ClockAccepted, entry.Accept{From: done.From, To: done.To, Reason: reason})
	}))
	rec.ledger.Changed(moved, err)
	if err != nil {
		return done, err
	}
	rec.ledger.Clock.Begin(wall)
	return done, rec.ledger.SequenceWhatCan(ctx)
}
