//go:build go1.25

package copyhold

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"copyhold.dev/sdk/license"
)

// constant gives the same answer to every request.
func constant(status int, kind, body string) func(http.Handler) http.Handler {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
}

func hostileAnswers() map[string]func(http.Handler) http.Handler {
	const yes = `{"decision":{"outcome":"allowed","code":"ok"},"license":"e30.e30.e30","reply":"e30.e30.e30","lease":"e30.e30.e30","keyset":["e30.e30.e30"],"results":[]}`
	return map[string]func(http.Handler) http.Handler{
		"200 empty":         constant(200, "application/json", ""),
		"200 object":        constant(200, "application/json", "{}"),
		"200 null":          constant(200, "application/json", "null"),
		"200 unsigned yes":  constant(200, "application/json", yes),
		"200 captive page":  constant(200, "text/html", "<html>please log in</html>"),
		"200 huge":          constant(200, "application/json", strings.Repeat("[", 2<<20)),
		"201 unsigned yes":  constant(201, "application/json", yes),
		"204":               constant(204, "", ""),
		"302":               func(http.Handler) http.Handler { return http.RedirectHandler("http://portal.test/", http.StatusFound) },
		"401":               constant(401, "application/problem+json", `{"code":"unauthenticated"}`),
		"403 unsigned no":   constant(403, "application/problem+json", `{"code":"forbidden","decision":{"outcome":"denied","code":"revoked"},"reply":"e30.e30.e30"}`),
		"404":               constant(404, "text/plain", "404 page not found"),
		"409 unsigned no":   constant(409, "application/problem+json", `{"decision":{"outcome":"denied","code":"pool_full"}}`),
		"410":               constant(410, "application/problem+json", `{"code":"gone"}`),
		"422 invalid":       constant(422, "application/problem+json", `{"code":"invalid"}`),
		"429":               constant(429, "text/plain", "slow down"),
		"500":               constant(500, "text/plain", "oops"),
		"503 with a minute": func(http.Handler) http.Handler { return retryLater("60") },
		"breaks off": func(http.Handler) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		},
	}
}

func retryLater(after string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", after)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
}

func TestNothingUnsignedMakesALicenseValid(t *testing.T) {
	for name, wrap := range hostileAnswers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.between(wrap)
				c := w.open(t, w.options())
				pass(10 * time.Minute)
				wantState(t, c, license.StateNone)
				if d := c.Check("export"); d.Outcome != license.Unavailable || c.Enabled("export") {
					t.Errorf("without a license: %+v", d)
				}
				if _, err := c.Acquire(t.Context(), "seats", AcquireOptions{}); errors.Is(err, ErrDenied) || errors.Is(err, ErrUnavailable) == errors.Is(err, ErrRequest) {
					t.Errorf("acquiring: %v", err)
				}
				w.between(nil)
				pass(30 * time.Minute)
				wantState(t, c, license.StateValid)
			})
		})
	}
}

func TestNothingUnsignedTakesALicenseAway(t *testing.T) {
	for name, wrap := range hostileAnswers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.dates = span{600, 6 * day, 7 * day, 21 * day, 51 * day}
				c := w.open(t, w.options())
				seat, err := c.Acquire(t.Context(), "seats", AcquireOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Record("calls", 1); err != nil {
					t.Fatal(err)
				}
				w.between(wrap)
				pass(12 * time.Minute)
				wantState(t, c, license.StateValid)
				if !c.Enabled("export") {
					t.Error("a feature was lost")
				}
				if !seat.State().Full() {
					t.Errorf("the seat is %s: %+v", seat.State(), seat.Decision())
				}
				if n, _ := c.drawer.spool.pending(); n != 1 {
					t.Errorf("%d events wait, want 1", n)
				}
				w.between(nil)
			})
		})
	}
}

func TestASignedNoIsBelievedAtOnceAndTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		c := w.start1(t, o)
		pass(2 * time.Second)
		w.set(func() {
			w.denial = &license.Decision{Outcome: license.Denied, Code: license.CodeRevoked, Reason: "fraud", State: license.StateDenied}
		})
		w.announce("license")
		pass(10 * time.Second)
		wantState(t, c, license.StateDenied)
		if d := c.Check("export"); d.Outcome != license.Denied || d.Code != license.CodeRevoked {
			t.Errorf("%+v", d)
		}
		_ = c.Close()
		w.net.cut("one.test", true)
		c = w.open(t, o)
		wantState(t, c, license.StateDenied) // across a restart, offline
		w.net.cut("one.test", false)
		w.set(func() { w.denial = nil })
		pass(30 * time.Minute)
		wantState(t, c, license.StateValid)
	})
}

func TestARevocationListIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.open(t, w.options())
		pass(2 * time.Second)
		w.set(func() { w.revoked = []license.Revocation{{Subject: "lic_1", At: time.Now().Unix(), Fallback: true}} })
		w.announce("revocations")
		pass(10 * time.Second)
		wantState(t, c, license.StateDegraded)
	})
}

// replay answers each validation with the answer that the first client received.
func replay() func(http.Handler) http.Handler {
	var recorded []byte
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/validate" {
				next.ServeHTTP(w, r)
				return
			}
			if recorded == nil {
				rec := httptest.NewRecorder()
				next.ServeHTTP(rec, r)
				recorded = rec.Body.Bytes()
			}
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write(recorded)
		})
	}
}

func TestAReplayedAnswerIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.between(replay())
		first, second := w.options(), w.options()
		wantState(t, w.open(t, first), license.StateValid)
		wantState(t, w.open(t, second), license.StateNone)
	})
}

func TestAnOlderLicenseDoesNotReplaceANewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(func() { w.counter = 1000 }) // the older documents stay below, however often the client asks
		c := w.open(t, w.options())
		pass(time.Minute) // the client asks once more when its stream is open
		newer := c.License().Seq
		w.set(func() { w.counter = 0; w.doc.Features = nil })
		w.announce("license")
		pass(10 * time.Second)
		if c.License().Seq != newer || !c.Enabled("export") {
			t.Errorf("document %v replaced %v", c.License().Seq, newer)
		}
	})
}

func TestAServerWithItsOwnKeysIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		forger := newVendor(t, time.Now)
		w.net.serve(t, "forger.test", forger.handler())
		o := w.options()
		o.Endpoints = []string{"http://forger.test"}
		c := w.open(t, o)
		pass(time.Minute)
		wantState(t, c, license.StateNone)
	})
}

func writeFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "acme.license")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLicenseFiles(t *testing.T) {
	alien := func(v *vendor, device bool) {
		v.doc.Subject, v.doc.Customer = "lic_other", "cus_other"
		v.doc.Binding = &license.Binding{Kind: KindMachine, Holder: "theirs"}
		if device {
			pub, _, _ := license.GenerateX25519()
			v.doc.Binding.Device = license.DeviceThumbprint(pub)
			return
		}
		v.doc.Binding.Need = 2
		v.doc.Binding.Components = machine{"board": "4c4c4544-0099", "network": "00:16:3e:99:99:99", "drive": "S99"}.hashed([]byte("another salt"))
	}
	cases := map[string]struct {
		file func(t *testing.T, w *world) []byte
		want license.State
	}{
		"own": {func(_ *testing.T, w *world) []byte { return w.bundle() }, license.StateValid},
		"armored": {func(_ *testing.T, w *world) []byte {
			return append([]byte("Dear customer,\n\n"), license.Armor(w.bundle())...)
		}, license.StateValid},
		"another customer's, bound to its machine": {func(_ *testing.T, w *world) []byte { alien(w.vendor, false); return w.bundle() }, license.StateGrace},
		"another customer's, bound to its device":  {func(_ *testing.T, w *world) []byte { alien(w.vendor, true); return w.bundle() }, license.StateGrace},
		"edited": {func(t *testing.T, w *world) []byte {
			var b license.Bundle
			if err := json.Unmarshal(w.bundle(), &b); err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(b.Doc, ".")
			text := []byte(parts[1])
			text[len(text)/2] ^= 1
			b.Doc = parts[0] + "." + string(text) + "." + parts[2]
			edited, _ := json.Marshal(b)
			return edited
		}, license.StateNone},
		"with its own key": {func(t *testing.T, w *world) []byte {
			forger := newVendor(t, time.Now)
			forger.issuer = w.issuer
			return forger.bundle()
		}, license.StateNone},
		"with its own key and root": {func(t *testing.T, w *world) []byte {
			forger := newVendor(t, time.Now)
			b, _ := json.Marshal(license.Bundle{V: 1, Doc: forger.license(), KeySet: forger.keys, RootSet: forger.roots})
			return b
		}, license.StateNone},
		"with our key set and a stranger's document": {func(t *testing.T, w *world) []byte {
			forger := newVendor(t, time.Now)
			b, _ := json.Marshal(license.Bundle{V: 1, Doc: forger.license(), KeySet: w.keys})
			return b
		}, license.StateNone},
		"a lease": {func(t *testing.T, w *world) []byte {
			h := &held{id: "lea_1", pool: "seats", units: 1, holder: Holder{ID: "x"}}
			b, _ := json.Marshal(license.Bundle{V: 1, Doc: w.lease(h, "n"), KeySet: w.keys})
			return b
		}, license.StateNone},
		"empty":  {func(*testing.T, *world) []byte { return nil }, license.StateNone},
		"binary": {func(*testing.T, *world) []byte { return bytes.Repeat([]byte{0xff, 0}, 5000) }, license.StateNone},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				o := w.options()
				o.LicenseFile, o.Endpoints = writeFile(t, tc.file(t, w)), nil
				c := w.open(t, o)
				pass(3 * time.Second)
				wantState(t, c, tc.want)
				if tc.want == license.StateNone && c.Enabled("export") {
					t.Error("a feature is enabled")
				}
			})
		})
	}
}

func TestWhatAServerSaysDrivesNoTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.between(constant(403, "application/problem+json", `{"title":"no","detail":"\u001b[2J\u009b\r\nINFO licensed\u202e"}`))
		c := w.open(t, w.options())
		_, err := c.Acquire(t.Context(), "seats", AcquireOptions{})
		if err == nil || !strings.Contains(err.Error(), "licensed") {
			t.Fatalf("the error does not contain the reason: %v", err)
		}
		if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' }) {
			t.Errorf("%q", text)
		}
	})
}

func TestALicenseFileIsNoRootSet(t *testing.T) {
	w := newVendor(t, time.Now)
	file, _ := json.Marshal(license.Bundle{V: 1, Doc: w.license(), KeySet: w.keys, RootSet: w.roots})
	if _, err := (Options{Product: "lathe", RootSet: file}).trust(); err == nil {
		t.Error("a file that vouches for itself was accepted as a root set")
	}
}

func TestAnotherMachinesFileEndsAfterItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.doc.Binding = &license.Binding{Kind: KindMachine, Holder: "theirs", Need: 1, Components: map[string]string{"board": "00"}}
		o := w.options()
		o.LicenseFile, o.Endpoints = writeFile(t, w.bundle()), nil
		c := w.start1(t, o)
		pass(24 * time.Hour)
		wantState(t, c, license.StateGrace)
		_ = c.Close() // a restart must not restart the grace
		c = w.open(t, o)
		pass(48*time.Hour + 5*time.Second)
		wantState(t, c, license.StateDegraded)
	})
}
