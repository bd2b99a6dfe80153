//go:build go1.25

package copyhold

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

func (v *vendor) counted() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.usage)
}

func TestUsageIsSentOnceAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		for range 3 {
			if err := c.Record("calls", 2); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.RecordUsage(Usage{ID: "order-7", Meter: "calls", Quantity: "0.5"}, Usage{ID: "order-7", Meter: "calls", Quantity: "0.5"}); err != nil {
			t.Fatal(err)
		}
		pass(61 * time.Second)
		if w.counted() != 4 || c.Why().Usage != 0 {
			t.Errorf("%d events counted, %d wait", w.counted(), c.Why().Usage)
		}
		if n := w.count("POST /v1/usage"); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestUsageSurvivesOutagesAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		c := w.start1(t, o)
		w.net.cut("one.test", true)
		for range 1200 {
			if err := c.Record("calls", 1); err != nil {
				t.Fatal(err)
			}
		}
		pass(10 * time.Minute)
		_ = c.Close()
		neighbor := w.start1(t, o) // takes the free slot
		if n := neighbor.Why().Usage; n != 1200 {
			t.Errorf("%d events wait", n)
		}
		w.net.cut("one.test", false)
		pass(time.Hour)
		if w.counted() != 1200 {
			t.Errorf("%d of 1200 counted", w.counted())
		}
		_ = neighbor.Close()
	})
}

// If an answer is lost, the events are sent again with the same ids.
func TestALostAnswerCountsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		var lost atomic.Int32
		w.between(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/usage" && lost.Load() < 3 {
					lost.Add(1)
					next.ServeHTTP(discard{rw.Header()}, r)
					panic(http.ErrAbortHandler)
				}
				next.ServeHTTP(rw, r)
			})
		})
		for i := range 10 {
			if err := c.RecordUsage(Usage{ID: fmt.Sprint("e", i), Meter: "calls", Quantity: "1"}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Hour)
		if w.counted() != 10 || lost.Load() != 3 || c.Why().Usage != 0 {
			t.Errorf("%d counted after %d lost answers, %d wait", w.counted(), lost.Load(), c.Why().Usage)
		}
	})
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func TestADenialOfUsageIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		w.set(func() {
			w.quota, w.forged = &license.Decision{Outcome: license.Denied, Code: license.CodeQuotaSpent}, true
		})
		for _, signed := range []bool{false, true} {
			w.set(func() { w.forged = !signed })
			if err := c.Record("calls", 1); err != nil {
				t.Fatal(err)
			}
			pass(30 * time.Minute) // longer than any pause between two tries
			if denied := c.Quota("calls").Outcome == license.Denied; denied != signed {
				t.Errorf("signed %v: denied %v", signed, denied)
			}
		}
		if n := c.Why().Usage; n != 0 {
			t.Errorf("%d events are still unsent", n)
		}
	})
}

func TestUsageThatMakesNoSenseIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		for _, u := range []Usage{
			{Meter: "", Quantity: "1"}, {Meter: "calls"}, {Meter: "calls", Quantity: "1e9"}, {Meter: "calls", Quantity: "1.2.3"},
			{Meter: "calls", Quantity: "."}, {Meter: "calls", Quantity: "99999999999999999999"}, {Meter: "calls", Quantity: "--1"},
		} {
			if err := c.RecordUsage(u, Usage{Meter: "calls", Quantity: "1"}); err == nil {
				t.Errorf("%+v was recorded", u)
			}
		}
		if c.Why().Usage != 0 {
			t.Error("part of a refused call was recorded")
		}
	})
}

func TestAFullSpoolSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		o.SpoolLimit = 500
		c := w.open(t, o)
		w.net.cut("one.test", true)
		var err error
		for range 20 {
			err = errors.Join(err, c.Record("calls", 1))
		}
		if !errors.Is(err, ErrSpoolFull) {
			t.Error(err)
		}
	})
}

func TestUsageOfADeadSlotIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		first, second := w.start1(t, o), w.start1(t, o)
		if second.cache.slot != 1 || first.instance == second.instance || first.holder.ID != second.holder.ID {
			t.Fatalf("slots %d and %d", first.cache.slot, second.cache.slot)
		}
		w.net.cut("one.test", true)
		if err := second.Record("calls", 1); err != nil {
			t.Fatal(err)
		}
		_ = second.Close()
		_ = first.Close()
		w.net.cut("one.test", false)
		w.open(t, o) // slot 0
		pass(2 * time.Minute)
		if w.counted() != 1 {
			t.Errorf("%d counted", w.counted())
		}
	})
}
