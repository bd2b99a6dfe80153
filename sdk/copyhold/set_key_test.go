//go:build go1.25

package copyhold

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// heldBy returns how many units of a license the server has granted.
func (v *vendor) heldBy(subject string) (units int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, h := range v.leases {
		if h.license == subject {
			units += h.units
		}
	}
	return units
}

func TestAProgramWithoutAKeyWaitsForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := twoLicenses(t)
		a.Key = ""
		if _, err := open(t.Context(), a, w.system()); !errors.Is(err, ErrOptions) {
			t.Fatalf("Open without a key: %v", err)
		}
		a.AllowNoKey = true
		var to []license.State
		a.OnChange = func(c Change) { to = append(to, c.To.State) }
		c := w.open(t, a)
		pass(time.Hour)
		wantState(t, c, license.StateNone)
		if n := w.count("POST /v1/validate"); n != 0 {
			t.Errorf("a server was asked %d times without a key", n)
		}
		_, err := c.Acquire(t.Context(), "seats", AcquireOptions{})
		for what, err := range map[string]error{
			"Acquire": err, "Refresh": c.Refresh(t.Context()), "Record": c.Record("calls", 1), "LastError": c.LastError(),
		} {
			if !errors.Is(err, ErrNoKey) || errors.Is(err, ErrDenied) {
				t.Errorf("%s: %v", what, err)
			}
		}
		contains(t, c.Check("export").Reason, "no license key is set")
		must(t, c.SetKey(t.Context(), testKey))
		wantLicense(t, c, "lic_a")
		wantState(t, c, license.StateValid)
		acquire(t, c, AcquireOptions{})
		must(t, c.RecordUsage(Usage{ID: "a", Meter: "calls", Quantity: "1"}))
		must(t, c.Close())
		if len(to) != 1 || to[0] != license.StateValid || w.charged["a"] != "lic_a" || c.LastError() != nil {
			t.Errorf("reported %v, charged %v, %v", to, w.charged, c.LastError())
		}
		w.net.cut("one.test", true)
		wantState(t, w.open(t, a), license.StateNone) // without a key there is no license
		a.Key = testKey
		wantLicense(t, w.open(t, a), "lic_a")
	})
}

// A key that SetKey refuses changes nothing: the lease is renewed with the earlier key.
func TestARefusedKeyChangesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		key    string
		spoil  func(w *world)
		is     []error
		isnt   []error
		within time.Duration
	}{
		"mistyped":     {key: "CH-04001-01000-00000-00000-00000-00000-04KEJ", is: []error{ErrRequest, license.ErrLicenseKey}, isnt: []error{ErrDenied, ErrUnavailable}},
		"empty":        {key: " ", is: []error{ErrRequest}, isnt: []error{ErrDenied, ErrUnavailable}},
		"unknown":      {key: unknownKey, is: []error{ErrKeyRefused, ErrUnavailable}, isnt: []error{ErrDenied}},
		"silent":       {key: otherKey, spoil: func(w *world) { w.between(silent) }, is: []error{ErrUnavailable}, isnt: []error{ErrDenied, ErrKeyRefused}, within: foregroundTimeout},
		"disconnected": {key: otherKey, spoil: func(w *world) { w.net.cut("one.test", true) }, is: []error{ErrUnavailable}, isnt: []error{ErrDenied, ErrKeyRefused}, within: foregroundTimeout},
		"denied": {key: otherKey, spoil: func(w *world) {
			w.denials = map[string]license.Decision{"lic_b": {Outcome: license.Denied, Code: license.CodeWrongProduct, Reason: "the license is for another product"}}
		}, is: []error{ErrDenied}, isnt: []error{ErrUnavailable}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, a, _ := twoLicenses(t)
				w.dates = span{60, 120, 420, 1260, 3060}
				c := w.open(t, a)
				seat := acquire(t, c, AcquireOptions{})
				id := seat.ID()
				pass(time.Minute)
				asked := w.count("POST /v1/validate")
				if tc.spoil != nil {
					tc.spoil(w)
				}
				var err error
				if d := took(func() { err = c.SetKey(t.Context(), tc.key) }); d > tc.within {
					t.Errorf("SetKey took %v", d)
				}
				for _, kind := range tc.is {
					if !errors.Is(err, kind) {
						t.Errorf("%v is not %v", err, kind)
					}
				}
				for _, kind := range tc.isnt {
					if errors.Is(err, kind) {
						t.Errorf("%v is %v", err, kind)
					}
				}
				if errors.Is(err, ErrRequest) && w.count("POST /v1/validate") != asked {
					t.Error("a mistyped key was sent")
				}
				w.between(nil)
				w.net.cut("one.test", false)
				pass(40 * time.Minute) // longer than anything signed before lasts
				wantLicense(t, c, "lic_a")
				wantState(t, c, license.StateValid)
				if seat.State() != license.StateValid || seat.ID() != id || c.LastError() != nil {
					t.Errorf("the seat is %s: %v", seat.Decision(), c.LastError())
				}
			})
		})
	}
}

// When the key belongs to another license, the data of each license stays separate.
func TestAnotherKeyTakesItsOwnLicense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		w.capacity = 4
		c := w.start1(t, a)
		borrowed, seat := acquire(t, c, AcquireOptions{For: 24 * time.Hour}), acquire(t, c, AcquireOptions{})
		away := borrowed.ID()
		must(t, c.RecordUsage(Usage{ID: "a", Meter: "calls", Quantity: "1"}))
		must(t, c.SetKey(t.Context(), otherKey))
		wantLicense(t, c, "lic_b")
		must(t, c.RecordUsage(Usage{ID: "b", Meter: "calls", Quantity: "1"}))
		pass(3 * time.Minute)
		if seat.State() != license.StateValid || w.heldBy("lic_b") != 2 {
			t.Errorf("the seat is %s, %d units of the new license are held", seat.Decision(), w.heldBy("lic_b"))
		}
		if n := w.heldBy("lic_a"); n != 1 {
			t.Errorf("%d units of the earlier license are held, want the borrowed one", n)
		}
		must(t, c.Close())
		if w.charged["a"] != "lic_a" || w.charged["b"] != "lic_b" {
			t.Errorf("charged %v", w.charged)
		}
		w.net.cut("one.test", true)
		c = w.start1(t, a)
		wantLicense(t, c, "lic_a")
		if l := acquire(t, c, AcquireOptions{For: 24 * time.Hour}); l.ID() != away {
			t.Errorf("the borrowed unit is %s, want %s", l.ID(), away)
		}
		if l, err := c.Acquire(t.Context(), "seats", AcquireOptions{}); err == nil {
			t.Errorf("the seat %s was given back, but it was reused from the cache", l.ID())
		}
		_ = c.Close()
		wantLicense(t, w.open(t, b), "lic_b")
	})
}

func TestReleasingALeaseOfTheLicenseBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := twoLicenses(t)
		c := w.open(t, a)
		seat := acquire(t, c, AcquireOptions{})
		w.set(func() { w.capacity = 0 }) // the new license has no unit free
		must(t, c.SetKey(t.Context(), otherKey))
		pass(5 * time.Minute)
		if seat.State() != license.StateValid || w.heldBy("lic_a") != 1 {
			t.Errorf("the seat is %s", seat.Decision())
		}
		must(t, seat.Release(t.Context()))
		if n := w.heldBy("lic_a"); n != 0 {
			t.Errorf("%d units of the earlier license are still held", n)
		}
	})
}

func TestTheFallbackOfAnotherLicenseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := twoLicenses(t)
		w.capacity, w.full = 0, "fallback"
		c := w.open(t, a)
		seat := acquire(t, c, AcquireOptions{})
		if !seat.Fallback() || c.Feature("layers").Int() != 5 {
			t.Fatalf("%s, %d layers", seat.Decision(), c.Feature("layers").Int())
		}
		must(t, c.SetKey(t.Context(), otherKey))
		select {
		case <-seat.Ended():
		default:
			t.Error("the fallback of the earlier license continues")
		}
		if c.Feature("layers").Int() != 50 {
			t.Errorf("%d layers", c.Feature("layers").Int())
		}
	})
}

// A key whose license is in the cache needs no server.
func TestAKnownKeyIsSetOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		w.dates = span{60, 120, 420, 1260, 3060}
		w.once(t, b)
		c := w.open(t, a)
		w.net.cut("one.test", true)
		must(t, c.SetKey(t.Context(), otherKey))
		wantLicense(t, c, "lic_b")
		wantState(t, c, license.StateValid)
		if err := c.SetKey(t.Context(), unknownKey); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		wantLicense(t, c, "lic_b")
		pass(time.Hour) // past the offline grace of both
		if err := c.SetKey(t.Context(), testKey); !errors.Is(err, ErrUnavailable) {
			t.Errorf("an expired license was used from the cache: %v", err)
		}
		w.net.cut("one.test", false)
		pass(time.Minute) // the client avoids a server that failed for a moment
		must(t, c.SetKey(t.Context(), testKey))
		wantLicense(t, c, "lic_a")
	})
}

// A signed denial that is newer than the document counts.
func TestARevokedLicenseIsNotSetOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		w.once(t, b)
		w.denials = map[string]license.Decision{"lic_b": {Outcome: license.Denied, Code: license.CodeRevoked, State: license.StateDenied}}
		pass(time.Minute)
		w.once(t, b)
		c := w.open(t, a)
		w.net.cut("one.test", true)
		if err := c.SetKey(t.Context(), otherKey); !errors.Is(err, ErrUnavailable) {
			t.Errorf("SetKey: %v", err)
		}
		wantLicense(t, c, "lic_a")
	})
}

func TestUsageInMemoryIsNotLostToAnotherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := twoLicenses(t)
		a.CacheDir = "-"
		c := w.open(t, a)
		must(t, c.RecordUsage(Usage{ID: "a", Meter: "calls", Quantity: "1"}))
		w.between(refusing("/v1/usage"))
		if err := c.SetKey(t.Context(), otherKey); !errors.Is(err, ErrUnavailable) {
			t.Errorf("SetKey: %v", err)
		}
		wantLicense(t, c, "lic_a")
		w.between(nil)
		must(t, c.SetKey(t.Context(), otherKey))
		if w.charged["a"] != "lic_a" {
			t.Errorf("charged %v", w.charged)
		}
		wantLicense(t, c, "lic_b")
	})
}

func TestAKeyFileIsNotReadOnceAKeyIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := twoLicenses(t)
		a.Key, a.KeyFile = "", writeFile(t, []byte(testKey))
		c := w.open(t, a)
		must(t, c.SetKey(t.Context(), otherKey))
		pass(5 * time.Minute)
		must(t, c.Refresh(t.Context()))
		wantLicense(t, c, "lic_b")
	})
}

func TestSetKeyEndsWithItsContextAndItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := twoLicenses(t)
		c := w.open(t, a)
		w.between(silent)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if d := took(func() {
			if err := c.SetKey(ctx, otherKey); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}); d != time.Second {
			t.Errorf("took %v", d)
		}
		w.between(nil)
		_ = c.Close()
		for _, c := range []*Client{c, nil} {
			if err := c.SetKey(t.Context(), otherKey); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
		}
	})
}

// refusing answers 503 to one path.
func refusing(path string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// A seat that an earlier process left belongs to its license. A key of another license does not
// reuse it.
func TestAnotherKeysSeatIsNotTakenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := twoLicenses(t)
		c := w.start1(t, a)
		id := acquire(t, c, AcquireOptions{For: 24 * time.Hour}).ID()
		must(t, c.Close())
		c = w.open(t, a)
		must(t, c.SetKey(t.Context(), otherKey))
		if l := acquire(t, c, AcquireOptions{For: 24 * time.Hour}); l.ID() == id || w.heldBy("lic_b") != 1 {
			t.Errorf("the seat %s of the earlier license was reused for the new one", l.ID())
		}
		if w.heldBy("lic_a") != 1 {
			t.Error("the borrowed unit of the earlier license was given back")
		}
	})
}
