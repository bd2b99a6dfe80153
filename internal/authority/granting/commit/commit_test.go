package commit

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/internal/licensing"
)

// TestABatchThatFailsIsTriedOneByOne has one bad item among good ones.
func TestABatchThatFailsIsTriedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("bad")
		var batches [][]int
		g := New(1, 100, func(items []int) (func() error, error) {
			batches = append(batches, slices.Clone(items))
			time.Sleep(time.Millisecond)
			if slices.Contains(items, 3) {
				return nil, bad
			}
			return nil, nil
		})
		var all sync.WaitGroup
		for n := range 6 {
			all.Go(func() {
				err := g.Do(t.Context(), licensing.ClassAcquire, 0, n)
				if (n == 3) != errors.Is(err, bad) {
					t.Errorf("%d: %v", n, err)
				}
			})
			if n == 0 {
				synctest.Wait() // its batch runs while the others arrive
			}
		}
		all.Wait()
		g.Close()
		if len(batches) != 1+1+5 {
			t.Errorf("batches %v: want a single one, five together, and those five one by one", batches)
		}
	})
}

// TestAnUnknownOutcomeIsNotTriedAgain checks this because the items may have been applied.
func TestAnUnknownOutcomeIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		g := New(1, 100, func(items []int) (func() error, error) {
			calls++
			time.Sleep(time.Millisecond)
			return nil, licensing.Errorf(licensing.OutcomeUnknown, "unknown")
		})
		defer g.Close()
		var all sync.WaitGroup
		for n := range 4 {
			all.Go(func() {
				if err := g.Do(t.Context(), licensing.ClassAcquire, 0, n); licensing.CodeOf(err) != licensing.OutcomeUnknown {
					t.Errorf("%d: %v", n, err)
				}
			})
			if n == 0 {
				synctest.Wait() // alone in its batch; the others share the next
			}
		}
		all.Wait()
		if calls != 2 {
			t.Errorf("%d transactions, want 2", calls)
		}
	})
}

func TestReleasesComeFirstAndAcquiresAreShedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []licensing.Class
		g := New(1, 10, func(items []licensing.Class) (func() error, error) {
			order = append(order, items...)
			time.Sleep(time.Second)
			return nil, nil
		})
		go g.Do(t.Context(), licensing.ClassAcquire, 0, licensing.ClassAcquire) // runs while the others arrive
		synctest.Wait()
		shed := map[licensing.Class]int{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 8 {
			for _, c := range []licensing.Class{licensing.ClassAcquire, licensing.ClassRelease} {
				all.Go(func() {
					if licensing.CodeOf(g.Do(t.Context(), c, 0, c)) == licensing.Unavailable {
						mu.Lock()
						shed[c]++
						mu.Unlock()
					}
				})
			}
		}
		all.Wait()
		g.Close()
		if !slices.IsSortedFunc(order[1:], func(a, b licensing.Class) int { return cmp.Compare(b, a) }) {
			t.Errorf("order %v", order)
		}
		if shed[licensing.ClassAcquire] < 1 || shed[licensing.ClassRelease] > shed[licensing.ClassAcquire]+8 || len(order)-1+shed[licensing.ClassAcquire]+shed[licensing.ClassRelease] != 16 {
			t.Errorf("shed %v of 8 each, applied %d", shed, len(order)-1)
		}
	})
}

func TestWhoLeavesBeforeTheTransactionIsNotApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var applied []int
		g := New(1, 10, func(items []int) (func() error, error) {
			applied = append(applied, items...)
			time.Sleep(time.Second)
			return nil, nil
		})
		go g.Do(t.Context(), licensing.ClassAcquire, 0, 1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := g.Do(ctx, licensing.ClassAcquire, 0, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("left: %v", err)
		}
		g.Close()
		if !slices.Equal(applied, []int{1}) {
			t.Errorf("applied %v, want only 1", applied)
		}
	})
}

// TestNobodyIsAnsweredBeforeTheDisk applies the next batch while the last one waits for the disk.
// Each request gets the outcome of its own batch.
func TestNobodyIsAnsweredBeforeTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("lost")
		var applied []int
		g := New(1, 100, func(items []int) (func() error, error) {
			applied = append(applied, items...)
			first := items[0]
			return func() error {
				time.Sleep(time.Duration(first) * time.Minute)
				if first == 2 {
					return lost
				}
				return nil
			}, nil
		})
		answers := make(map[int]time.Duration)
		errs := make(map[int]error)
		var mu sync.Mutex
		var all sync.WaitGroup
		start := time.Now()
		for n := 3; n > 0; n-- {
			all.Go(func() {
				err := g.Do(t.Context(), licensing.ClassAcquire, 0, n)
				mu.Lock()
				answers[n], errs[n] = time.Since(start), err
				mu.Unlock()
			})
			synctest.Wait()
		}
		mu.Lock()
		early := len(answers)
		mu.Unlock()
		if !slices.Equal(applied, []int{3, 2, 1}) || early != 0 {
			t.Errorf("applied %v, answered %d of them before anything was on disk", applied, early)
		}
		closed := make(chan struct{})
		go func() { g.Close(); close(closed) }()
		all.Wait()
		<-closed
		for n := 1; n <= 3; n++ {
			if answers[n] != time.Duration(n)*time.Minute || (n == 2) != errors.Is(errs[n], lost) {
				t.Errorf("%d was answered after %v: %v", n, answers[n], errs[n])
			}
		}
	})
}
