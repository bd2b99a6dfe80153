//go:build go1.25

package copyhold

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// edit changes the stored state of a folder's first process, which the user of the machine can do.
func edit(t *testing.T, o Options, change func(*state)) {
	t.Helper()
	slot := slotOf(t, o.CacheDir)
	s := readSlot(slot)
	change(&s)
	for range 2 {
		s.Generation++
		must(t, writeSlot(slot, s))
	}
}

// far is later than any date in a document.
const far = int64(10_000_000_000)

// Whatever a user writes into the cache, the offline state follows the document's dates.
func TestAnEditedCacheProlongsNothing(t *testing.T) {
	later := func(w *world) moment {
		return moment{Boot: w.bootID, At: 1000 * time.Hour, Wall: far}
	}
	for name, change := range map[string]func(w *world, s *state){
		"nothing":                  func(*world, *state) {},
		"the time, in the future":  func(_ *world, s *state) { s.Clock.Signed = far },
		"the time, long ago":       func(_ *world, s *state) { s.Clock.Signed = 1 },
		"no time":                  func(_ *world, s *state) { s.Clock = clockRecord{} },
		"the answer came just now": func(w *world, s *state) { s.Clock.Boot, s.Clock.At = w.bootID, w.system().boot() },
		"the answer is to come":    func(w *world, s *state) { s.Clock.At = later(w).At },
		"the answer of this boot":  func(w *world, s *state) { s.Clock.Boot = w.bootID },
		"an exact clock of before": func(w *world, s *state) {
			s.Clock = clockRecord{Signed: s.Clock.Signed, Boot: w.bootID, At: w.system().boot(), Exact: true}
		},
		"a failure to come":  func(w *world, s *state) { f := later(w); s.Failed = &f },
		"another key's":      func(_ *world, s *state) { s.Keys = append(s.Keys, "AAAAAAAAAAAAAAAAAAAAAA") },
		"a lease for longer": func(_ *world, s *state) { s.Leases[0].Borrowed, s.Leases[0].Keep = 10*year, true },
	} {
		for _, boot := range []string{"boot-1", "boot-2"} {
			t.Run(name+" "+boot, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.dates = span{600, 1200, 4000, 5000, 9000}
					o := w.options()
					c := w.start1(t, o)
					acquire(t, c, AcquireOptions{For: time.Hour})
					_ = c.Close()
					w.net.cut("one.test", true)
					if o.Wait = -1; boot != w.bootID { // the boot clock begins at 0
						w.bootID, w.start = boot, time.Now().Add(time.Hour)
					}
					opened := time.Now()
					for _, step := range []struct {
						at   time.Duration
						want license.State
					}{{500, license.StateValid}, {1300, license.StateStale}, {4100, license.StateGrace}, {5100, license.StateDegraded}, {9100, license.StateDenied}} {
						pass(time.Until(opened.Add(step.at * time.Second)))
						edit(t, o, func(s *state) { change(w, s) })
						c := w.start1(t, o)
						pass(2 * time.Second)
						if got := c.State(); got != step.want {
							t.Errorf("after %d s: %s, want %s\n%s", step.at, got, step.want, c.Why())
						}
						if l, err := c.Acquire(t.Context(), "seats", AcquireOptions{For: time.Hour}); err == nil && step.at > 4500 {
							t.Errorf("after %d s the lease is %s", step.at, l.State())
						}
						_ = c.Close()
					}
				})
			})
		}
	}
}

// A program on a machine other than the document's has one grace, counted from the last signed
// time, however often the user deletes or changes the record of it.
func TestAnEditedMismatchBeginsNoNewGrace(t *testing.T) {
	for name, noted := range map[string]int64{"taken away": 0, "in the future": far} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.doc.Binding = &license.Binding{Kind: KindMachine, Holder: "theirs", Need: 1, Components: map[string]string{"board": "00"}}
				o := w.options()
				w.once(t, o)
				w.net.cut("one.test", true)
				for range 4 {
					pass(20 * time.Hour)
					edit(t, o, func(s *state) { s.Mismatch = noted })
					wantFull := time.Since(w.start) < 72*time.Hour
					c := w.start1(t, o)
					if c.State().Full() != wantFull {
						t.Errorf("after %v: %s", time.Since(w.start), c.Why())
					}
					_ = c.Close()
				}
			})
		})
	}
}

// An edit that makes a program ask less is believed only for a moment.
func TestAnEditedCacheKeepsNobodyFromAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		w.once(t, o)
		pass(time.Minute)
		edit(t, o, func(s *state) { s.Clock.At = w.system().boot() })
		must(t, os.WriteFile(filepath.Join(o.CacheDir, "slot-0", "unclosed"), []byte("-7 and more"), 0o600))
		w.once(t, o)
		if n := w.count("POST /v1/validate"); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}
