package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// A Machine describes the machine that an authority runs on. Its zero value means this machine.
type Machine struct {
	// Boot names this boot of the machine. Two machines have different names, and so do two boots
	// of one machine.
	Boot string
	// Up reads a clock that nobody sets and that only a boot restarts.
	Up func() time.Duration
	// Synchronized reports whether the kernel considers the machine's clock synchronized, for
	// example by NTP.
	Synchronized func() bool
}

// A Clock passes the database's clock to licensing.JudgeClock at the start and at each reading. If
// the database's clock departs from the boot clock, the Clock continues from the earlier time and
// nothing is reclaimed, because holders may see a different time.
//
// The same rule judges the time before a start. Any part of that time that nothing explains counts
// for documents only: the database keeps all units for that much longer.
type Clock struct {
	mu      sync.Mutex
	Machine Machine
	Node    func() time.Time // nil if the database's clock is this machine's clock
	Mark    func() time.Time // the latest time that any server issued
	Skew    time.Duration

	begun        bool                  // the time before this start has been judged
	record       licensing.ClockRecord // the last certain time
	synchronized bool                  // the kernel's last answer
	apart        bool                  // the database and this machine have different clocks
	unsure       bool
	offset       time.Duration // of the database's clock, while it is unsure
	since        time.Duration // when that offset began, on the boot clock
	settled      time.Duration // when reclaiming resumes, on the boot clock
	verdict      licensing.ClockVerdict
}

const (
	clockEvery = time.Second
	// ClockSettle is how long nothing is reclaimed after a running server adopts a clock that was
	// proven right. Within this time, every living holder renews by the new time.
	ClockSettle = 2 * time.Hour
	// clockReadings is how often a start reads two clocks to tell them apart. clockApart is the
	// minimum difference that proves that they are two.
	clockReadings = 8
	clockApart    = time.Millisecond
)

// reading returns all clock readings for the moment when the database's clock shows wall.
func (c *Clock) reading(wall time.Time) licensing.ClockReading {
	r := licensing.ClockReading{Wall: wall, Node: wall, Apart: c.apart, Synchronized: c.synchronized, Boot: c.Machine.Boot, Up: c.Machine.Up()}
	if c.Node != nil {
		r.Node = c.Node()
	}
	return r
}

// Judge implements store.Judge. Until the start has been judged, it returns the time of the record.
func (c *Clock) Judge(wall time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.reading(wall)
	line, _ := c.record.Line(r)
	switch {
	case !c.begun && c.record.At.IsZero():
		return wall
	case !c.begun:
		return line
	}
	if mark := c.Mark(); mark.After(line) { // another server issued a later time
		c.record = licensing.ClockRecord{At: mark, Boot: r.Boot, Up: r.Up}
		line = mark
	}
	offset := wall.Sub(line)
	if !c.unsure || (offset-c.offset).Abs() > c.Skew/2 {
		c.offset, c.since = offset, r.Up
	}
	r.Steady = r.Up - c.since
	v := licensing.JudgeClock(c.record, r, c.Skew)
	c.verdict = v
	if v.Kept > 0 { // only Ledger.moveClock may move there
		c.unsure = true
		return line
	}
	if v.Now.Sub(line) > c.Skew/2 {
		c.settled = r.Up + ClockSettle
	}
	if c.unsure = v.Doubt; !v.Doubt {
		c.record = licensing.ClockRecord{At: v.Now, Boot: r.Boot, Up: r.Up}
	}
	return v.Now
}

// Latest implements store.Judge. It continues the time from the last reading.
func (c *Clock) Latest() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, _ := c.record.Line(licensing.ClockReading{Boot: c.Machine.Boot, Up: c.Machine.Up()})
	return line
}

// Boot implements store.Judge.
func (c *Clock) Boot() (string, time.Duration) { return c.Machine.Boot, c.Machine.Up() }

// Begin makes the clock continue from now.
func (c *Clock) Begin(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun, c.unsure, c.settled, c.verdict = true, false, 0, licensing.ClockVerdict{}
	c.record = licensing.ClockRecord{At: now, Boot: c.Machine.Boot, Up: c.Machine.Up()}
}

// resume gives the clock the record of an earlier server, and nothing else yet.
func (c *Clock) resume(rec licensing.ClockRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record = rec
}

// Ask asks the kernel whether this machine's clock is synchronized.
func (c *Clock) Ask() {
	synchronized := c.Machine.Synchronized()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.synchronized = synchronized
}

// Doubt reports whether reclaiming must wait.
func (c *Clock) Doubt() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsure || c.settled > 0 && c.Machine.Up() < c.settled
}

// state returns whether the clock is in doubt, and its offset.
func (c *Clock) state() (unsure bool, offset time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.unsure {
		return false, 0
	}
	return true, c.offset
}

// judged returns the last verdict.
func (c *Clock) judged() licensing.ClockVerdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verdict
}

// BeginClock judges the time since an earlier server last stored it, before anything else takes a
// time. If nothing explains that time, the server continues by the clock and keeps all units in use
// for longer. If another server is running, it continues with that server's time instead.
func (l *Ledger) BeginClock(ctx context.Context) error {
	for {
		rec, v, line, err := l.JudgeStart(ctx)
		if err != nil {
			return err
		}
		if v.Kept == 0 || !l.DB.Closed().IsZero() { // a closed database frees no units
			l.Clock.Begin(v.Now)
			return nil
		}
		followed, err := l.followClock(ctx, rec)
		if err != nil || followed {
			return err
		}
		if err := l.moveClock(ctx, line, v); !errors.Is(err, store.ErrClockMoved) {
			return err
		}
	}
}

// ReadClock judges the clock like BeginClock but changes nothing. If part of the time has no
// explanation, it counts only the explained part.
func (l *Ledger) ReadClock(ctx context.Context) error {
	_, v, line, err := l.JudgeStart(ctx)
	if err != nil {
		return err
	}
	now := v.Now
	if v.Kept > 0 {
		now = line
	}
	l.Clock.Begin(now)
	return nil
}

// JudgeStart judges the current clock readings against the record.
func (l *Ledger) JudgeStart(ctx context.Context) (rec licensing.ClockRecord, v licensing.ClockVerdict, line time.Time, err error) {
	if rec, err = l.DB.ClockRecord(ctx); err != nil {
		return rec, v, line, err
	}
	l.Clock.resume(rec)
	c := l.Clock
	c.Ask()
	for range clockReadings {
		wall, err := l.CompareClocks(ctx)
		if err != nil {
			return rec, v, line, err
		}
		c.mu.Lock()
		r := c.reading(wall)
		c.mu.Unlock()
		line, _ = rec.Line(r)
		if v = licensing.JudgeClock(rec, r, l.Skew); v.Kept == 0 || c.Node == nil || r.Apart {
			break
		}
	}
	return rec, v, line, nil
}

// CompareClocks reads the database's clock. If its time is not between a reading of this machine's
// clock before and one after, they are two clocks.
func (l *Ledger) CompareClocks(ctx context.Context) (time.Time, error) {
	before := l.Now()
	wall, err := l.DB.Wall(ctx)
	after := l.Now()
	if err != nil || l.Clock.Node == nil {
		return wall, err
	}
	if wall.Before(before.Add(-clockApart)) || wall.After(after.Add(clockApart)) {
		l.Clock.mu.Lock()
		l.Clock.apart = true
		l.Clock.mu.Unlock()
	}
	return wall, nil
}

// followClock checks whether another server is storing the time. If so, it continues with that
// server's time.
func (l *Ledger) followClock(ctx context.Context, rec licensing.ClockRecord) (followed bool, err error) {
	if !l.DB.Shared() {
		return false, nil
	}
	const looks = 20
	tick := time.NewTicker(store.Watched / looks)
	defer tick.Stop()
	for range looks {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-tick.C:
		}
		now, err := l.DB.ClockRecord(ctx)
		if err != nil {
			return false, err
		}
		if now != rec {
			l.Clock.Begin(now.At)
			return true, nil
		}
	}
	return false, nil
}

// moveClock continues at the time of v. Units in use at line are kept longer by the time that
// nothing explains.
func (l *Ledger) moveClock(ctx context.Context, line time.Time, v licensing.ClockVerdict) error {
	var tx *Tx
	err := l.DB.MoveClock(ctx, line, v.Now, ClockSettle, l.Changing(ctx, "", SystemActor, &tx, func(tx *Tx) error {
		return tx.NoteClock(ctx, licensing.ViolationClock, entry.Clock{Doubt: true, Offset: v.Kept.Seconds(), Kept: v.Kept.Seconds()})
	}))
	l.Changed(tx, err)
	if err != nil {
		return err
	}
	l.Clock.Begin(v.Now)
	l.warnClock(ctx, "the elapsed time cannot be explained: units in use are kept for longer", true, v.Kept)
	return nil
}

// explainClock undoes the extension that moveClock began, once the time is proven right.
func (l *Ledger) explainClock(ctx context.Context, k store.Kept) error {
	var tx *Tx
	done, err := l.DB.ExplainClock(ctx, k, l.Changing(ctx, "", SystemActor, &tx, func(tx *Tx) error {
		return tx.NoteClock(ctx, licensing.ViolationClock, entry.Clock{Kept: k.By.Seconds()})
	}))
	l.Changed(tx, err)
	if err != nil || !done {
		return err
	}
	l.warnClock(ctx, "the clock has been proven right: leases end at their original times", false, k.By)
	return l.LoadFences(ctx)
}

// runClock reads the clock even when there are no requests. It logs when the clock departs from the
// boot clock and when they agree again.
func (l *Ledger) runClock(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	was := false
	for {
		select {
		case <-ctx.Done():
			// The next start then knows exactly when this server ended.
			l.Task("clock", l.DB.StoreClock(context.WithoutCancel(ctx)))
			return
		case <-tick.C:
		}
		err := l.LookAtClock(ctx)
		if ctx.Err() != nil {
			continue
		}
		unsure, offset := l.Clock.state()
		if err == nil && unsure != was {
			if err = l.noteDoubt(ctx, unsure, offset); err == nil {
				was = unsure
			}
		}
		l.Task("clock", err)
	}
}

// LookAtClock reads the clock and acts on the verdict.
func (l *Ledger) LookAtClock(ctx context.Context) error {
	l.Clock.Ask()
	if err := l.DB.ReadClock(ctx); err != nil {
		return err
	}
	v := l.Clock.judged()
	if v.Kept > 0 {
		if l.DB.Shared() {
			return nil // other servers still use the time that this one would leave
		}
		return l.moveClock(ctx, v.Now.Add(-v.Kept), v)
	}
	written := l.DB.Written()
	if l.keepsNone.Load() == written+1 { // nothing was written since
		return nil
	}
	var kept store.Kept
	err := l.View(ctx, func(tx *store.Tx) (err error) {
		kept, err = tx.Kept(ctx)
		return err
	})
	if err == nil && kept.By == 0 && !l.DB.Shared() {
		l.keepsNone.Store(written + 1)
	}
	if err != nil || kept.By == 0 || v.Doubt {
		return err
	}
	if v.Proven {
		return l.explainClock(ctx, kept)
	}
	_, err = l.CompareClocks(ctx) // two clocks would prove the time at the next reading
	return err
}

func (l *Ledger) noteDoubt(ctx context.Context, unsure bool, offset time.Duration) error {
	l.warnClock(ctx, "the database's clock and the boot clock disagree", unsure, offset)
	return l.Update(ctx, "", SystemActor, func(tx *Tx) error {
		return tx.NoteClock(ctx, licensing.ViolationClock, entry.Clock{Doubt: unsure, Offset: offset.Seconds()})
	})
}

func (l *Ledger) warnClock(ctx context.Context, what string, doubt bool, offset time.Duration) {
	if l.Log != nil {
		l.Log.Log(ctx, slog.LevelWarn, what, "doubt", doubt, "offset", offset)
	}
}

// NoteClock records a clock event in every environment.
func (tx *Tx) NoteClock(ctx context.Context, kind string, e any) error {
	envs, err := tx.KeyEnvs(ctx)
	if err != nil {
		return err
	}
	for _, env := range envs {
		if err := tx.Note(kind, licensing.Event{Env: env}, e); err != nil {
			return err
		}
	}
	return nil
}

// StampOf formats t for people: RFC 3339 in UTC, in seconds.
func StampOf(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ClockStatus returns the state of the clock.
func (l *Ledger) ClockStatus(ctx context.Context, tx *store.Tx) (s v1.ClockStatus, err error) {
	kept, err := tx.Kept(ctx)
	if err != nil {
		return s, err
	}
	unsure, offset := l.Clock.state()
	s = v1.ClockStatus{InDoubt: l.Clock.Doubt(), Offset: int64(offset / time.Second), Kept: int64(kept.By / time.Second), KeptUntil: kept.Until}
	off := offset.Abs().Round(time.Second)
	switch {
	case unsure && offset > 0:
		s.Reason = fmt.Sprintf("the database's clock is %v ahead of the boot clock: leases are renewed, but nothing is reclaimed until the clocks agree; correct the clock, or if it is right, stop the servers and run copyhold clock accept", off)
	case unsure:
		s.Reason = fmt.Sprintf("the database's clock is %v behind the recorded time: leases are renewed, but nothing is reclaimed until they agree; correct the clock, or if it is right, stop the servers and run copyhold clock set-back", off)
	case s.InDoubt:
		s.Reason = "the server has just adopted a corrected clock: nothing is reclaimed until every holder has had time to renew"
	case kept.By > 0:
		s.Reason = fmt.Sprintf("%v of the time before the start at %s cannot be proven: units in use at that time are kept for that much longer, the last until %s; synchronize the clock to prove the time",
			kept.By.Round(time.Second), StampOf(kept.From.Add(-kept.By)), StampOf(kept.Until))
	}
	return s, nil
}

// ClockActor is the actor when an operator sets the clock back.
const ClockActor = "system:clock"
