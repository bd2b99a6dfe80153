package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/licensing"
)

const (
	// maxTries is how often a transaction is tried if other transactions make it fail.
	maxTries = 10
	// commitLimit is the longest time that a COMMIT may take, including the wait for replicas. A
	// transaction that arrives during another wait needs two waits. Both must end within 30 s, when
	// a caller's connection ends.
	commitLimit = 12 * time.Second
)

// A DB is a database with its engine. It is safe for concurrent use.
type DB struct {
	// Now, if set, replaces the database's clock. Drills and tests set it before the first use.
	Now func() time.Time
	// Judge, if set before the first write transaction, decides the time of each transaction.
	// Otherwise transactions use the clock's reading.
	Judge Judge

	engine    Engine
	settler   settler
	sql       *sql.DB
	writers   *pool
	readers   *pool
	mark      mark
	revisions *cache.Cache[revisionKey, *keptRevision]
	reading   atomic.Pointer[reading] // the last reading of the database's clock
	closed    closure
	tally     *tally // nil if other servers may write
	written   atomic.Uint64

	commitLimit time.Duration
	fatal       chan struct{}
	fatalOnce   sync.Once
	fatalErr    atomic.Pointer[error]
	stop        context.CancelFunc
	tasks       sync.WaitGroup
}

// Open takes over a connected database and brings its tables up to date. Packages sqlite and
// postgres call it.
func Open(ctx context.Context, conns *sql.DB, engine Engine) (*DB, error) {
	db := &DB{
		engine:    engine,
		sql:       conns,
		writers:   newPool(engine.Writers),
		readers:   newPool(engine.Readers),
		fatal:     make(chan struct{}),
		closed:    closure{done: make(chan struct{})},
		revisions: newRevisions(),

		commitLimit: commitLimit,
	}
	db.settler.once = db.settleOnce
	if err := db.migrate(ctx); err != nil {
		return nil, fmt.Errorf("migrating the %s database: %w", engine.Name, err)
	}
	if err := db.View(ctx, func(tx *Tx) error { return tx.loadMark(ctx) }); err != nil {
		return nil, fmt.Errorf("reading the clock's mark: %w", err)
	}
	if err := db.LookClosed(ctx); err != nil {
		return nil, fmt.Errorf("reading the deployment: %w", err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	db.stop = stop
	if !db.Shared() {
		db.tally = newTally()
	}
	if engine.Maintain != nil {
		db.tasks.Go(func() { db.maintain(background) })
	}
	return db, nil
}

// Close ends all sessions. No call may be running, and none may follow.
func (db *DB) Close() error {
	db.stop()
	db.tasks.Wait()
	db.writers.close()
	db.readers.close()
	err := db.sql.Close()
	if db.engine.Close != nil {
		err = errors.Join(err, db.engine.Close())
	}
	return err
}

// Written returns a number that differs from earlier ones if a transaction may have changed anything
// since. It does not know about other servers, and ignores the stored time.
func (db *DB) Written() uint64 { return db.written.Load() }

// Engine returns the engine's name: sqlite or postgres.
func (db *DB) Engine() string { return db.engine.Name }

// Writers returns how many write transactions can run at once.
func (db *DB) Writers() int { return db.engine.Writers }

// Fatal is closed when the storage has failed so badly that nothing more can be guaranteed. The
// process must then end, and recovery determines the state.
func (db *DB) Fatal() <-chan struct{} { return db.fatal }

// FatalErr returns the reason why Fatal is closed, or nil.
func (db *DB) FatalErr() error {
	if p := db.fatalErr.Load(); p != nil {
		return *p
	}
	return nil
}

// Update runs fn in a write transaction and commits it. If fn fails, nothing is kept. If another
// transaction interferes, Update calls fn again. An error with code outcome_unknown means that the
// change may have been committed; unavailable means that it was not.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	return db.update(ctx, transaction{fn: fn})
}

// UpdateEarly is Update, but may return before its writes are on disk. It then returns settle,
// which waits for the disk; otherwise settle is nil. The result must not be revealed before settle
// returns. Other transactions see the writes immediately and can build on them; their own writes
// reach the disk later. An error of settle, with code outcome_unknown, means that the change may be
// lost.
func (db *DB) UpdateEarly(ctx context.Context, fn func(*Tx) error) (settle func() error, err error) {
	if err := db.update(ctx, transaction{fn: fn, early: db.engine.Early != ""}); err != nil || db.engine.Early == "" {
		return nil, err
	}
	return db.settler.settle, nil
}

func (db *DB) update(ctx context.Context, t transaction) error {
	t.begin, t.writes = db.engine.Begin, true
	for try := 1; ; try++ {
		err := db.attempt(ctx, db.writers, t)
		if err == nil || try == maxTries || !db.engine.Retry(err) && !errors.Is(err, errClockMoved) {
			return err
		}
		wait := time.NewTimer(time.Duration(rand.Int64N(int64(try) * int64(2*time.Millisecond))))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

// View runs fn on one snapshot, which does not change.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	return db.attempt(ctx, db.readers, transaction{begin: db.engine.BeginRead, fn: fn})
}

// A transaction is the work of one attempt.
type transaction struct {
	begin         string
	writes, early bool
	unjudged      bool // it uses no time
	unstored      bool // its time is not stored, because the tables may be those of an earlier version
	lazy          bool // COMMIT does not wait for the disk, and the loss of the transaction does no harm
	fn            func(*Tx) error
	committed     func() // may be nil; runs before another transaction gets the session
}

func (db *DB) attempt(ctx context.Context, p *pool, t transaction) (err error) {
	if cause := db.FatalErr(); cause != nil {
		return licensing.Errorf(licensing.Unavailable, "the storage failed and the server is shutting down: %w", cause)
	}
	s, err := db.take(ctx, p)
	if err != nil {
		return licensing.Errorf(licensing.Unavailable, "connecting to the database: %w", err)
	}
	tx := &Tx{db: db, session: s, writes: t.writes, early: t.early}
	broken := true // unless the end is reached, which it is not after a panic in fn
	defer func() {
		tx.session = nil
		p.give(s, broken)
	}()
	if text := s.replan(db.engine, time.Now()); text != "" {
		_, err = tx.exec(ctx, text)
	}
	if t.lazy && db.engine.Lazy != "" {
		defer func() { // before the session is given back
			broken = s.run(context.WithoutCancel(ctx), &Statement{Text: db.engine.Eager}) != nil || broken
		}()
		err = errors.Join(err, s.run(ctx, &Statement{Text: db.engine.Lazy}))
	}
	if err == nil {
		err = tx.later(ctx, &Statement{Text: t.begin})
	}
	if err == nil && t.early {
		err = tx.later(ctx, &Statement{Text: db.engine.Early})
	}
	if err != nil {
		return db.failed(licensing.Errorf(licensing.Unavailable, "beginning a transaction: %w", err))
	}
	undone := true
	if t.unjudged {
		err = t.fn(tx)
	} else {
		err = tx.body(ctx, t)
	}
	if err == nil {
		undone, err = tx.commit(ctx)
	}
	broken = err != nil
	if t.writes && !t.lazy {
		db.written.Add(1)
	}
	if err == nil {
		db.tally.commit(tx.changes, tx.now)
	} else if !undone {
		db.tally.lose() // the changes may be stored
	}
	if err == nil && t.committed != nil {
		t.committed()
	}
	if err != nil && undone {
		tx.queue = nil
		broken = s.run(context.WithoutCancel(ctx), &Statement{Text: "ROLLBACK"}) != nil
		if broken && db.Shared() && ctx.Err() == nil && licensing.CodeOf(err) == licensing.Internal {
			err = licensing.Errorf(licensing.Unavailable, "the connection to the database was lost; nothing was changed: %w", err)
		}
		return db.refused(tx, db.failed(err))
	}
	return err
}

func (tx *Tx) body(ctx context.Context, t transaction) error {
	if err := tx.readClock(ctx); err != nil {
		return licensing.Errorf(licensing.Unavailable, "reading the clock: %w", err)
	}
	if err := t.fn(tx); err != nil {
		return err
	}
	if !tx.writes || t.unstored {
		return nil
	}
	if err := tx.closeCounts(ctx); err != nil {
		return err
	}
	if tx.guessed { // a COMMIT sent with it could not be undone
		if err := tx.flush(ctx); err != nil {
			return err
		}
	}
	return tx.raiseMark(ctx)
}

// commit ends tx. If it cannot prove that a failed COMMIT had no effect, the outcome is unknown. It
// reports whether the transaction is still open and must be rolled back.
func (tx *Tx) commit(ctx context.Context) (open bool, err error) {
	// A canceled caller must not interrupt a commit that other requests may share.
	ctx = context.WithoutCancel(ctx)
	db := tx.db
	if db.Shared() { // otherwise there are no replicas to wait for
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, db.commitLimit)
		defer cancel()
	}
	open, err = tx.end(ctx, "COMMIT")
	switch {
	case err == nil && tx.writes && !tx.early:
		return false, db.replicated(tx.session)
	case err == nil || open || !tx.writes:
		return open, err
	case db.engine.Definite(err):
		return false, err
	default:
		return false, db.failed(unknown(err, db.commitLimit))
	}
}

// unknown returns an error for a COMMIT that failed with err. It tells the caller to retry, and an
// operator what to check.
func unknown(err error, limit time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return licensing.Errorf(licensing.OutcomeUnknown, "the commit was not confirmed within %v, for example because a synchronous standby is down; retry with the same request id: %w", limit, err)
	}
	return licensing.Errorf(licensing.OutcomeUnknown, "the commit failed but may have taken effect; retry with the same request id: %w", err)
}

// replicated returns an error if the last commit of a session exists only on this server.
func (db *DB) replicated(s *session) error {
	if db.engine.Replicated == nil {
		return nil
	}
	if err := db.engine.Replicated(s.conn); err != nil {
		return licensing.Errorf(licensing.OutcomeUnknown, "the change was not confirmed by the standby; retry with the same request id: %w", err)
	}
	return nil
}

// failed records an error after which the storage cannot be trusted.
func (db *DB) failed(err error) error {
	if db.engine.Fatal(err) {
		db.fatalOnce.Do(func() {
			db.fatalErr.Store(&err)
			close(db.fatal)
		})
	}
	return err
}

// IsUnique reports whether err means that a row's key already exists.
func (db *DB) IsUnique(err error) bool { return db.engine.Unique(err) }

func (db *DB) maintain(ctx context.Context) {
	tick := time.NewTicker(db.engine.MaintainEvery)
	defer tick.Stop()
	var done uint64
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		written := db.Written()
		if written == done {
			continue
		}
		s, err := db.take(ctx, db.readers)
		if err != nil {
			continue
		}
		err = db.engine.Maintain(ctx, s.conn)
		db.readers.give(s, err != nil)
		if err != nil {
			_ = db.failed(err)
			continue
		}
		done = written
	}
}

// Shared reports whether other servers may write to the same database.
func (db *DB) Shared() bool { return db.engine.ForUpdate != "" }
