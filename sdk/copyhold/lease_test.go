//go:build go1.25

package copyhold

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

func (v *vendor) live() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.leases)
}

func acquire(t *testing.T, c *Client, o AcquireOptions) *Lease {
	t.Helper()
	l, err := c.Acquire(t.Context(), "seats", o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestALeaseIsRenewedAndReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		l := acquire(t, c, AcquireOptions{})
		pass(2 * time.Hour)
		if l.State() != license.StateValid || l.Units() != 1 || l.Pool() != "seats" || l.ID() == "" {
			t.Errorf("after two hours: %s, %+v", l.State(), l.Decision())
		}
		if n := w.count("POST /v1/leases/{id}/renew"); n < 20 || n > 25 {
			t.Errorf("%d renewals in two hours of leases that refresh after 5 minutes", n)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("releasing twice: %v", err)
		}
		<-l.Ended()
		if l.State() != license.StateDenied || w.live() != 0 {
			t.Errorf("released: %s, %d at the server", l.State(), w.live())
		}
	})
}

func TestADenialTellsWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		acquire(t, c, AcquireOptions{Units: 2})
		_, err := c.Acquire(t.Context(), "seats", AcquireOptions{})
		var d *DecisionError
		if !errors.As(err, &d) || !errors.Is(err, ErrDenied) || errors.Is(err, ErrUnavailable) {
			t.Fatalf("third of two: %v", err)
		}
		if d.Decision.Code != license.CodePoolFull || d.Decision.FreeAt == 0 {
			t.Errorf("%+v", d.Decision)
		}
		contains(t, err.Error(), "all seats are taken")
	})
}

// A server that reports an invalid request is up; the program is at fault.
func TestARequestThatCannotBeRightIsNoOutage(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		right  bool // whether the request may be valid, so that the answer is an outage
	}{
		"a faulty holder":        {422, `{"code":"invalid","detail":"holder.id contains spaces","field":"holder.id"}`, false},
		"a body out of shape":    {400, `{"code":"invalid","detail":"holder.id contains spaces"}`, false},
		"a proxy's page":         {400, `<html>`, true},
		"another interface's":    {422, `{"code":"unprocessable"}`, true},
		"a code on other status": {502, `{"code":"invalid"}`, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.net.serve(t, "two.test", w.handler())
			o := w.options()
			o.Endpoints = append(o.Endpoints, "http://two.test")
			c := w.open(t, o)
			held := acquire(t, c, AcquireOptions{})
			asked := w.count("POST /v1/leases")
			w.between(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/v1/leases" {
						asked++
						constant(tc.status, "application/problem+json", tc.body)(next).ServeHTTP(rw, r)
						return
					}
					next.ServeHTTP(rw, r)
				})
			})
			before := asked
			_, err := c.Acquire(t.Context(), "seats", AcquireOptions{})
			if errors.Is(err, ErrDenied) || errors.Is(err, ErrUnavailable) != tc.right || errors.Is(err, ErrRequest) == tc.right {
				t.Errorf("%s: %v", name, err)
			}
			if !tc.right {
				contains(t, err.Error(), "holder.id contains spaces")
				if strings.Contains(err.Error(), "no server answered") || asked-before > 2 {
					t.Errorf("%s: asked %d times: %v", name, asked-before, err)
				}
			}
			wantState(t, c, license.StateValid)
			if held.State() != license.StateValid {
				t.Errorf("%s: the seat is %s", name, held.State())
			}
		})
	}
}

func TestWaitingGetsAUnitThatBecomesFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.capacity = 1
		c := w.open(t, w.options())
		first := acquire(t, c, AcquireOptions{})
		w.between(slowQueue)
		go func() {
			time.Sleep(time.Minute)
			_ = first.Release(t.Context())
		}()
		second := acquire(t, c, AcquireOptions{Wait: 5 * time.Minute})
		if second.State() != license.StateValid {
			t.Error(second.Decision())
		}
	})
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.capacity = 0
		w.between(slowQueue)
		c := w.open(t, w.options())
		began := time.Now()
		_, err := c.Acquire(t.Context(), "seats", AcquireOptions{Wait: time.Minute})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 70*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if w.count("DELETE /v1/tickets/{id}") != 1 {
			t.Error("the place in the queue was not given up")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began = time.Now()
		if _, err := c.Acquire(ctx, "seats", AcquireOptions{Wait: time.Hour}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 6*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestAFullPoolMayLeaveTheFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.capacity, w.full = 0, "fallback"
		c := w.open(t, w.options())
		l := acquire(t, c, AcquireOptions{})
		if !l.Fallback() || l.Units() != 0 {
			t.Errorf("%+v", l.Decision())
		}
		if c.Enabled("export") || c.Feature("layers").Int() != 5 || c.State() != license.StateValid {
			t.Errorf("features are not the fallback's: %s", c.Why())
		}
		if err := l.Release(t.Context()); err != nil || !c.Enabled("export") {
			t.Errorf("released: %v", err)
		}
	})
}

func TestALeaseOutlivesAnOutageByItsDates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		l := acquire(t, c, AcquireOptions{})
		w.net.cut("one.test", true)
		for _, step := range []struct {
			wait time.Duration
			want license.State
		}{{9 * time.Minute, license.StateValid}, {2 * time.Minute, license.StateStale}, {5 * time.Minute, license.StateGrace}, {60 * time.Minute, license.StateDenied}} {
			pass(step.wait)
			if l.State() != step.want {
				t.Fatalf("%s, want %s", l.State(), step.want)
			}
		}
		<-l.Ended()
		w.set(func() { clear(w.leases) }) // the server reclaimed them in the meantime
		w.net.cut("one.test", false)
		pass(10 * time.Minute)
		if l.State() != license.StateValid || w.live() != 1 {
			t.Errorf("not acquired again: %+v", l.Decision())
		}
	})
}

func TestACloneLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told []Change
		o := w.options()
		o.OnChange = func(ch Change) {
			if ch.Lease != nil {
				told = append(told, ch)
			}
		}
		c := w.open(t, o)
		l := acquire(t, c, AcquireOptions{})
		w.set(func() { w.leases[l.id()].generation++ })
		pass(6 * time.Minute)
		if d := l.Decision(); d.Code != license.CodeClone || d.State != license.StateDenied {
			t.Errorf("%+v", d)
		}
		if len(told) != 1 || told[0].Lease != l {
			t.Errorf("told %v", told)
		}
	})
}

func (l *Lease) id() string { return l.doc.Lease }

func TestAProcessThatRestartsTakesItsLeaseUpOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		c := w.start1(t, o)
		id := acquire(t, c, AcquireOptions{For: time.Hour}).ID()
		_ = c.Close()
		if w.live() != 1 {
			t.Fatal("Close gave a borrowed unit back")
		}
		w.net.cut("one.test", true)
		c = w.start1(t, o)
		if got := acquire(t, c, AcquireOptions{For: time.Hour}).ID(); got != id {
			t.Errorf("lease %s, want %s", got, id)
		}
		_, err := c.Acquire(t.Context(), "seats", AcquireOptions{})
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("another, offline: %v", err)
		}
		_ = c.Close()
	})
}

func TestCloseGivesLeasesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.start1(t, w.options())
		acquire(t, c, AcquireOptions{})
		acquire(t, c, AcquireOptions{Instance: "another"})
		if w.live() != 2 {
			t.Fatal(w.live())
		}
		_ = c.Close()
		if w.live() != 0 {
			t.Errorf("%d are still held", w.live())
		}
	})
}

func TestWhatCouldNotBeGivenBackIsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		c := w.start1(t, o)
		l := acquire(t, c, AcquireOptions{})
		acquire(t, c, AcquireOptions{Instance: "another"})
		w.net.cut("one.test", true)
		if err := l.Release(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("releasing offline: %v", err)
		}
		_ = c.Close()
		w.net.cut("one.test", false)
		w.open(t, o)
		pass(2 * time.Minute)
		if w.live() != 0 {
			t.Errorf("%d are still held", w.live())
		}
	})
}

func TestACrashedProcessesLeaseIsGivenBackByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		c := w.start1(t, o)
		acquire(t, c, AcquireOptions{})
		crashed := readSlot(c.drawer.slot)
		_ = c.Close()
		w.set(func() {
			w.leases["lea_1"] = &held{id: "lea_1", pool: "seats", units: 1, generation: 1, instance: c.instance, holder: c.holder}
		})
		if err := writeSlot(c.drawer.slot, crashed); err != nil {
			t.Fatal(err)
		}
		w.open(t, o)
		pass(2 * time.Minute)
		if w.live() != 0 {
			t.Errorf("%d are still held", w.live())
		}
	})
}

func TestEachAcquireTakesUnitsOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.capacity = 3
		o := w.options()
		c := w.open(t, o)
		a, b := acquire(t, c, AcquireOptions{}), acquire(t, c, AcquireOptions{})
		other := acquire(t, w.open(t, o), AcquireOptions{}) // another process that uses the same folder
		if w.live() != 3 || a.ID() == b.ID() || b.ID() == other.ID() {
			t.Fatalf("%d leases", w.live())
		}
		pass(time.Hour)
		for _, l := range []*Lease{a, b, other} {
			if l.State() != license.StateValid {
				t.Errorf("%+v", l.Decision())
			}
		}
	})
}

func TestALeaseWithoutEndStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		c := w.start1(t, o)
		activate := func() *Lease {
			l, err := c.Acquire(t.Context(), "machines", AcquireOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		first := activate()
		if second := activate(); second != first || w.live() != 1 {
			t.Errorf("%d activations of one machine", w.live())
		}
		id := first.ID()
		_ = c.Close()
		if w.live() != 1 {
			t.Fatal("Close deactivated the machine")
		}
		w.net.cut("one.test", true)
		c = w.start1(t, o)
		if activate().ID() != id {
			t.Error("the activation was not reused offline")
		}
		w.net.cut("one.test", false)
		pass(time.Hour)
		if err := activate().Release(t.Context()); err != nil || w.live() != 0 {
			t.Errorf("deactivating: %v, %d held", err, w.live())
		}
		_ = c.Close()
	})
}

// After the answer to a renewal was lost, the repeated request is the same, even after a crash. The
// server must not take it for a copy's.
func TestALostRenewalIsNotAClone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		c := w.open(t, o)
		l := acquire(t, c, AcquireOptions{})
		var lost atomic.Int32
		w.between(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/renew") && lost.Load() < 2 {
					lost.Add(1)
					next.ServeHTTP(discard{rw.Header()}, r)
					panic(http.ErrAbortHandler)
				}
				next.ServeHTTP(rw, r)
			})
		})
		pass(5*time.Minute + 2*time.Second)
		kept := readSlot(c.drawer.slot).Leases
		if lost.Load() != 1 || len(kept) != 1 || kept[0].Nonce == "" {
			t.Errorf("%d lost, the question is not kept: %+v", lost.Load(), kept)
		}
		pass(20 * time.Minute)
		if lost.Load() != 2 || l.State() != license.StateValid {
			t.Errorf("%d lost: %+v", lost.Load(), l.Decision())
		}
	})
}

// A client that lost the answer to a renewal can still give the unit back.
func TestALostRenewalIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		l := acquire(t, c, AcquireOptions{})
		var lost atomic.Int32
		w.between(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/renew") {
					if lost.Add(1) == 1 {
						next.ServeHTTP(discard{rw.Header()}, r)
					}
					panic(http.ErrAbortHandler)
				}
				next.ServeHTTP(rw, r)
			})
		})
		pass(5*time.Minute + 2*time.Second)
		if lost.Load() == 0 {
			t.Fatal("nothing was renewed")
		}
		if err := l.Release(t.Context()); err != nil || w.live() != 0 {
			t.Errorf("releasing: %v; %d are still held", err, w.live())
		}
	})
}

// Units that are given back during a renewal stay given back. The server no longer knows the lease,
// but the client does not ask it for other units.
func TestWhatIsReleasedDuringARenewalIsNotTakenAgain(t *testing.T) {
	for _, path := range []string{"/v1/leases/lea_1/renew", "/v1/leases"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				c := w.open(t, w.options())
				l := acquire(t, c, AcquireOptions{})
				if path == "/v1/leases" { // the renewal led to a new acquire
					w.set(func() { clear(w.leases) })
				}
				arrived, released := make(chan struct{}), make(chan struct{})
				w.between(func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
						if r.URL.Path == path {
							w.between(nil)
							close(arrived)
							<-released
						}
						next.ServeHTTP(rw, r)
					})
				})
				<-arrived
				if err := l.Release(t.Context()); err != nil {
					t.Fatal(err)
				}
				close(released)
				pass(time.Minute)
				if w.live() != 0 || l.State() != license.StateDenied || len(readSlot(c.drawer.slot).Leases) != 0 {
					t.Errorf("%d are held, %+v", w.live(), l.Decision())
				}
			})
		})
	}
}

func TestAFullQueueWithoutWaitingIsADenial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.capacity, w.full = 0, "queue"
		_, err := w.open(t, w.options()).Acquire(t.Context(), "seats", AcquireOptions{})
		if !errors.Is(err, ErrDenied) || w.count("DELETE /v1/tickets/{id}") != 1 {
			t.Errorf("%v", err)
		}
	})
}

// A restored server has lost the lease. The client presents the signed document, which ordinary
// renewals do not contain.
func TestALeaseThatTheServerLostIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		l, err := c.Acquire(t.Context(), "seats", AcquireOptions{})
		if err != nil {
			t.Fatal(err)
		}
		id := l.ID()
		pass(20 * time.Minute)
		renewals := w.count("POST /v1/leases/{id}/renew")
		w.set(w.forget)
		pass(20 * time.Minute)
		if l.ID() != id || l.State() != license.StateValid {
			t.Errorf("the lease is %s now, and %s", l.ID(), l.State())
		}
		if n := w.count("POST /v1/leases/{id}/renew"); n < 2*renewals+1 || n > 2*renewals+2 || w.count("POST /v1/leases") != 1 {
			t.Errorf("%d renewals before, %d after: one of them twice", renewals, n-renewals)
		}
		w.set(w.forget)
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.set(func() {
			if len(w.lost) != 0 {
				t.Error("the lost lease was not given back")
			}
		})
	})
}
