// Package commit lets requests that arrive while a transaction commits share
// the next one. It knows neither databases nor licensing: it gathers, orders,
// bounds and answers.
package commit

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"copyhold.dev/internal/licensing"
)

// maxBatch bounds a transaction, so that one does not hold up the next for long.
const maxBatch = 256

// maxSettling bounds the batches of a worker that wait for the disk.
const maxSettling = 8

// idleTurns is how many turns of the scheduler bring nobody before a batch goes.
const idleTurns = 3

// A Group shares transactions between requests. It is safe for concurrent use.
type Group[T any] struct {
	apply   func([]T) (settle func() error, err error)
	limit   int
	workers []*worker[T]
	ended   sync.WaitGroup
}

// A worker gathers what concerns its part and commits one batch after another.
type worker[T any] struct {
	mu      sync.Mutex
	waiting [licensing.Classes][]*entry[T]
	count   int
	closed  bool
	wake    chan struct{}
	settles chan struct{} // one for each batch that waits for the disk
}

type entry[T any] struct {
	item  T
	state atomic.Int32 // 0 waiting, 1 taken, 2 left
	done  chan error
}

// New starts a group with n workers, each of which runs one apply at a time.
// At most limit requests wait for each. Apply runs a transaction and says its
// error; what it finds out about each item it keeps in the item. A batch that
// fails surely undone is tried again item by item. Apply may return before the
// transaction is durable, with a function that waits until it is: meanwhile the
// next batch is applied.
func New[T any](n, limit int, apply func([]T) (settle func() error, err error)) *Group[T] {
	g := &Group[T]{apply: apply, limit: limit}
	for range n {
		w := &worker[T]{wake: make(chan struct{}, 1), settles: make(chan struct{}, maxSettling)}
		g.workers = append(g.workers, w)
		g.ended.Go(func() { g.run(w) })
	}
	return g
}

// Close refuses new requests, ends those that wait as unavailable, and returns
// when the running transactions have ended.
func (g *Group[T]) Close() {
	for _, w := range g.workers {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		w.signal()
	}
	g.ended.Wait()
}

// Do puts an item into the next transaction and returns its error once that is
// durable. Items with equal parts are applied in the order of their
// classes, what is worth most first, and then of their arrival. When ctx ends before the transaction began, the
// item is surely not applied and Do returns ctx's error; after that Do waits,
// so the outcome is known.
func (g *Group[T]) Do(ctx context.Context, class licensing.Class, part uint64, item T) error {
	return g.DoMeanwhile(ctx, class, part, item, nil, nil)
}

// DoMeanwhile is Do for a caller with something to do while the transaction
// commits: meanwhile is called in Do's goroutine, at most once, when apply has
// sent on ready, which has room for it.
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

// DoAll is Do for several items at once, which most likely share a
// transaction. It returns an error for each.
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
		return licensing.Errorf(licensing.Unavailable, "the server is stopping")
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

// gather lets requests join that have arrived and only wait for a processor. It
// waits for none that has not arrived: where nothing else can run, it returns at
// once. A transaction costs the same for one request as for ten, so without this a
// busy server would spend itself on small ones.
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

// take returns the next batch, what is worth most first. It never waits for company.
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
				e.done <- licensing.Errorf(licensing.Unavailable, "the server is stopping")
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

// commit applies a batch, or after a failure each item by itself: one bad
// request must not fail its neighbours.
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

// answer tells the outcome of a batch once it is durable.
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

// undone reports whether a second try can make sense and can do no harm.
func undone(err error) bool {
	code := licensing.CodeOf(err)
	return code != licensing.OutcomeUnknown && code != licensing.Unavailable
}
