//go:build go1.25

package copyhold

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// recall makes the vendor recall a lease, and notifies the streams if hint is set.
func (v *vendor) recall(id string, grace time.Duration, hint bool) {
	v.set(func() { v.leases[id].recall = grace })
	if hint {
		v.announce(fmt.Sprintf(`recall {"lease":%q}`, id))
	}
}

// TestARecalledLeaseIsGivenBackAfterItsGrace repeats this a hundred times: the lease is given back
// within seconds, and it is not acquired again.
func TestARecalledLeaseIsGivenBackAfterItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.capacity = 100
		o := w.options()
		told := map[*Lease]Recall{}
		o.OnRecall = func(r Recall) {
			w.mu.Lock()
			defer w.mu.Unlock()
			told[r.Lease] = r
			panic("an error in the program")
		}
		c := w.open(t, o)
		pass(15 * time.Second) // until the stream is open
		for n := range 100 {
			l := acquire(t, c, AcquireOptions{Instance: fmt.Sprint("job-", n)})
			w.recall(l.id(), 30*time.Second, true)
			at := w.now()
			pass(5 * time.Second)
			w.mu.Lock()
			r, heard := told[l]
			w.mu.Unlock()
			if same, is := l.Recalled(); !heard || !is || same != r || r.Reason != "needed" || r.Until.Sub(at) < 29*time.Second || l.State() != license.StateValid {
				t.Fatalf("recall %d: told %v, %+v, %s", n, heard, r, l.State())
			}
			pass(r.Until.Sub(w.now()) - time.Second)
			if l.Decision().Outcome != license.Allowed || w.live() != 1 {
				t.Fatalf("recall %d took the lease before its grace was over: %+v", n, l.Decision())
			}
			pass(5 * time.Second)
			select {
			case <-l.Ended():
			default:
				t.Fatalf("recall %d: the lease continues: %+v", n, l.Decision())
			}
			if d := l.Decision(); d.Code != license.CodeRecalled || d.Outcome != license.Denied || w.live() != 0 {
				t.Fatalf("recall %d: %+v, %d at the server", n, d, w.live())
			}
		}
		pass(time.Hour)
		if n := w.count("POST /v1/leases"); n != 100 || w.live() != 0 {
			t.Errorf("%d acquires, %d leases: it was taken again", n, w.live())
		}
	})
}

// TestAProgramGivesARecalledLeaseBackEarly: if the program saves its work and releases early, the
// unit is free at once.
func TestAProgramGivesARecalledLeaseBackEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		o.OnRecall = func(r Recall) {
			if err := r.Lease.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
		c := w.open(t, o)
		pass(15 * time.Second)
		l := acquire(t, c, AcquireOptions{})
		w.recall(l.id(), time.Hour, true)
		pass(5 * time.Second)
		if w.live() != 0 {
			t.Error("the lease is still held")
		}
	})
}

// TestAHintRecallsNothing: an event that no signed lease confirms only causes a renewal of the
// lease, at most once a minute.
func TestAHintRecallsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		o.OnRecall = func(Recall) { t.Error("an unsigned hint recalled a lease") }
		c := w.open(t, o)
		pass(15 * time.Second)
		l := acquire(t, c, AcquireOptions{})
		for range 60 {
			for _, event := range []string{fmt.Sprintf(`recall {"lease":%q}`, l.id()), `recall {"lease":"lea_9"}`, `recall {}`, `recall [`, `recall`} {
				w.announce(event)
			}
			pass(2 * time.Second)
		}
		if n := w.count("POST /v1/leases/{id}/renew"); n < 1 || n > 3 {
			t.Errorf("%d renewals in two minutes of hints", n)
		}
		if l.State() != license.StateValid {
			t.Errorf("%+v", l.Decision())
		}
	})
}

// TestARecallThatNoStreamToldComesWithTheNextRenewal: it ends by the boot clock, even if the wall
// clock stands still.
func TestARecallThatNoStreamToldComesWithTheNextRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		l := acquire(t, c, AcquireOptions{})
		w.recall(l.id(), 30*time.Second, false)
		pass(6 * time.Minute) // leases refresh after five
		if _, is := l.Recalled(); !is || w.live() != 0 {
			t.Errorf("recalled %v, %d at the server", is, w.live())
		}
	})
}
