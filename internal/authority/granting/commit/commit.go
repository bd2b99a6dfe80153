// Package commit lets requests that arrive during a commit share the next transaction. It knows
// nothing about databases or licensing. It collects, orders, limits and answers requests.
package commit

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"copyhold.dev/internal/licensing"
)

// maxBatch limits the size of a transaction, so that it does not delay the next one for long.
const maxBatch = 256

// maxSettling limits how many batches of a worker may wait for the disk.
const maxSettling = 8

// idleTurns is how many scheduler turns without a new request pass before a batch runs.
const idleTurns = 3

// A Group shares transactions between requests. It is safe for concurrent use.
type Group[T any] struct {
	apply   func([]T) (settle func() error, err error)
	limit   int
	workers []*worker[T]
	ended   sync.WaitGroup
}

// A worker collects the requests of its part and commits one batch after another.
type worker[T any] struct {
	mu      sync.Mutex
	waiting [licensing.Classes][]*entry[T]
	count   int
	closed  bool
	wake    chan struct{}
	settles chan struct{} // one per batch that waits for the disk
}

type entry[T any] struct {
	item  T
	state atomic.Int32 // 0 waiting, 1 taken, 2 abandoned
	done  chan error
}

// New starts a group with n workers. Each worker runs one apply at a time, and at most limit
// requests wait for each. apply runs a transaction and returns its error. It keeps its result for
// each item in the item. If a batch fails and was certainly rolled back, its items are tried again
// one by one. apply may return before the transaction is durable, with a function that waits until
// it is. The next batch is applied in the meantime.
func New[T any](n, limit int, apply func([]T) (settle func() error, err error)) *Group[T] {
	g := &Group[T]{apply: apply, limit: limit}
	for range n {
		w := &worker[T]{wake: make(chan struct{}, 1), settles: make(chan struct{}, maxSettling)}
		g.workers = append(g.workers, w)
		g.ended.Go(func() { g.run(w) })
	}
	return g
}

// Close refuses new requests, answers waiting requests with Unavailable, and returns when the
// running transactions have ended.
func (g *Group[T]) Close() {
	for _, w := range g.workers {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		w.signal()
	}
	g.ended.Wait()
}

// Do puts an item into the next transaction and returns its error after the transaction is durable.
// Items with equal parts are applied in the order of their classes, highest priority first, and
// then in the order of arrival. If ctx ends before the transaction begins, the item is certainly
// not applied, and Do returns the error of ctx. Later, Do keeps waiting, so the outcome is always
// known.
func (g *Group[T]) Do(ctx context.Context, class licensing.Class, part uint64, item T) error {
	return g.DoMeanwhile(ctx, class, part, item, nil, nil)
}

// DoMeanwhile is Do for a caller that can work while the transaction commits. It calls meanwhile in
// its own goroutine, at most once, after apply has sent on ready. ready must have room for one
// value.
func (g *Group[T]) DoMeanwhile(ctx context.Context, class licensing.Class, part uint64, item T, ready <-chan struct{}, meanwhile func()) error {
	e := &entry[T]{item: item, done: make(chan error, 1)}
	if err := g.add(class, part, e); err != nil {
		return err
	}
	select {
	case err := <-e.done:
		return err
	case <-ready:
		meanwhile()
	case <-ctx.Done():
	}
	return e.wait(ctx)
}

// DoAll is Do for several items at once, which usually share a transaction. It returns an error for
// each item.
func (g *Group[T]) DoAll(ctx context.Context, class func(T) licensing.Class, part uint64, items []T) []error {
	entries := make([]*entry[T], len(items))
	errs := make([]error, len(items))
	for i, item := range items {
		entries[i] = &entry[T]{item: item, done: make(chan error, 1)}
		if errs[i] = g.add(class(item), part, entries[i]); errs[i] != nil {
			entries[i] = nil
		}
	}
	for i, e := range entries {
		if e != nil {
			errs[i] = e.wait(ctx)
		}
	}
	return errs
}

func (g *Group[T]) add(class licensing.Class, part uint64, e *entry[T]) error {
	w := g.workers[part%uint64(len(g.workers))]
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return licensing.Errorf(licensing.Unavailable, "the server is shutting down")
	case w.count >= g.limit*class.Share()/100:
		w.mu.Unlock()
		return licensing.Errorf(licensing.Unavailable, "the server is overloaded; try again later")
	}
	w.waiting[class] = append(w.waiting[class], e)
	w.count++
	w.mu.Unlock()
	w.signal()
	return nil
}

func (e *entry[T]) wait(ctx context.Context) error {
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		if e.state.CompareAndSwap(0, 2) {
			return ctx.Err()
		}
		return <-e.done
	}
}

func (w *worker[T]) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// gather lets requests join that have arrived and are only waiting for a processor. It does not
// wait for requests that have not arrived, and returns immediately if nothing else can run. A
// transaction costs the same for one request as for ten, so a busy server would otherwise waste its
// time on small transactions.
func (w *worker[T]) gather() {
	for count, idle := 0, 0; idle < idleTurns; {
		w.mu.Lock()
		was := count
		count = w.count
		w.mu.Unlock()
		if count == 0 || count >= maxBatch {
			return
		}
		if count <= was {
			idle++
		}
		runtime.Gosched()
	}
}

// take returns the next batch, highest priority first. It never waits for more requests.
func (w *worker[T]) take() (batch []*entry[T], closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range slices.Backward(w.waiting[:]) {
		n := 0
		for ; n < len(w.waiting[c]) && len(batch) < maxBatch; n++ {
			if e := w.waiting[c][n]; e.state.CompareAndSwap(0, 1) {
				batch = append(batch, e)
			}
		}
		w.count -= n
		if n == len(w.waiting[c]) {
			w.waiting[c] = w.waiting[c][:0]
		} else {
			w.waiting[c] = append(w.waiting[c][:0], w.waiting[c][n:]...)
		}
	}
	return batch, w.closed
}

func (g *Group[T]) run(w *worker[T]) {
	items := make([]T, 0, maxBatch)
	for {
		w.gather()
		batch, closed := w.take()
		switch {
		case len(batch) == 0 && closed:
			return
		case len(batch) == 0:
			<-w.wake
			continue
		case closed:
			for _, e := range batch {
				e.done <- licensing.Errorf(licensing.Unavailable, "the server is shutting down")
			}
			continue
		}
		items = items[:0]
		for _, e := range batch {
			items = append(items, e.item)
		}
		g.commit(w, batch, items)
		clear(items)
	}
}

// commit applies a batch. After a failure, it applies each item separately, so that one bad request
// does not fail the others.
func (g *Group[T]) commit(w *worker[T], batch []*entry[T], items []T) {
	settle, err := g.apply(items)
	switch {
	case err != nil && len(batch) > 1 && undone(err):
		for i := range batch {
			settle, err := g.apply(items[i : i+1])
			g.answer(w, batch[i:i+1], settle, err)
		}
	default:
		g.answer(w, batch, settle, err)
	}
}

// answer reports the outcome of a batch after it is durable.
func (g *Group[T]) answer(w *worker[T], batch []*entry[T], settle func() error, err error) {
	if settle == nil {
		for _, e := range batch {
			e.done <- err
		}
		return
	}
	w.settles <- struct{}{}
	g.ended.Go(func() {
		err := settle()
		for _, e := range batch {
			e.done <- err
		}
		<-w.settles
	})
}

// undone reports whether another attempt is useful and harmless.
func undone(err error) bool {
	code := licensing.CodeOf(err)
	return code != licensing.OutcomeUnknown && code != licensing.Unavailable
}
