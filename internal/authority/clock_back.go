package authority

import (
	"context"
	"fmt"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// clockActor is who acts when an operator sets the clock back.
const clockActor = "system:clock"

// wholeFor is how long a clock can have run ahead so that every lease which it
// had reclaimed too early is still known: leases are remembered a little longer.
const wholeFor = licensing.Remembered - time.Hour

// A ClockSetBack is what setting the clock back came to.
type ClockSetBack struct {
	From     time.Time             `json:"from"` // the record's time before
	To       time.Time             `json:"to"`
	Epoch    int64                 `json:"epoch"`
	Fenced   bool                  `json:"fenced"`             // newcomers wait until what may be in use has ended
	Ahead    int64                 `json:"ahead"`              // leases signed with the wrong time: held until renewed, released or ended
	Licenses []licensing.LicenseID `json:"licenses,omitempty"` // whose term began by the wrong time, and begins at the right one now
}

// ClockAhead returns the database's time and what the clock says. Config needs DB.
func ClockAhead(ctx context.Context, c Config) (mark, wall time.Time, err error) {
	wall, err = c.DB.Wall(ctx)
	return c.DB.Mark(), wall, err
}

// SetClockBack has the database go on from what its clock says now, after a
// server adopted a clock that ran ahead. No server may run on it. A new epoch
// begins, so that nothing which is signed from now on is taken for older than
// what was signed with the wrong time. What was signed stays as good as it was:
// a live lease keeps its unit until its holder renews or releases it or its
// document ends, and units reclaimed by a time that had not come are held again
// until their documents end. Where such leases are forgotten already, a fence
// lets newcomers wait as after a restore. Conflict if the clock is not behind
// the record, or if no key could sign at that time. Config needs DB, Ring and Dir.
func SetClockBack(ctx context.Context, c Config, reason string) (ClockSetBack, error) {
	if reason == "" {
		return ClockSetBack{}, licensing.Errorf(licensing.Invalid, "say why the clock is set back: it is recorded").At("reason")
	}
	if c.DB.Mark().IsZero() {
		return ClockSetBack{}, licensing.Errorf(licensing.NotFound, "no server has run on this database")
	}
	a := opened(c)
	defer a.Close()
	if err := a.startLedger(ctx); err != nil { // whatever waits has its place in the log before
		return ClockSetBack{}, err
	}
	mark, wall, err := ClockAhead(ctx, c)
	if err != nil {
		return ClockSetBack{}, err
	}
	set := ClockSetBack{From: mark, To: wall.UTC(), Epoch: a.epoch.Load() + 1}
	if err := a.maySetBack(ctx, set); err != nil {
		return ClockSetBack{}, err
	}
	var deployment string
	err = a.db.SetBack(ctx, wall, func(tx *store.Tx) error {
		c := &change{Tx: tx, ring: a.ring, actor: clockActor}
		d, _, err := c.Deployment(ctx)
		if err != nil {
			return err
		}
		deployment = d.ID
		if err := c.setBack(ctx, &set, reason, a.skew); err != nil {
			return err
		}
		return c.close(ctx)
	})
	if err != nil {
		return ClockSetBack{}, err
	}
	a.clock.begin(set.To)
	a.epoch.Store(set.Epoch)
	if err := a.loadKeys(ctx); err != nil {
		return set, err
	}
	if err := a.sequenceWhatCan(ctx); err != nil {
		return set, err
	}
	return set, a.witness.begin(deployment, set.Epoch, a.heads())
}

// maySetBack refuses what would not help or leave nothing that can sign.
func (a *Authority) maySetBack(ctx context.Context, set ClockSetBack) error {
	if set.From.Sub(set.To) <= a.skew {
		return licensing.Errorf(licensing.Conflict, "the clock says %s and the record %s: there is nothing to set back", stampOf(set.To), stampOf(set.From))
	}
	return a.view(ctx, func(tx *store.Tx) error {
		d, _, err := tx.Deployment(ctx)
		if err != nil {
			return err
		}
		if set.To.Before(d.CreatedAt) {
			return licensing.Errorf(licensing.Conflict, "the clock says %s, before this deployment was made: set the machine's clock first", stampOf(set.To))
		}
		for _, env := range a.ring.Envs() {
			m, _ := a.ring.Material(env)
			if m.Active(set.To) == "" && !m.RootPresent() {
				return licensing.Errorf(licensing.Conflict, "no signing key of %s may sign at %s: import the root first, it prepares others", env, stampOf(set.To))
			}
		}
		return nil
	})
}

func (c *change) setBack(ctx context.Context, set *ClockSetBack, reason string, skew time.Duration) error {
	if err := c.countAllDenials(ctx, set.From); err != nil {
		return err
	}
	first, err := c.FirstLogAfter(ctx, set.To.Add(skew))
	if err != nil {
		return err
	}
	set.Fenced = !first.IsZero() && set.From.Sub(first) > wholeFor
	if set.Ahead, err = c.Rewind(ctx, set.From, skew); err != nil {
		return err
	}
	if err := c.SetEpoch(ctx, set.Epoch); err != nil {
		return err
	}
	if set.Licenses, err = c.beginAgain(ctx, *set); err != nil {
		return err
	}
	envs, err := c.KeyEnvs(ctx)
	if err != nil {
		return err
	}
	for _, env := range envs {
		what := fmt.Sprintf("the clock was set back from %s to %s: %s", stampOf(set.From), stampOf(set.To), reason)
		if set.Fenced {
			if err := c.PutFence(ctx, store.Fence{Env: env, Since: c.Now(), Epoch: set.Epoch, Reason: what, Ending: true}); err != nil {
				return err
			}
		}
		about := licensing.Event{Env: env}
		if err := c.note(licensing.ClockSetBack, about, setBackEvent{set.From, set.To, set.Fenced, reason}); err != nil {
			return err
		}
		if err := c.note(licensing.EpochRaised, about, epochEvent{set.Epoch - 1, set.Epoch, what}); err != nil {
			return err
		}
	}
	return nil
}

type setBackEvent struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Fenced bool      `json:"fenced"`
	Reason string    `json:"reason"`
}

// countAllDenials enters what was denied until the mark, also in a minute that
// is not over: it will not come again for long.
func (c *change) countAllDenials(ctx context.Context, mark time.Time) error {
	for {
		rows, err := c.UncountedDenials(ctx, mark.Add(time.Minute), forgetPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := c.recordCounts(rows); err != nil {
			return err
		}
		if err := c.CountDenials(ctx, rows); err != nil {
			return err
		}
	}
}

// beginAgain moves terms that began by the wrong time to the same moment by the
// right one. A date that somebody chose stays.
func (c *change) beginAgain(ctx context.Context, set ClockSetBack) (moved []licensing.LicenseID, err error) {
	keys, err := c.BegunLicenses(ctx, set.To, set.From)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		l, ok, err := c.LockLicense(ctx, k.Env, k.ID)
		if err != nil || !ok {
			return nil, err
		}
		rev, err := revisionOf(ctx, c.Tx, l)
		if err != nil {
			return nil, err
		}
		rule := rev.Plan.Term
		if rule.Start == licensing.StartDate {
			continue
		}
		start, end := l.Start.Add(set.To.Sub(set.From)), l.End
		whole := rule.Perpetual || l.End.Equal(rule.Length.After(l.Start)) // else somebody extended it
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
		if err := c.UpdateLicense(ctx, l); err != nil {
			return nil, err
		}
		if err := c.noteLicense(licensing.LicenseStarted, l, startedEvent{l.Start, l.End}); err != nil {
			return nil, err
		}
		moved = append(moved, l.ID)
	}
	return moved, nil
}
