// Package ledger keeps the record: it runs the transactions that change licensing state,
// stores each change together with its entry in the log, gives the entries their places in
// a Merkle tree, and judges the clock and the fences that every decision goes by. The rooms
// above it change state through Update and learn of changes through OnCommit.
package ledger

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A Config is what an Authority works with.
type Config struct {
	DB   *store.DB
	Ring *signing.Ring // empty; Start fills it
	// Dir is the data folder. What was said to the outside is witnessed there, so
	// that an older database is noticed; empty keeps no witness.
	Dir     string
	Log     *slog.Logger
	Metrics *metrics.Metrics // may be nil
	// Now reads the process's clock; nil is time.Now. Decisions take their time
	// from the database, see store.Tx.Now.
	Now func() time.Time
	// Machine is where the authority runs; its clocks are what the database's clock
	// is compared with. The zero value is this machine.
	Machine Machine
	// Skew is how far the clocks of server and programs may differ: a unit is
	// reclaimed only this long after its lease ends. 0 is licensing.Skew.
	Skew time.Duration
}

// A Ledger is the record of one database. It is safe for concurrent use.
type Ledger struct {
	DB      *store.DB
	Ring    *signing.Ring
	Log     *slog.Logger // may be nil
	Metrics *metrics.Metrics
	Now     func() time.Time // the process's clock
	Skew    time.Duration
	Epoch   atomic.Int64 // of the database
	Clock   *Clock
	Witness Witness
	Fences  atomic.Pointer[map[licensing.Env]Fence]

	troubles    troubles
	subscribers []func([]Committed)
	rowsMade    atomic.Uint32
	sequencing  sync.Mutex
	sequencer   sequencer
	published   atomic.Pointer[map[licensing.Env]*license.Head]
	loading     sync.Mutex // held while keys are loaded into the ring
}

// New returns the ledger of a database. Start makes it ready.
func New(c Config) *Ledger {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Machine.Up == nil {
		c.Machine = ThisMachine()
	}
	l := &Ledger{DB: c.DB, Ring: c.Ring, Log: c.Log, Metrics: c.Metrics, Now: c.Now, Skew: cmp.Or(c.Skew, licensing.Skew.Duration()), Witness: Witness{Dir: c.Dir}}
	l.sequencer = sequencer{l, map[licensing.Env]audit.Tree{}}
	l.published.Store(&map[licensing.Env]*license.Head{})
	l.Fences.Store(&map[licensing.Env]Fence{})
	l.Clock = &Clock{Machine: c.Machine, Mark: c.DB.Mark, Skew: l.Skew, record: licensing.ClockRecord{At: c.DB.Mark()}}
	if c.DB.Shared() {
		l.Clock.Node = c.Now
	}
	c.DB.Judge = l.Clock
	return l
}

// A Task runs in the background until its context ends.
type Task struct {
	Name string
	Run  func(context.Context)
}

// Tasks returns what the ledger does in the background.
func (l *Ledger) Tasks() []Task {
	return []Task{{"sequencer", l.RunSequencer}, {"clock", l.runClock}}
}

// Every runs a background task again and again until ctx ends, and notes how it went.
func (l *Ledger) Every(ctx context.Context, period time.Duration, name string, do func(context.Context) error) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := do(ctx)
		if ctx.Err() != nil {
			return // what the end of ctx interrupted has not failed
		}
		l.Task(name, err)
	}
}
