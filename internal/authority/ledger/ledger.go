// Package ledger keeps the record. It runs the transactions that change licensing state, stores
// each change together with its log entry, gives entries their places in a Merkle tree, and judges
// the clock and the fences that every decision depends on. The rooms above it change state through
// Update and learn about changes through OnCommit.
package ledger

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A Config holds the dependencies and settings of an Authority.
type Config struct {
	DB   *store.DB
	Ring *signing.Ring // empty; Start fills it
	// Dir is the data folder. The witness file in it records what was published, so that an older
	// database is detected. If Dir is empty, no witness is kept.
	Dir     string
	Log     *slog.Logger
	Metrics *metrics.Metrics // may be nil
	// Now reads the clock of the process; nil means time.Now. Decisions take their time from the
	// database (see store.Tx.Now).
	Now func() time.Time
	// Machine is the machine that the authority runs on. The database's clock is compared with its
	// clocks. The zero value means this machine.
	Machine Machine
	// Skew is the tolerated clock difference between servers and programs. A unit is reclaimed only
	// this long after its lease ends. 0 means licensing.Skew.
	Skew time.Duration
	// Cache is the memory for caches; 0 is cache.DefaultBudget.
	Cache cache.Budget
}

// A Ledger is the record of one database. It is safe for concurrent use.
type Ledger struct {
	DB      *store.DB
	Ring    *signing.Ring
	Log     *slog.Logger // may be nil
	Metrics *metrics.Metrics
	Now     func() time.Time // the clock of the process
	Skew    time.Duration
	Cache   cache.Budget
	Epoch   atomic.Int64 // of the database
	Clock   *Clock
	Witness Witness
	Fences  atomic.Pointer[map[licensing.Env]Fence]

	troubles    troubles
	subscribers []func([]Committed)
	rowsMade    atomic.Uint32
	packsFrom   atomic.Int64 // microseconds since 1970; 0 if rows are not packed
	sequencing  sync.Mutex
	sequencer   sequencer
	indexing    sync.Mutex
	indexed     map[licensing.Env]int64 // entries in the index of each log, as last seen
	published   atomic.Pointer[map[licensing.Env]*license.Head]
	loading     sync.Mutex    // locked while keys are loaded into the ring
	keepsNone   atomic.Uint64 // one more than DB.Written when no ends were postponed; 0 for never
}

// New returns the ledger of a database. Call Start before anything else.
func New(c Config) *Ledger {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Machine.Up == nil {
		c.Machine = ThisMachine()
	}
	l := &Ledger{DB: c.DB, Ring: c.Ring, Log: c.Log, Metrics: c.Metrics, Now: c.Now, Skew: cmp.Or(c.Skew, licensing.Skew.Duration()), Cache: c.Cache, Witness: Witness{Dir: c.Dir}}
	l.sequencer = sequencer{l, map[licensing.Env]audit.Tree{}}
	l.indexed = map[licensing.Env]int64{}
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

// Tasks returns the background tasks of the ledger.
func (l *Ledger) Tasks() []Task {
	return []Task{
		{"sequencer", l.RunSequencer}, {"clock", l.runClock},
		{"log_index", func(ctx context.Context) {
			l.Every(ctx, indexEvery, "log_index", func(ctx context.Context) error { return l.IndexLog(ctx, indexAfter) })
		}},
	}
}

// WhenDue is Every for a task that returns when its next work is due, or zero if none is known. If no
// other server may write to the database, the task runs only when something was written or work is
// due, or after an error.
func (l *Ledger) WhenDue(ctx context.Context, period time.Duration, name string, do func(context.Context) (next time.Time, err error)) {
	var seen uint64
	var next time.Time
	rests := false
	l.Every(ctx, period, name, func(ctx context.Context) (err error) {
		written := l.DB.Written()
		if rests && written == seen && (next.IsZero() || l.DB.Latest().Before(next)) {
			return nil
		}
		next, err = do(ctx)
		seen, rests = written, err == nil && !l.DB.Shared()
		return err
	})
}

// Every runs a background task once per period until ctx ends, and records each result.
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
			return // an interruption by the end of ctx is no failure
		}
		l.Task(name, err)
	}
}
