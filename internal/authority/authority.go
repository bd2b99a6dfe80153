// Package authority is the only code that changes licensing state. It opens a
// transaction, loads what a rule needs, asks the rule in package licensing,
// and stores the change together with its entry in the log. Faces and services
// call it; it knows nothing of HTTP. A file holds one noun.
package authority

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/commit"
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
	// reclaimed only this long after its lease ends. 0 is DefaultSkew.
	Skew time.Duration
}

// DefaultSkew is the Skew of a Config that names none.
const DefaultSkew = time.Minute

// maxWaiting bounds how many requests wait for a transaction.
const maxWaiting = 16_384

// maxCommitters bounds the transactions that batches run at once, where the
// database runs several.
const maxCommitters = 2

// An Authority decides and changes. It is safe for concurrent use.
type Authority struct {
	db      *store.DB
	ring    *signing.Ring
	log     *slog.Logger
	metrics *metrics.Metrics
	now     func() time.Time
	witness witness
	auth    *authentication
	skew    time.Duration
	epoch   atomic.Int64
	clock   *clock
	cache   termsCache
	commits *commit.Group[*op]
	waiters waiters
	denials denials
	repeats repeats
	copies  copies

	troubles troubles

	subscribers []func([]committed)
	newKeys     func(context.Context, *change, licensing.Env) error // of a new environment

	sequencing sync.Mutex
	sequencer  sequencer
	published  atomic.Pointer[map[licensing.Env]*license.Head]
	fences     atomic.Pointer[map[licensing.Env]fence]
	loading    sync.Mutex // held by who loads keys into the ring

	licenses    *licensesInForce
	revocations *revocationLists
	streams     *streams
	seen        *sightings
}

// New returns an authority over a database. Start makes it ready.
func New(c Config) *Authority {
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &Authority{db: c.DB, ring: c.Ring, log: c.Log, metrics: c.Metrics, now: c.Now, witness: witness{dir: c.Dir}, auth: newAuthentication()}
	a.sequencer = sequencer{a, map[licensing.Env]audit.Tree{}}
	a.published.Store(&map[licensing.Env]*license.Head{})
	a.fences.Store(&map[licensing.Env]fence{})
	a.licenses, a.revocations, a.streams = newLicensesInForce(), newRevocationLists(), newStreams()
	a.seen = newSightings()
	a.skew = cmp.Or(c.Skew, DefaultSkew)
	if c.Machine.Up == nil {
		c.Machine = thisMachine()
	}
	a.clock = &clock{machine: c.Machine, mark: a.db.Mark, skew: a.skew, record: licensing.ClockRecord{At: a.db.Mark()}}
	if a.db.Shared() {
		a.clock.node = c.Now
	}
	a.db.Judge = a.clock
	a.newKeys = a.createKeys
	a.commits = commit.New(min(a.db.Writers(), maxCommitters), maxWaiting, a.apply)
	for _, fn := range []func([]committed){a.keysCommitted, a.changesCommitted, a.waitersCommitted} {
		a.subscribe(fn)
	}
	return a
}

// A Task runs in the background until its context ends.
type Task struct {
	Name string
	Run  func(context.Context)
}

func (a *Authority) ledgerTasks() []Task {
	return []Task{{"sequencer", a.runSequencer}, {"clock", a.runClock}}
}

func (a *Authority) catalogTasks() []Task {
	return []Task{{"terms", a.runTerms}, {"moves", a.runMoves}}
}

func (a *Authority) keysTasks() []Task { return []Task{{"signing keys", a.runSigningKeys}} }

func (a *Authority) credentialsTasks() []Task { return []Task{{"credentials", a.runCredentials}} }

func (a *Authority) documentsTasks() []Task { return []Task{{"changes", a.runChanges}} }

func (a *Authority) grantingTasks() []Task {
	return []Task{{"sweep", a.runSweep}, {"waiters", a.runWaiters}, {"forget", a.runForget}}
}

// Run does what has to be done in the background until ctx ends, or until a
// final backup closes the database.
func (a *Authority) Run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() {
		select {
		case <-ctx.Done():
		case <-a.db.Closing():
			stop()
			a.endWaits()
		}
	})
	tasks := []Task{{"measure", a.runMeasure}}
	for _, more := range [][]Task{a.ledgerTasks(), a.catalogTasks(), a.keysTasks(), a.credentialsTasks(), a.documentsTasks(), a.grantingTasks()} {
		tasks = append(tasks, more...)
	}
	for _, t := range tasks {
		a.metrics.Task(t.Name, nil)
		running.Go(func() { t.Run(ctx) })
	}
	running.Wait()
}

// every runs a background task again and again until ctx ends, and notes how it went.
func (a *Authority) every(ctx context.Context, period time.Duration, name string, do func(context.Context) error) {
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
		a.task(name, err)
	}
}

// Close ends what waits for a transaction and returns once none runs.
func (a *Authority) Close() { a.commits.Close() }
