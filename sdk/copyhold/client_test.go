//go:build go1.25

package copyhold

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// ours returns the live goroutines that this package started.
func ours() (stacks []string) {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "created by copyhold.dev/sdk/copyhold.") && !strings.Contains(stack, "_test.go") {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

func TestOneGoroutineGoneWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		o.HTTPClient = w.net.client(t)
		ctx, cancel := context.WithCancel(t.Context())
		c, err := open(ctx, o, w.system())
		if err != nil {
			t.Fatal(err)
		}
		acquire(t, c, AcquireOptions{})
		if err := c.Record("calls", 1); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			pass(77 * time.Second)
			if stacks := ours(); len(stacks) != 1 {
				t.Fatalf("%d goroutines:\n%s", len(stacks), strings.Join(stacks, "\n\n"))
			}
		}
		cancel()
		<-c.done
		synctest.Wait()
		if stacks := ours(); len(stacks) != 0 {
			t.Fatalf("left behind:\n%s", strings.Join(stacks, "\n\n"))
		}
		if w.live() != 0 || w.counted() != 1 {
			t.Errorf("%d leases held, %d events counted", w.live(), w.counted())
		}
		if !c.Enabled("export") {
			t.Error("checks do not answer from memory")
		}
		if err := c.Record("calls", 1); err == nil {
			t.Error("usage was accepted that will never be sent")
		}
		if _, err := c.Acquire(t.Context(), "seats", AcquireOptions{}); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	})
}

func TestAChangeIsHeardWithinTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		acquire(t, c, AcquireOptions{}) // renewals interrupt the stream
		for i := range int64(20) {
			pass(97 * time.Second)
			w.set(func() { w.doc.Features = map[string]license.Feature{"layers": {Value: license.IntValue(100 + i)}} })
			w.announce("license")
			pass(10 * time.Second)
			if got := c.Feature("layers").Int(); got != 100+i {
				t.Fatalf("change %d: layers %d\n%s", i, got, c.Why())
			}
		}
	})
}

func TestTheCacheWorksOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		_ = w.start1(t, o).Close()
		w.net.cut("one.test", true)
		began := time.Now()
		c := w.open(t, o)
		wantState(t, c, license.StateValid)
		if !c.Enabled("export") || time.Since(began) > 0 {
			t.Errorf("Open took %v with a cache", time.Since(began))
		}
	})
}

func TestADamagedCacheCostsOnlyItself(t *testing.T) {
	damages := map[string]func(t *testing.T, dir string){
		"one copy torn": func(t *testing.T, dir string) { cutShort(t, filepath.Join(slotOf(t, dir), "state.1")) },
		"one copy gone": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(slotOf(t, dir), "state.1")); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				o := w.options()
				c := w.start1(t, o)
				acquire(t, c, AcquireOptions{}) // both copies are now written
				_ = c.Close()
				damage(t, o.CacheDir)
				w.net.cut("one.test", true)
				wantState(t, w.open(t, o), license.StateValid)
			})
		})
	}
	t.Run("both torn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			o := w.options()
			c := w.start1(t, o)
			acquire(t, c, AcquireOptions{})
			_ = c.Close()
			cutShort(t, filepath.Join(slotOf(t, o.CacheDir), "state.0"))
			cutShort(t, filepath.Join(slotOf(t, o.CacheDir), "state.1"))
			wantState(t, w.open(t, o), license.StateValid)
		})
	})
}

// slotOf returns the folder in which the first process keeps its license.
func slotOf(t *testing.T, dir string) string {
	t.Helper()
	slots, err := filepath.Glob(filepath.Join(dir, "licenses", "*", "slot-0"))
	if err != nil || len(slots) != 1 {
		t.Fatalf("%v, %v", slots, err)
	}
	return slots[0]
}

func cutShort(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutAUsableFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		o.CacheDir = filepath.Join(writeFile(t, []byte("a file")), "folder")
		c := w.open(t, o)
		wantState(t, c, license.StateValid)
		if err := c.Record("calls", 1); err != nil {
			t.Error(err)
		}
		o.CacheDir = "-"
		wantState(t, w.open(t, o), license.StateValid)
	})
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		c := w.open(t, o)
		if err := c.Record("calls", 1); err != nil {
			t.Fatal(err)
		}
		err := filepath.Walk(o.CacheDir, func(path string, info os.FileInfo, err error) error {
			if err == nil && path != o.CacheDir && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s is %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Even if the network hangs, checks and explanations do not.
func TestAHangingServerBlocksNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		w.between(silent)
		w.announce("license")
		var wait sync.WaitGroup
		wait.Go(func() { _, _ = c.Acquire(t.Context(), "seats", AcquireOptions{}) })
		for range 100 {
			pass(100 * time.Millisecond)
			began := time.Now()
			_, _, _, _ = c.Enabled("export"), c.Check("export"), c.Why(), c.State()
			if err := c.Record("calls", 1); err != nil {
				t.Error(err)
			}
			if d := time.Since(began); d != 0 {
				t.Fatalf("a check took %v", d)
			}
		}
		wait.Wait()
	})
}

func TestADeadlineIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		w.between(silent)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := c.Acquire(ctx, "seats", AcquireOptions{}); !errors.Is(err, ErrUnavailable) || time.Since(began) > 510*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestNilsAnswer(t *testing.T) {
	var c *Client
	var l *Lease
	if c.Enabled("x") || c.Feature("x").Enabled() || c.Feature("x").Int() != 0 || c.Feature("x").Text() != "" {
		t.Error("a nil client grants")
	}
	if c.Check("x").Outcome != license.Unavailable || c.Feature("x").Decision().Outcome != license.Unavailable {
		t.Error("a nil client denies")
	}
	if _, err := c.Acquire(t.Context(), "seats", AcquireOptions{}); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if c.Record("calls", 1) == nil || c.Why().String() == "" || c.License() != nil || c.Quota("calls").Outcome != license.Unavailable {
		t.Error("a nil client")
	}
	if l.State() != license.StateNone || l.Release(t.Context()) != nil || l.Units() != 0 || l.Fallback() || l.ID() != "" || l.Pool() != "" || l.Ended() != nil {
		t.Error("a nil lease")
	}
	if _, err := c.Unseal("x", nil); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

// TestAHostileCacheFolderTakesNothing: another user with write access to the folder can't make the
// program overwrite another file, hang, or lose its license.
func TestAHostileCacheFolderTakesNothing(t *testing.T) {
	slots := func(dir string) []string {
		c := &Client{cache: &cache{dir: dir}, options: Options{Product: "lathe"}}
		c.key, _ = newKey(testKey, "a test")
		c.trust, _ = newVendor(t, time.Now).options().trust()
		return []string{filepath.Join(dir, "slot-0"), filepath.Join(c.drawerPath("lic_1"), "slot-0"), filepath.Join(c.drawerPath(""), "slot-0")}
	}
	link := func(t *testing.T, target, name string) {
		t.Helper()
		if err := errors.Join(os.RemoveAll(name), os.MkdirAll(filepath.Dir(name), 0o700), os.Symlink(target, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, prepare := range map[string]func(t *testing.T, dir, victim string){
		"state elsewhere": func(t *testing.T, dir, victim string) {
			for _, slot := range slots(dir) {
				link(t, victim, filepath.Join(slot, "state.0"))
				link(t, victim, filepath.Join(slot, "state.1"))
			}
		},
		"count of runs elsewhere":     func(t *testing.T, dir, victim string) { link(t, victim, filepath.Join(dir, "slot-0", "unclosed")) },
		"state of others without end": func(t *testing.T, dir, _ string) { link(t, "/dev/zero", filepath.Join(dir, "slot-7", "state.0")) },
		"instance without end":        func(t *testing.T, dir, _ string) { link(t, "/dev/zero", filepath.Join(dir, "instance")) },
		"instance that is none": func(t *testing.T, dir, _ string) {
			if err := os.WriteFile(filepath.Join(dir, "instance"), []byte("two\nlines"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"device key elsewhere": func(t *testing.T, dir, victim string) { link(t, victim, filepath.Join(dir, "device.key")) },
		"usage elsewhere": func(t *testing.T, dir, victim string) {
			for _, slot := range slots(dir) {
				link(t, victim, filepath.Join(slot, "usage", "0000000000000001.jsonl"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			victim := writeFile(t, []byte("precious"))
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				o := w.options()
				o.Sealed = true
				prepare(t, o.CacheDir, victim)
				c := w.start1(t, o)
				wantState(t, c, license.StateValid)
				acquire(t, c, AcquireOptions{})
				acquire(t, c, AcquireOptions{})
				if err := c.Record("calls", 1); err != nil {
					t.Error(err)
				}
				_ = c.Close()
			})
			if content, err := os.ReadFile(victim); err != nil || string(content) != "precious" {
				t.Errorf("another file was changed: %q (%v)", content, err)
			}
		})
	}
}
