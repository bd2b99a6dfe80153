//go:build go1.25

package copyhold

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

const year = 365 * 24 * time.Hour

func wrongClocks() []time.Duration {
	return []time.Duration{
		-5 * time.Minute, 5 * time.Minute, -3 * time.Hour, 3 * time.Hour, -9 * 24 * time.Hour, 9 * 24 * time.Hour,
		-40 * 24 * time.Hour, 40 * 24 * time.Hour, -20 * year, 20 * year,
	}
}

// A wrong clock may cost grace but never a feature. Within 5 seconds after it is corrected, the
// state is the document's again, even offline.
func TestAWrongClockLocksNobodyOut(t *testing.T) {
	for _, wrong := range wrongClocks() {
		t.Run(fmt.Sprint(wrong), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				c := w.open(t, w.options())
				w.net.cut("one.test", true)
				pass(5 * time.Minute)
				w.setClock(wrong)
				pass(20 * time.Minute)
				if s := c.State(); !s.Full() || !c.Enabled("export") {
					t.Errorf("with a wrong clock: %s", c.Why())
				}
				w.setClock(0)
				pass(5 * time.Second)
				wantState(t, c, license.StateValid)
				if c.Why().ClockDoubtful {
					t.Error("still in doubt")
				}
			})
		})
	}
}

// The same across restarts: within a boot, after another boot, and with a clock that is wrong from
// the start.
func TestAWrongClockIsForgottenAcrossRestarts(t *testing.T) {
	for _, wrong := range wrongClocks() {
		for _, boot := range []string{"boot-1", "boot-2"} {
			t.Run(fmt.Sprint(wrong, " ", boot), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					o := w.options()
					c := w.start1(t, o)
					wantState(t, c, license.StateValid)
					_ = c.Close()
					w.net.cut("one.test", true)
					w.bootID = boot
					w.setClock(wrong)
					c = w.start1(t, o)
					pass(10 * time.Second)
					_ = c.Close() // what the wrong clock showed must not be stored
					c = w.open(t, o)
					pass(10 * time.Second)
					w.setClock(0)
					pass(5 * time.Second)
					wantState(t, c, license.StateValid)
				})
			})
		}
	}
}

// A machine that starts with a wrong clock is served. A license file works once the clock is right.
func TestAFirstStartWithAWrongClock(t *testing.T) {
	for _, wrong := range wrongClocks() {
		t.Run(fmt.Sprint(wrong), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.setClock(wrong)
				online := w.open(t, w.options())
				if !online.State().Full() || !online.Enabled("export") {
					t.Errorf("online: %s", online.Why())
				}
				seat, err := online.Acquire(t.Context(), "seats", AcquireOptions{})
				if err != nil || !seat.State().Full() {
					t.Errorf("a seat: %v, %s", err, seat.State())
				}
				o := w.options()
				o.LicenseFile, o.Endpoints = writeFile(t, w.bundle()), nil
				offline := w.open(t, o)
				pass(time.Minute)
				w.setClock(0)
				pass(5 * time.Second)
				wantState(t, online, license.StateValid)
				wantState(t, offline, license.StateValid)
				if !seat.State().Full() {
					t.Errorf("the seat is %s", seat.State())
				}
			})
		})
	}
}

// A server with a wrong clock does no lasting harm. Once it is corrected, its next answer corrects
// its programs. (Nobody accepts what it signs outside the dates of its keys.)
func TestAServersWrongClockIsForgotten(t *testing.T) {
	for _, wrong := range wrongClocks() {
		t.Run(fmt.Sprint(wrong), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				o := w.options()
				o.CacheDir = t.TempDir()
				w.set(func() { w.now = func() time.Time { return time.Now().Add(wrong) } })
				c := w.open(t, o)
				_ = c.Close()
				w.set(func() { w.now = time.Now; w.doc.Seq.Counter++ })
				c = w.open(t, o)
				pass(10 * time.Second)
				wantState(t, c, license.StateValid)
				if now := c.clock.read(); now.doubt || now.now > time.Now().Unix()+clockTolerance {
					t.Errorf("the client's time is %v off", time.Until(time.Unix(now.now, 0)))
				}
			})
		})
	}
}

// Turning the clock back gains nothing, not even across a restart.
func TestTurningTheClockBackGainsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dates = span{60, 120, 420, 1260, 3060}
		o := w.options()
		c := w.start1(t, o)
		w.net.cut("one.test", true)
		w.setClock(-year)
		pass(430 * time.Second)
		wantState(t, c, license.StateGrace)
		_ = c.Close()
		c = w.open(t, o)
		wantState(t, c, license.StateGrace)
		pass(850 * time.Second)
		wantState(t, c, license.StateDegraded)
	})
}

// A clock that is set forward uses up the grace and nothing more.
func TestDoubtSpendsTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dates = span{600, 1200, 4000, 5000, 90000}
		c := w.open(t, w.options())
		w.net.cut("one.test", true)
		pass(10 * time.Second)
		w.setClock(year)
		pass(900 * time.Second)
		wantState(t, c, license.StateGrace)
		if s := c.Standing(); s.Cause != license.CauseClock {
			t.Errorf("cause %s", s.Cause)
		}
		pass(110 * time.Second)
		wantState(t, c, license.StateDenied)
		w.setClock(0)
		pass(2 * time.Second)
		wantState(t, c, license.StateValid)
	})
}

// The clock of a machine that slept is not in doubt, because the boot clock includes the sleep.
func TestSleepIsTime(t *testing.T) {
	c := &clock{wall: func() time.Time { return time.Unix(1000, 0) }, boot: func() time.Duration { return time.Hour }}
	c.advance(1000, true)
	c.wall = func() time.Time { return time.Unix(1000+8*3600, 0) }
	c.boot = func() time.Duration { return 9 * time.Hour }
	if r := c.read(); r.doubt || r.now != 1000+8*3600 {
		t.Errorf("%+v", r)
	}
}

// A server's clock was ahead and has been corrected. The dates in the current documents are now far
// away, so all of them are renewed.
func TestATimeThatIsTakenBackRenewsEverything(t *testing.T) {
	boot := time.Hour
	c := &Client{sys: system{boot: func() time.Duration { return boot }}}
	c.clock = clock{wall: func() time.Time { return time.Unix(1000, 0) }, boot: c.sys.boot}
	l := &Lease{}
	c.leases = append(c.leases, l)
	if c.clock.advance(1_000_000, true) {
		t.Error("a later time set the mark back")
	}
	c.refresh.between([2]int64{1_000_100, 1_000_200})
	l.renew.between([2]int64{1_000_100, 1_000_200})
	if c.clock.advance(2000, false) || !c.clock.advance(2000, true) {
		t.Fatal("something other than a fresh answer set the time back")
	}
	c.renewAll()
	if now := c.clock.read().now; !c.refresh.due(now, boot) || !l.renew.due(now, boot) {
		t.Error("nothing is requested until the wrong time arrives")
	}
}

func TestTheWallClockIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.setClock(20 * year)
		o := w.options()
		c := w.open(t, o)
		pass(time.Minute)
		kept := readSlot(c.drawer.slot)
		if kept.Clock.Signed == 0 || kept.Clock.Signed > time.Now().Unix() {
			t.Errorf("kept %+v", kept.Clock)
		}
		content, err := os.ReadFile(filepath.Join(c.drawer.slot, "state.1"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), fmt.Sprint(time.Now().Add(20 * year).Unix())[:5]) {
			t.Error("the wall clock is in the file")
		}
	})
}

func TestBootClockRuns(t *testing.T) {
	boot := newBootClock()
	a := boot()
	if b := boot(); a <= 0 || b < a {
		t.Errorf("%v then %v", a, b)
	}
}
