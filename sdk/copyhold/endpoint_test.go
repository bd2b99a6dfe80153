//go:build go1.25

package copyhold

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// pair returns a world with a second server of the same vendor.
func pair(t *testing.T) (*world, Options) {
	w := newWorld(t)
	w.net.serve(t, "two.test", w.handler())
	o := w.options()
	o.Endpoints = []string{"http://one.test", "http://two.test/"}
	return w, o
}

func TestTheNextEndpointIsTriedAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o := pair(t)
		w.net.cut("one.test", true)
		began := time.Now()
		c := w.open(t, o)
		wantState(t, c, license.StateValid)
		if time.Since(began) > time.Second {
			t.Errorf("took %v", time.Since(began))
		}
		if c.Why().Endpoint != "http://two.test" {
			t.Errorf("endpoint %s", c.Why().Endpoint)
		}
		w.net.cut("one.test", false)
		acquire(t, c, AcquireOptions{})
		if c.Why().Endpoint != "http://two.test" {
			t.Error("the client left an endpoint that works")
		}
		w.net.cut("two.test", true)
		acquire(t, c, AcquireOptions{Instance: "another"})
		if c.Why().Endpoint != "http://one.test" {
			t.Error("the client stayed with an endpoint that does not work")
		}
	})
}

// Answers that were in flight when a server went down arrive after the next server was found.
func TestALateAnswerDoesNotLeadBackToAServerThatWent(t *testing.T) {
	one, two := &endpoint{url: "http://one.test"}, &endpoint{url: "http://two.test"}
	tr := &transport{boot: func() time.Duration { return 0 }, endpoints: []*endpoint{one, two}}
	late := tr.begin()
	tr.failed(one, errors.New("connection reset"), answer{})
	tr.succeeded(two, tr.begin())
	tr.succeeded(one, late)
	if in, _ := tr.health(); in != two.url {
		t.Errorf("asks %s", in)
	}
	tr.succeeded(one, tr.begin())
	if in, _ := tr.health(); in != one.url {
		t.Errorf("the client asks %s, but %s answered since then", in, one.url)
	}
}

func TestAFakeEndpointIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o := pair(t)
		w.net.serve(t, "fake.test", constant(200, "application/json", `{"decision":{"outcome":"allowed"}}`)(nil))
		o.Endpoints = []string{"http://fake.test", "http://two.test"}
		wantState(t, w.open(t, o), license.StateValid)
	})
}

// A silent endpoint costs one attempt and does not fail the call.
func TestASilentEndpointIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o := pair(t)
		w.net.serve(t, "silent.test", silent(nil))
		o.Endpoints = []string{"http://silent.test", "http://two.test"}
		began := time.Now()
		wantState(t, w.open(t, o), license.StateValid)
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestABrokenEndpointIsLeftAloneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		w.net.cut("one.test", true)
		for range 20 {
			if _, err := c.Acquire(t.Context(), "seats", AcquireOptions{}); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
		}
		w.net.mu.Lock()
		dials := w.net.dials
		w.net.mu.Unlock()
		if dials > 12 {
			t.Errorf("%d connections for 20 calls", dials)
		}
		w.net.cut("one.test", false)
		pass(46 * time.Second)
		acquire(t, c, AcquireOptions{})
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dates = span{60, 120, 420, 1260, 3060}
		c := w.open(t, w.options())
		asked := []time.Time{}
		w.between(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/validate" {
					w.set(func() { asked = append(asked, time.Now()) })
				}
				retryLater("120").ServeHTTP(rw, r)
			})
		})
		pass(20 * time.Minute)
		w.between(nil)
		w.vendor.mu.Lock()
		defer w.vendor.mu.Unlock()
		for i := 1; i < len(asked); i++ {
			if d := asked[i].Sub(asked[i-1]); d < 2*time.Minute || d > 4*time.Minute+5*time.Second {
				t.Errorf("the client asked again after %v", d)
			}
		}
		if len(asked) < 4 {
			t.Errorf("the client asked %d times", len(asked))
		}
		_ = c
	})
}

// During an outage of half an hour, a client asks rarely. It reconnects soon afterward.
func TestAnOutageIsNotAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dates = span{600, 14 * day, 15 * day, 21 * day, 51 * day}
		c := w.open(t, w.options())
		before := w.count("POST /v1/validate")
		tried := 0
		w.between(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/validate" {
					w.set(func() { tried++ })
				}
				rw.WriteHeader(http.StatusInternalServerError)
			})
		})
		pass(10*time.Minute + 30*time.Minute)
		w.between(nil)
		w.vendor.mu.Lock()
		if tried > 16 {
			t.Errorf("%d attempts in half an hour", tried)
		}
		w.vendor.mu.Unlock()
		pass(11 * time.Minute)
		if w.count("POST /v1/validate") == before {
			t.Errorf("the client did not reconnect: %s", c.Why())
		}
	})
}

func TestWrongOptionsAreTold(t *testing.T) {
	v := newVendor(t, time.Now)
	for name, spoil := range map[string]func(*Options){
		"no product":                func(o *Options) { o.Product = "" },
		"no source":                 func(o *Options) { o.Endpoints = nil },
		"no key":                    func(o *Options) { o.Key = "" },
		"no root set":               func(o *Options) { o.RootSet = nil },
		"a bad root set":            func(o *Options) { o.RootSet = []byte(`["a.b.c"]`) },
		"another issuer":            func(o *Options) { o.Issuer = "urn:copyhold:other" },
		"a bad key set":             func(o *Options) { o.KeySet = []byte(`["a.b.c"]`) },
		"a root set as the key set": func(o *Options) { o.KeySet = o.RootSet },
		"a stranger's key set":      func(o *Options) { o.KeySet = []byte(newVendor(t, time.Now).keys[0]) },
		"a bad endpoint":            func(o *Options) { o.Endpoints = []string{"ftp://x"} },
		"a mistyped key":            func(o *Options) { o.Key = testKey[:len(testKey)-1] + "Z" },
		"a lost key":                func(o *Options) { o.Key, o.KeyFile = "", "/does/not/exist" },
	} {
		o := v.options()
		spoil(&o)
		if c, err := open(t.Context(), o, realSystem(func(string) string { return "" })); err == nil {
			t.Errorf("%s: no error", name)
		} else if c.Enabled("export") || c.State() != license.StateNone || c.Close() != nil {
			t.Errorf("%s: a nil client does not answer", name)
		}
	}
}

func TestEachReasonIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o := pair(t)
		w.net.cut("one.test", true)
		w.net.cut("two.test", true)
		_, err := w.open(t, o).Acquire(t.Context(), "seats", AcquireOptions{})
		if !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		for _, url := range []string{"http://one.test: ", "http://two.test: "} {
			if n := strings.Count(err.Error(), url); n != 1 {
				t.Errorf("the error mentions %s %d times: %v", url, n, err)
			}
		}
	})
}
