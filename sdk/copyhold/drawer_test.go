//go:build go1.25

package copyhold

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// twoLicenses returns a world in which two keys belong to two licenses, and options with a cache.
func twoLicenses(t *testing.T) (w *world, a, b Options) {
	w = newWorld(t)
	w.owners = map[string]string{testKey: "lic_a", otherKey: "lic_b"}
	a = w.options()
	b = a
	b.Key = otherKey
	return w, a, b
}

// once runs a program from start to end.
func (w *world) once(t *testing.T, o Options) {
	t.Helper()
	if err := w.start1(t, o).Close(); err != nil {
		t.Fatal(err)
	}
}

func wantLicense(t *testing.T, c *Client, want string) {
	t.Helper()
	got := ""
	if doc := c.License(); doc != nil {
		got = doc.Subject
	}
	if got != want {
		t.Errorf("license %q, want %q\n%s", got, want, c.Why())
	}
}

// delayed makes a server answer after d.
func delayed(d time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body) // so that the handler notices the end of the connection
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			select {
			case <-time.After(d):
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})
	}
}

// took returns how long f takes.
func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func TestEachKeyHasItsOwnLicense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		w.once(t, a)
		for range 2 { // the second time from the cache
			c := w.start1(t, b)
			wantLicense(t, c, "lic_b")
			wantState(t, c, license.StateValid)
			_ = c.Close()
		}
		w.net.cut("one.test", true)
		for _, o := range []Options{a, b, a} {
			c := w.start1(t, o)
			wantState(t, c, license.StateValid)
			wantLicense(t, c, map[string]string{testKey: "lic_a", otherKey: "lic_b"}[o.Key])
			if c.holder.ID != c.cache.instance {
				t.Error("the holder does not belong to the folder")
			}
			_ = c.Close()
		}
	})
}

func TestAnUnknownKeyOfflineGivesNoneAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := twoLicenses(t)
		w.once(t, a)
		w.net.cut("one.test", true)
		a.Key = unknownKey
		c := w.open(t, a)
		wantState(t, c, license.StateNone)
		d := c.Check("export")
		if d.Outcome != license.Unavailable || d.Code != license.CodeNoLicense {
			t.Errorf("%+v", d)
		}
		contains(t, d.Reason, "no license of this license key")
		contains(t, d.Reason, "no server answered")
		w.net.cut("one.test", false)
		pass(11 * time.Minute)
		d = c.Check("export")
		if d.Outcome != license.Unavailable {
			t.Errorf("an unsigned 401 denies: %+v", d)
		}
		contains(t, d.Reason, "the license key was refused")
		contains(t, d.Reason, "this license key is not known")
		if strings.Contains(d.Reason, "no server answered") {
			t.Errorf("the reason mentions an outage: %s", d.Reason)
		}
	})
}

// A key that the document lists, such as an added or rotated one, needs no server.
func TestADocumentListsItsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		w.listed = []string{otherKey}
		w.once(t, a)
		w.net.cut("one.test", true)
		for name, o := range map[string]Options{"the key that fetched it": a, "a key that it lists": b} {
			c := w.start1(t, o)
			if wantLicense(t, c, "lic_a"); c.State() != license.StateValid {
				t.Errorf("%s: %s", name, c.Why())
			}
			_ = c.Close()
		}
		b.Key, b.Wait = unknownKey, -1
		wantState(t, w.open(t, b), license.StateNone)
	})
}

func TestUsageIsNeverSentWithAnothersKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		c := w.start1(t, a)
		pass(time.Second)
		w.net.cut("one.test", true)
		if err := c.RecordUsage(Usage{ID: "a", Meter: "calls", Quantity: "1"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err == nil {
			t.Fatal("Close reports that the usage was sent")
		}
		w.net.cut("one.test", false)
		c = w.start1(t, b)
		if err := c.RecordUsage(Usage{ID: "b", Meter: "calls", Quantity: "1"}); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		_ = c.Close()
		if len(w.charged) != 1 || w.charged["b"] != "lic_b" {
			t.Errorf("%v", w.charged)
		}
		w.once(t, a)
		if w.charged["a"] != "lic_a" {
			t.Errorf("%v", w.charged)
		}
	})
}

// Usage that was recorded before a server was ever reached belongs to the key.
func TestUsageBeforeTheFirstContactBelongsToTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		w.net.cut("one.test", true)
		for id, o := range map[string]Options{"a": a, "b": b} {
			c := w.start1(t, o)
			if err := c.RecordUsage(Usage{ID: id, Meter: "calls", Quantity: "1"}); err != nil {
				t.Fatal(err)
			}
			_ = c.Close()
		}
		w.net.cut("one.test", false)
		pass(time.Minute)
		w.once(t, b)
		if len(w.charged) != 1 || w.charged["b"] != "lic_b" {
			t.Errorf("%v", w.charged)
		}
		w.once(t, a)
		if w.charged["a"] != "lic_a" {
			t.Errorf("%v", w.charged)
		}
	})
}

func TestLeasesBelongToTheirLicense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		c := w.start1(t, a)
		id := acquire(t, c, AcquireOptions{For: time.Hour}).ID()
		_ = c.Close()
		c = w.start1(t, b)
		if got := acquire(t, c, AcquireOptions{For: time.Hour}).ID(); got == id {
			t.Error("a lease of another license was reused")
		}
		_ = c.Close()
		w.net.cut("one.test", true)
		c = w.open(t, a)
		if got := acquire(t, c, AcquireOptions{For: time.Hour}).ID(); got != id {
			t.Errorf("lease %s, want %s", got, id)
		}
	})
}

func TestARefusalBelongsToItsLicense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		w.denials = map[string]license.Decision{"lic_a": {Outcome: license.Denied, Code: license.CodeRevoked, State: license.StateDenied}}
		w.once(t, a)
		c := w.start1(t, b)
		wantState(t, c, license.StateValid)
		_ = c.Close()
		w.net.cut("one.test", true)
		if d := w.open(t, a).Check("export"); d.Code != license.CodeRevoked {
			t.Errorf("%+v", d)
		}
		wantState(t, w.open(t, b), license.StateValid)
	})
}

// A key of another product is reported as such, by a signed answer.
func TestAKeyOfAnotherProductIsReportedAsThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		w.denials = map[string]license.Decision{"lic_b": {
			Outcome: license.Denied, Code: license.CodeWrongProduct, Reason: "the license is for another product", State: license.StateDenied,
		}}
		w.once(t, a)
		c := w.start1(t, b)
		if d := c.Check("export"); d.Code != license.CodeWrongProduct || c.License() != nil {
			t.Errorf("%+v", d)
		}
		_ = c.Close()
		wantLicense(t, w.open(t, a), "lic_a")
	})
}

func TestAMistypedKeyIsToldBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		w.once(t, o)
		sent := w.count("POST /v1/validate")
		wrong := strings.Replace(testKey, "04000", "04001", 1)
		file := writeFile(t, []byte(wrong))
		for source, spoil := range map[string]func(*Options){
			"Options.Key":          func(o *Options) { o.Key = wrong },
			file:                   func(o *Options) { o.Key, o.KeyFile = "", file },
			"COPYHOLD_LICENSE_KEY": func(o *Options) { o.Key = ""; w.env["COPYHOLD_LICENSE_KEY"] = wrong },
		} {
			o := o
			spoil(&o)
			c, err := open(t.Context(), o, w.system())
			if err == nil || c != nil {
				t.Fatalf("%s: opened with a mistyped key", source)
			}
			contains(t, err.Error(), source)
			contains(t, err.Error(), "typing mistake")
			if strings.Contains(err.Error(), wrong[3:8]) {
				t.Errorf("the error contains the key: %v", err)
			}
		}
		if w.count("POST /v1/validate") != sent {
			t.Error("a mistyped key was sent")
		}
	})
}

func TestAKeyIsReadHoweverItIsTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, _ := twoLicenses(t)
		w.once(t, a)
		w.net.cut("one.test", true)
		a.Key = strings.ToLower(strings.ReplaceAll(testKey, "-", " "))
		wantLicense(t, w.open(t, a), "lic_a")
	})
}

func TestAnUnreadableKeyFileWithAGoodCacheGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		o.Key, o.KeyFile = "", writeFile(t, []byte(testKey+"\n"))
		w.once(t, o)
		must(t, os.Remove(o.KeyFile))
		c := w.open(t, o)
		wantLicense(t, c, "lic_a")
		wantState(t, c, license.StateValid)
		if err := c.LastError(); err == nil || !strings.Contains(err.Error(), o.KeyFile) {
			t.Errorf("LastError: %v", err)
		}
		sent := w.count("POST /v1/validate")
		if err := c.RecordUsage(Usage{ID: "a", Meter: "calls", Quantity: "1"}); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Minute)
		if w.count("POST /v1/validate") != sent || len(w.charged) != 0 {
			t.Error("a server was asked without a key")
		}
		must(t, os.WriteFile(o.KeyFile, []byte(testKey), 0o600))
		pass(2*time.Minute + 5*time.Second)
		if err := c.LastError(); err != nil {
			t.Errorf("LastError: %v", err)
		}
		if w.count("POST /v1/validate") == sent || w.charged["a"] != "lic_a" {
			t.Errorf("%d requests, %v\n%s", w.count("POST /v1/validate")-sent, w.charged, c.Why())
		}
	})
}

func TestAnUnreadableKeyFileWithAnEmptyCacheFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		for name, file := range map[string]string{"missing": filepath.Join(t.TempDir(), "license.key"), "empty": writeFile(t, []byte("\n")), "a folder": t.TempDir()} {
			o.Key, o.KeyFile = "", file
			if _, err := open(t.Context(), o, w.system()); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestOpenAsksAtOnceAndWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		w.once(t, o)
		pass(11 * time.Second)
		w.between(delayed(200 * time.Millisecond))
		w.set(func() { w.doc.Features = map[string]license.Feature{"layers": {Value: license.IntValue(99)}} })
		var c *Client
		if d := took(func() { c = w.open(t, o) }); d != 0 || c.Feature("layers").Int() != 50 {
			t.Errorf("Open took %v, layers %d", d, c.Feature("layers").Int())
		}
		pass(200 * time.Millisecond)
		if c.Feature("layers").Int() != 99 {
			t.Error("the client did not ask at once")
		}
	})
}

// A signed answer that is less than 10 seconds old replaces a request, for all processes of a
// folder but for only one license.
func TestAYoungAnswerIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		asked := func() int { return w.count("POST /v1/validate") }
		w.once(t, a)
		for range 3 {
			pass(3 * time.Second)
			w.once(t, a)
		}
		if asked() != 1 {
			t.Errorf("asked %d times in 9 seconds", asked())
		}
		w.once(t, b)
		if asked() != 2 {
			t.Error("the answer about another license was used for this one")
		}
		pass(2 * time.Second)
		w.once(t, a)
		if asked() != 3 {
			t.Errorf("asked %d times, the answer was 11 seconds old", asked())
		}
		w.bootID = "boot-2"
		w.once(t, a)
		if asked() != 4 {
			t.Error("after a restart of the machine, the age of the answer is not known")
		}
	})
}

func TestAChangedKeyWaitsForItsLicense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a, b := twoLicenses(t)
		w.once(t, a)
		w.between(delayed(time.Second))
		var c *Client
		if d := took(func() { c = w.start1(t, b) }); d != time.Second {
			t.Errorf("Open took %v", d)
		}
		wantLicense(t, c, "lic_b")
		_ = c.Close()
		w.between(silent)
		b.Key, b.Wait = unknownKey, 3*time.Second
		if d := took(func() { c = w.open(t, b) }); d != b.Wait {
			t.Errorf("Open took %v", d)
		}
		wantState(t, c, license.StateNone)
	})
}

func TestCloseGivesTheRefreshAMoment(t *testing.T) {
	for name, tc := range map[string]struct {
		answer, old, wait time.Duration
		close             time.Duration
		heard             bool
	}{
		"a quick server":               {answer: 0, heard: true},
		"a slow server":                {answer: 200 * time.Millisecond, close: 200 * time.Millisecond, heard: true},
		"a slower server":              {answer: time.Second, close: 300 * time.Millisecond},
		"past the refresh point":       {answer: time.Second, old: 25 * time.Hour, close: time.Second, heard: true},
		"silent and past it":           {answer: time.Hour, old: 25 * time.Hour, close: 2 * time.Second},
		"the program says how long":    {answer: time.Second, wait: 700 * time.Millisecond, close: 700 * time.Millisecond},
		"the program says not at all":  {answer: 200 * time.Millisecond, wait: -1},
		"not at all and past refresh":  {answer: 200 * time.Millisecond, wait: -1, old: 25 * time.Hour},
		"longer than the longer wait":  {answer: time.Hour, wait: 3 * time.Second, old: 25 * time.Hour, close: 3 * time.Second},
		"enough for any slower server": {answer: time.Second, wait: 3 * time.Second, close: time.Second, heard: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				o := w.options()
				w.once(t, o)
				pass(max(tc.old, 11*time.Second))
				w.set(func() { w.doc.Features = map[string]license.Feature{"layers": {Value: license.IntValue(99)}} })
				w.between(delayed(tc.answer))
				o.CloseWait = tc.wait
				c := w.start1(t, o)
				if d := took(func() { _ = c.Close() }); d != tc.close {
					t.Errorf("Close took %v, want %v", d, tc.close)
				}
				w.net.cut("one.test", true)
				if got := w.open(t, o).Feature("layers").Int(); (got == 99) != tc.heard {
					t.Errorf("the next process has %d layers", got)
				}
			})
		})
	}
}

func TestCloseDoesNotWaitAgainForAServerThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		w.once(t, o)
		w.between(silent)
		pass(11 * time.Second)
		run := func() time.Duration {
			c := w.start1(t, o)
			return took(func() { _ = c.Close() })
		}
		for i, want := range []time.Duration{300 * time.Millisecond, 0, 0, 0, 0, 0, 300 * time.Millisecond, 0} {
			if d := run(); d != want {
				t.Errorf("run %d: Close took %v, want %v", i, d, want)
			}
			pass(11 * time.Second)
		}
	})
}

// A program that is ended without Close learns of a change at its fourth start.
func TestAfterThreeRunsWithoutCloseOpenWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		w.once(t, o)
		w.set(func() { w.doc.Features = map[string]license.Feature{"layers": {Value: license.IntValue(99)}} })
		w.between(delayed(600 * time.Millisecond))
		for run := range 5 {
			pass(11 * time.Second)
			var c *Client
			d := took(func() { c = w.start1(t, o) })
			if waits := run == 3; (d == 600*time.Millisecond) != waits || !waits && d != 0 {
				t.Errorf("run %d: Open took %v", run, d)
			}
			if got := c.Feature("layers").Int(); (got == 99) != (run >= 3) {
				t.Errorf("run %d: %d layers", run, got)
			}
			w.crash(c)
		}
		w.between(silent)
		for range 3 {
			pass(11 * time.Second)
			w.crash(w.start1(t, o))
		}
		pass(11 * time.Second)
		var c *Client
		if d := took(func() { c = w.start1(t, o) }); d != time.Second {
			t.Errorf("Open took %v with a silent server", d)
		}
		_ = c.Close()
		if d := took(func() { c = w.open(t, o) }); d != 0 {
			t.Errorf("Open took %v after a run that was closed", d)
		}
	})
}

// crash ends a program as SIGKILL does: the files stay as they are.
func (w *world) crash(c *Client) {
	count := filepath.Join(c.cache.dir, "slot-0", "unclosed")
	content, _ := os.ReadFile(count)
	states := map[string][]byte{}
	for _, name := range []string{"state.0", "state.1"} {
		path := filepath.Join(c.drawer.slot, name)
		states[path], _ = os.ReadFile(path)
	}
	c.stop()
	<-c.done
	_ = os.WriteFile(count, content, 0o600)
	for path, state := range states {
		_ = os.WriteFile(path, state, 0o600)
	}
}

func TestRefreshAsksNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		pass(time.Minute)
		w.set(func() { w.doc.Features = map[string]license.Feature{"layers": {Value: license.IntValue(99)}} })
		if err := c.Refresh(t.Context()); err != nil || c.Feature("layers").Int() != 99 {
			t.Errorf("%v, %d layers", err, c.Feature("layers").Int())
		}
		w.between(silent)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if d := took(func() {
			if err := c.Refresh(ctx); !errors.Is(err, ErrUnavailable) {
				t.Errorf("a silent server: %v", err)
			}
		}); d != time.Second {
			t.Errorf("took %v", d)
		}
		w.between(nil)
		w.set(func() {
			w.denial = &license.Decision{Outcome: license.Denied, Code: license.CodeRevoked, State: license.StateDenied}
		})
		if err := c.Refresh(t.Context()); err != nil {
			t.Errorf("a signed denial is an answer: %v", err)
		}
		wantState(t, c, license.StateDenied)
		_ = c.Close()
		if err := c.Refresh(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("closed: %v", err)
		}
	})
}

// An answer that arrives after a later one takes nothing back.
func TestALateAnswerIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		pass(time.Minute)
		late := make(chan error)
		w.set(func() {
			w.denial = &license.Decision{Outcome: license.Denied, Code: license.CodeSuspended, State: license.StateDenied}
		})
		w.between(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				w.between(nil)
				rec := &recorder{header: http.Header{}}
				next.ServeHTTP(rec, r)
				time.Sleep(3 * time.Second)
				rec.replay(rw)
			})
		})
		go func() { late <- c.Refresh(t.Context()) }()
		pass(time.Second)
		w.set(func() { w.denial = nil })
		must(t, c.Refresh(t.Context()))
		must(t, <-late)
		wantState(t, c, license.StateValid)
	})
}

type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(s int)   { r.status = s }
func (r *recorder) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}

func (r *recorder) replay(w http.ResponseWriter) {
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body)
}

// A program that runs for 100 ms every 11 s is right from its second run on. No check and no exit
// waits longer than allowed.
func TestAShortProgramIsRightFromItsSecondRun(t *testing.T) {
	for latency, exit := range map[time.Duration]time.Duration{0: 0, 200 * time.Millisecond: 300 * time.Millisecond} {
		for name, change := range map[string]func(w *world, o *Options){
			"revoked": func(w *world, _ *Options) {
				w.denial = &license.Decision{Outcome: license.Denied, Code: license.CodeRevoked, State: license.StateDenied}
			},
			"upgraded": func(w *world, _ *Options) {
				w.doc.Features = map[string]license.Feature{"export": {Value: license.BoolValue(false)}}
			},
			"other key": func(_ *world, o *Options) { o.Key = otherKey },
		} {
			t.Run(name+" "+latency.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, o, _ := twoLicenses(t)
					w.denials = map[string]license.Decision{"lic_b": {Outcome: license.Denied, Code: license.CodeWrongProduct, State: license.StateDenied}}
					w.once(t, o)
					w.between(delayed(latency))
					w.set(func() { change(w, &o) })
					for run := range 10 {
						pass(11 * time.Second)
						c := w.start1(t, o)
						if d := took(func() { _ = c.Check("export") }); d != 0 {
							t.Errorf("a check took %v", d)
						}
						time.Sleep(100 * time.Millisecond)
						if run > 0 && c.Enabled("export") {
							t.Errorf("run %d: %s", run, c.Why())
						}
						if d := took(func() { _ = c.Close() }); d > exit {
							t.Errorf("run %d: the exit took %v", run, d)
						}
					}
				})
			})
		}
	}
}
