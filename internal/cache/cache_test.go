package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

type value struct{ size int }

func sized(_ int, v *value) int { return v.size }

func always(*value) bool { return true }

func never(*value) bool { return false }

// Whatever is put, resized and forgotten, the cache stays within its budget and returns only what
// was put last.
func TestACacheStaysWithinItsBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const budget = 10_000
		c := New(budget, sized)
		last := map[int]*value{}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			key := rapid.IntRange(0, 99).Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				last[key] = &value{rapid.IntRange(0, 12_000).Draw(t, "size")}
				c.Put(key, last[key])
			case 2:
				if v := last[key]; v != nil {
					v.size = rapid.IntRange(0, 3_000).Draw(t, "size")
					c.Resized(key, v)
				}
			default:
				delete(last, key)
				c.Forget(key)
			}
			if v, found := c.Get(key); found && v != last[key] {
				t.Fatalf("key %d: another value than the last", key)
			}
			if u := c.Usage(); u.Bytes > budget || u.Budget != budget {
				t.Fatalf("%d bytes kept of %d, budget %d", u.Bytes, budget, u.Budget)
			}
		}
	})
}

func TestAFullCacheDropsOneEntryAtATime(t *testing.T) {
	const entries = 100
	c := New(entries*(overhead+40), sized)
	for key := range entries {
		c.Put(key, &value{40})
	}
	if u := c.Usage(); u.Entries != entries {
		t.Fatalf("%d entries fit, not %d", u.Entries, entries)
	}
	for key := entries; key < 2*entries; key++ {
		c.Put(key, &value{40})
		if u := c.Usage(); u.Entries != entries {
			t.Fatalf("%d entries are left after one more, not %d", u.Entries, entries)
		}
	}
	if u := c.Usage(); u.Evictions != entries {
		t.Errorf("%d entries evicted, not %d", u.Evictions, entries)
	}
}

func TestCallsForOneKeyShareALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(10_000, sized)
		let, loads := make(chan struct{}), 0
		var mu sync.Mutex
		got := map[*value]int{}
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				v, err := c.Load(t.Context(), 1, always, func(context.Context, *value) (*value, error) {
					mu.Lock()
					loads++
					mu.Unlock()
					<-let
					return &value{loads}, nil
				})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got[v]++
			})
		}
		synctest.Wait()
		close(let)
		calls.Wait()
		if loads != 1 || len(got) != 1 {
			t.Errorf("20 calls made %d loads and got %d values", loads, len(got))
		}
	})
}

// The first caller of a load may go away. The others, and the cache, still get what it loads.
func TestALoadOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(10_000, sized)
		let := make(chan struct{})
		load := func(ctx context.Context, _ *value) (*value, error) {
			<-let
			return &value{1}, ctx.Err()
		}
		leaving, leave := context.WithCancel(t.Context())
		go func() { _, _ = c.Load(leaving, 1, always, load) }()
		synctest.Wait()
		done := make(chan error)
		go func() {
			_, err := c.Load(t.Context(), 1, always, load)
			done <- err
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		close(let)
		if err := <-done; err != nil {
			t.Errorf("the caller that stayed: %v", err)
		}
		if _, found := c.Get(1); !found {
			t.Error("what was loaded is not kept")
		}
	})
}

func TestACallerThatLeavesDoesNotWaitForALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(10_000, sized)
		let := make(chan struct{})
		load := func(context.Context, *value) (*value, error) { <-let; return &value{1}, nil }
		go func() { _, _ = c.Load(t.Context(), 1, always, load) }()
		synctest.Wait()
		leaving, leave := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := c.Load(leaving, 1, always, load)
			done <- err
		}()
		synctest.Wait()
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left: %v", err)
		}
		close(let)
	})
}

// What a load read before a Forget is not returned to a call that came after the Forget, and is
// not kept.
func TestALoadFromBeforeAForgetIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(10_000, sized)
		first, second := make(chan struct{}), make(chan struct{})
		load := func(let chan struct{}, read int) func(context.Context, *value) (*value, error) {
			return func(context.Context, *value) (*value, error) { <-let; return &value{read}, nil }
		}
		go func() { _, _ = c.Load(t.Context(), 1, always, load(first, 1)) }()
		synctest.Wait()
		c.Forget(1)
		after := make(chan *value)
		go func() {
			v, err := c.Load(t.Context(), 1, always, load(second, 2))
			if err != nil {
				t.Error(err)
			}
			after <- v
		}()
		synctest.Wait()
		close(first)
		synctest.Wait()
		if _, found := c.Get(1); found {
			t.Error("what was read before the Forget is kept")
		}
		close(second)
		if v := <-after; v.size != 2 {
			t.Error("a call after the Forget got what was read before it")
		}
		if v, found := c.Get(1); !found || v.size != 2 {
			t.Error("what was read after the Forget is not kept")
		}
	})
}

// While a stale value is loaded again it is still known, and after a load that failed.
func TestAStaleValueStaysDuringItsLoad(t *testing.T) {
	c := New(10_000, sized)
	c.Put(1, &value{1})
	failed := errors.New("no database")
	_, err := c.Load(t.Context(), 1, never, func(context.Context, *value) (*value, error) {
		if _, known := c.Get(1); !known {
			t.Error("the stale value is gone during the load")
		}
		return nil, failed
	})
	if _, known := c.Get(1); !known || !errors.Is(err, failed) {
		t.Errorf("after a load that failed: known %t, %v", known, err)
	}
}

// A load that panics leaves nobody waiting, and the next call loads again.
func TestALoadThatPanicsLeavesNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(10_000, sized)
		let, waited := make(chan struct{}), make(chan error)
		go func() {
			defer func() { _ = recover() }()
			_, _ = c.Load(t.Context(), 1, always, func(context.Context, *value) (*value, error) { <-let; panic("a defect") })
		}()
		synctest.Wait()
		go func() {
			_, err := c.Load(t.Context(), 1, always, func(context.Context, *value) (*value, error) { return &value{1}, nil })
			waited <- err
		}()
		synctest.Wait()
		close(let)
		if err := <-waited; err == nil {
			t.Error("a call that waited for a load which panicked has no error")
		}
		if _, err := c.Load(t.Context(), 1, always, func(context.Context, *value) (*value, error) { return &value{1}, nil }); err != nil {
			t.Errorf("the next call: %v", err)
		}
	})
}

func TestAStaleValueIsLoadedAgainWithItself(t *testing.T) {
	c := New(10_000, sized)
	first := &value{1}
	c.Put(1, first)
	v, err := c.Load(t.Context(), 1, never, func(_ context.Context, stale *value) (*value, error) {
		if stale != first {
			t.Error("the load is not given the stale value")
		}
		return &value{2}, nil
	})
	if kept, _ := c.Get(1); err != nil || v.size != 2 || kept != v {
		t.Errorf("loaded %v, %v; kept %v", v, err, kept)
	}
	failed := errors.New("no database")
	if _, err := c.Load(t.Context(), 2, always, func(context.Context, *value) (*value, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("a load that failed: %v", err)
	}
	if _, found := c.Get(2); found {
		t.Error("a failure is kept")
	}
}

// Resized does not bring back what was forgotten or replaced.
func TestResizedKeepsOnlyWhatIsKept(t *testing.T) {
	c := New(10_000, sized)
	old, young := &value{1}, &value{1}
	c.Put(1, old)
	c.Forget(1)
	c.Resized(1, old)
	if _, found := c.Get(1); found {
		t.Error("a forgotten value is back")
	}
	c.Put(1, young)
	c.Resized(1, old)
	if v, _ := c.Get(1); v != young {
		t.Error("a replaced value is back")
	}
}

// A caller that saw no value, or a stale one, just before a load finished does not load again.
func TestALoadThatHasJustFinishedIsNotRepeated(t *testing.T) {
	c := New(10_000, sized)
	c.Put(1, &value{1})
	if l, _ := c.join(1, nil); l != nil {
		t.Error("the caller loads again what was loaded a moment ago")
	}
	now, _ := c.Get(1)
	if _, began := c.join(1, now); !began {
		t.Error("the caller does not load what is stale")
	}
}

func BenchmarkGet(b *testing.B) {
	c := New(1<<20, func(string, *value) int { return 100 })
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprint("lic_", i)
		c.Put(keys[i], &value{})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Get(keys[i%len(keys)])
	}
}
