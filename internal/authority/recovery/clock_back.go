package recovery

import (
	"context"
	"fmt"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// wholeFor is the longest time that a clock can have run ahead while every lease that was reclaimed
// too early is still remembered. Leases are remembered a little longer.
const wholeFor = licensing.Remembered - time.Hour

// A ClockSetBack is the result of setting the clock back.
type ClockSetBack struct {
	From     time.Time             `json:"from"` // the time of the record before
	To       time.Time             `json:"to"`
	Epoch    int64                 `json:"epoch"`
	Fenced   bool                  `json:"fenced"`             // new holders must wait until possibly used units are free
	Ahead    int64                 `json:"ahead"`              // leases signed at the wrong time; each is kept until it is renewed, released or ended
	Licenses []licensing.LicenseID `json:"licenses,omitempty"` // licenses whose term began at a wrong time and now begins at the right one
}

// ClockAhead returns the time of the record and the time of the database's clock. Config needs DB.
func ClockAhead(ctx context.Context, c ledger.Config) (mark, wall time.Time, err error) {
	wall, err = c.DB.Wall(ctx)
	return c.DB.Mark(), wall, err
}

// SetClockBack makes the database continue from its clock's current time, after a server adopted a
// clock that ran ahead. No server may run on the database. A new epoch begins, so that documents
// signed from now on do not look older than those signed at the wrong time. Existing documents
// remain valid. A live lease keeps its unit until its holder renews or releases it, or until its
// document ends. Units that were reclaimed too early are taken again until their documents end. If
// such leases are already forgotten, a fence makes new holders wait, as after a restore. The error
// is Conflict if the clock is not behind the record, or if no key could sign at that time. Config
// needs DB, Ring and Dir.
func SetClockBack(ctx context.Context, c ledger.Config, reason string) (ClockSetBack, error) {
	if reason == "" {
		return ClockSetBack{}, licensing.Errorf(licensing.Invalid, "reason is missing: state why the clock is set back; it is recorded in the log").At("reason")
	}
	if c.DB.Mark().IsZero() {
		return ClockSetBack{}, licensing.Errorf(licensing.NotFound, "the database is empty: no server has run on it")
	}
	rec := opened(c)
	defer rec.granting.Close()
	if err := rec.ledger.Start(ctx); err != nil { // assigns positions to waiting rows first
		return ClockSetBack{}, err
	}
	mark, wall, err := ClockAhead(ctx, c)
	if err != nil {
		return ClockSetBack{}, err
	}
	set := ClockSetBack{From: mark, To: wall.UTC(), Epoch: rec.ledger.Epoch.Load() + 1}
	if err := rec.maySetBack(ctx, set); err != nil {
		return ClockSetBack{}, err
	}
	var deployment string
	err = rec.ledger.DB.SetBack(ctx, wall, func(tx *store.Tx) error {
		c := rec.ledger.NewTx(tx, ledger.ClockActor)
		d, _, err := c.Deployment(ctx)
		if err != nil {
			return err
		}
		deployment = d.ID
		if err := setBack(ctx, c, &set, reason, rec.ledger.Skew); err != nil {
			return err
		}
		return c.Close(ctx)
	})
	if err != nil {
		return ClockSetBack{}, err
	}
	rec.ledger.Clock.Begin(set.To)
	rec.ledger.Epoch.Store(set.Epoch)
	if err := rec.ledger.LoadKeys(ctx); err != nil {
		return set, err
	}
	if err := rec.ledger.SequenceWhatCan(ctx); err != nil {
		return set, err
	}
	return set, rec.ledger.Witness.Begin(deployment, set.Epoch, rec.ledger.Heads())
}

// maySetBack returns an error if setting the clock back would have no effect, or would leave no key
// that can sign.
func (r *Recovery) maySetBack(ctx context.Context, set ClockSetBack) error {
	if set.From.Sub(set.To) <= r.ledger.Skew {
		return licensing.Errorf(licensing.Conflict, "the clock shows %s and the record %s: there is nothing to set back", ledger.StampOf(set.To), ledger.StampOf(set.From))
	}
	return r.ledger.View(ctx, func(tx *store.Tx) error {
		d, _, err := tx.Deployment(ctx)
		if err != nil {
			return err
		}
		if set.To.Before(d.CreatedAt) {
			return licensing.Errorf(licensing.Conflict, "the clock shows %s, which is before this deployment was created: set the machine's clock first", ledger.StampOf(set.To))
		}
		for _, env := range r.ledger.Ring.Envs() {
			m, _ := r.ledger.Ring.Material(env)
			if m.Active(set.To) == "" && !m.RootPresent() {
				return licensing.Errorf(licensing.Conflict, "no signing key of %s may sign at %s: import the root first, so that new keys are prepared", env, ledger.StampOf(set.To))
			}
		}
		return nil
	})
}

func setBack(ctx context.Context, tx *ledger.Tx, set *ClockSetBack, reason string, skew time.Duration) error {
	if err := countAllDenials(ctx, tx, set.From); err != nil {
		return err
	}
	first, err := tx.FirstLogAfter(ctx, set.To.Add(skew))
	if err != nil {
		return err
	}
	set.Fenced = !first.IsZero() && set.From.Sub(first) > wholeFor
	if set.Ahead, err = tx.Rewind(ctx, set.From, skew); err != nil {
		return err
	}
	if err := tx.SetEpoch(ctx, set.Epoch); err != nil {
		return err
	}
	if set.Licenses, err = beginAgain(ctx, tx, *set); err != nil {
		return err
	}
	envs, err := tx.KeyEnvs(ctx)
	if err != nil {
		return err
	}
	for _, env := range envs {
		what := fmt.Sprintf("the clock was set back from %s to %s: %s", ledger.StampOf(set.From), ledger.StampOf(set.To), reason)
		if set.Fenced {
			if err := tx.PutFence(ctx, store.Fence{Env: env, Since: tx.Now(), Epoch: set.Epoch, Reason: what, Ending: true}); err != nil {
				return err
			}
		}
		about := licensing.Event{Env: env}
		if err := tx.Note(licensing.ClockSetBack, about, entry.SetBack{From: set.From, To: set.To, Fenced: set.Fenced, Reason: reason}); err != nil {
			return err
		}
		if err := tx.Note(licensing.EpochRaised, about, entry.Epoch{From: set.Epoch - 1, To: set.Epoch, Reason: what}); err != nil {
			return err
		}
	}
	return nil
}

// countAllDenials records the denials up to the mark, including the current minute, because that
// minute will not return for a long time.
func countAllDenials(ctx context.Context, tx *ledger.Tx, mark time.Time) error {
	for {
		rows, err := tx.UncountedDenials(ctx, mark.Add(time.Minute), documents.ForgetPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := documents.RecordCounts(tx, rows); err != nil {
			return err
		}
		if err := tx.CountDenials(ctx, rows); err != nil {
			return err
		}
	}
}

// beginAgain moves terms that began at a wrong time to the same moment by the right clock. A date
// that a person chose does not change.
func beginAgain(ctx context.Context, tx *ledger.Tx, set ClockSetBack) (moved []licensing.LicenseID, err error) {
	keys, err := tx.BegunLicenses(ctx, set.To, set.From)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		l, ok, err := tx.LockLicense(ctx, k.Env, k.ID)
		if err != nil || !ok {
			return nil, err
		}
		rev, err := catalog.RevisionOf(ctx, tx.Tx, l)
		if err != nil {
			return nil, err
		}
		rule := rev.Plan.Term
		if rule.Start == licensing.StartDate {
			continue
		}
		start, end := l.Start.Add(set.To.Sub(set.From)), l.End
		whole := rule.Perpetual || l.End.Equal(rule.Length.After(l.Start)) // otherwise, someone has extended it
		l.Start, l.End, l.Maintenance = time.Time{}, time.Time{}, time.Time{}
		if l = rule.Begin(l, start); !whole {
			if !l.TermEnd.IsZero() {
				l.TermEnd = l.End
			}
			l.End = end
		}
		if l.Issued.After(set.To) {
			l.Issued = set.To
		}
		l.Seq.Epoch, l.Seq.Counter = set.Epoch, l.Seq.Counter+1
		if err := tx.UpdateLicense(ctx, l); err != nil {
			return nil, err
		}
		if err := catalog.NoteLicense(tx, licensing.LicenseStarted, l, entry.Started{Start: l.Start, End: l.End}); err != nil {
			return nil, err
		}
		moved = append(moved, l.ID)
	}
	return moved, nil
}
