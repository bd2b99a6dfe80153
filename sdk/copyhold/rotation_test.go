//go:build go1.25

package copyhold

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// mounted writes a secret in the way Kubernetes mounts one: the file is a link into a folder, and
// that folder is a link to the current version.
func mounted(t *testing.T) (path string, rotate func(content []byte)) {
	t.Helper()
	dir := t.TempDir()
	version := 0
	rotate = func(content []byte) {
		version++
		name := "v" + string(rune('0'+version))
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name, "key"), content, 0o600))
		must(t, os.Symlink(name, filepath.Join(dir, "new")))
		must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "data")))
	}
	path = filepath.Join(dir, "key")
	must(t, os.Symlink(filepath.Join("data", "key"), path))
	return path, rotate
}

// lookWithin is a minute, plus the time for the tick and the answer.
const lookWithin = lookEvery + 5*time.Second

func TestAKeyFileThatWasRotatedIsReadWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		var rotate func([]byte)
		o.Key = ""
		o.KeyFile, rotate = mounted(t)
		rotate([]byte(testKey))
		c := w.open(t, o)
		seat := acquire(t, c, AcquireOptions{})
		must(t, c.RecordUsage(Usage{ID: "before", Meter: "calls", Quantity: "1"}))
		pass(97 * time.Second)
		wantLicense(t, c, "lic_a")
		rotate([]byte(otherKey + "\n"))
		pass(lookWithin)
		wantLicense(t, c, "lic_b")
		wantState(t, c, license.StateValid)
		must(t, c.RecordUsage(Usage{ID: "after", Meter: "calls", Quantity: "1"}))
		pass(2 * time.Minute)
		if w.charged["before"] != "lic_a" || w.charged["after"] != "lic_b" {
			t.Errorf("%v", w.charged)
		}
		if h := w.leases[seat.ID()]; h == nil || h.license != "lic_b" || !seat.State().Full() {
			t.Errorf("the seat is %+v, %+v", h, seat.Decision())
		}
		w.net.cut("one.test", true)
		pass(time.Minute)
		wantLicense(t, w.open(t, o), "lic_b")
	})
}

// Until a server has stated which license the new key belongs to, the program continues.
func TestARotatedKeyTakesNothingBeforeAServerSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		o.Key, o.KeyFile = "", writeFile(t, []byte(testKey))
		c := w.open(t, o)
		pass(time.Minute)
		w.net.cut("one.test", true)
		must(t, c.RecordUsage(Usage{ID: "before", Meter: "calls", Quantity: "1"}))
		must(t, os.WriteFile(o.KeyFile, []byte(unknownKey), 0o600))
		pass(lookWithin)
		wantState(t, c, license.StateValid)
		w.net.cut("one.test", false)
		pass(20 * time.Minute)
		wantState(t, c, license.StateValid)
		contains(t, c.LastError().Error(), "the license key was refused")
		if len(w.charged) != 0 {
			t.Errorf("usage was sent with a key that no server knows: %v", w.charged)
		}
		must(t, os.WriteFile(o.KeyFile, []byte(testKey), 0o600))
		pass(lookWithin + time.Minute)
		if err := c.LastError(); err != nil || w.charged["before"] != "lic_a" {
			t.Errorf("%v, %v", err, w.charged)
		}
	})
}

// Usage waits until a server states which license the new key belongs to, even if a server would
// accept the usage.
func TestUsageWaitsForTheLicenseOfARotatedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		o.Key, o.KeyFile = "", writeFile(t, []byte(testKey))
		c := w.open(t, o)
		pass(50 * time.Second)
		w.between(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/validate" {
					rw.WriteHeader(http.StatusInternalServerError)
					return
				}
				next.ServeHTTP(rw, r)
			})
		})
		must(t, os.WriteFile(o.KeyFile, []byte(otherKey), 0o600))
		pass(15 * time.Second)
		must(t, c.RecordUsage(Usage{ID: "held", Meter: "calls", Quantity: "1"}))
		pass(5 * time.Minute)
		wantLicense(t, c, "lic_a")
		if len(w.charged) != 0 || c.Why().Usage != 1 {
			t.Errorf("%v, %d wait", w.charged, c.Why().Usage)
		}
		w.between(nil)
		pass(15 * time.Minute)
		wantLicense(t, c, "lic_b")
		if len(w.charged) != 0 {
			t.Errorf("%v", w.charged)
		}
	})
}

func TestAKeyFileIsReadAgainWhenTheKeyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		w.listed = []string{testKey, otherKey}
		o.Key, o.KeyFile = "", writeFile(t, []byte(testKey))
		c := w.open(t, o)
		pass(time.Minute + 5*time.Second) // the client has just read the file
		w.set(func() { w.owners = map[string]string{otherKey: "lic_a"} })
		must(t, os.WriteFile(o.KeyFile, []byte(otherKey), 0o600))
		if d := took(func() { acquire(t, c, AcquireOptions{}) }); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

func TestATornKeyFileIsToldAndTheKeyBeforeGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		o.Key, o.KeyFile = "", writeFile(t, []byte(testKey))
		c := w.open(t, o)
		for name, content := range map[string]string{"half of a key": testKey[:20], "nothing": ""} {
			must(t, os.WriteFile(o.KeyFile, []byte(content), 0o600))
			pass(lookWithin)
			if err := c.LastError(); err == nil {
				t.Errorf("%s: no error", name)
			} else {
				contains(t, err.Error(), o.KeyFile)
			}
			acquire(t, c, AcquireOptions{})
		}
		must(t, os.WriteFile(o.KeyFile, []byte(testKey), 0o600))
		pass(lookWithin)
		if err := c.LastError(); err != nil {
			t.Error(err)
		}
	})
}

func TestALicenseFileThatWasReplacedIsReadWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		o.Key, o.Endpoints = "", nil
		o.LicenseFile = writeFile(t, w.bundle())
		c := w.open(t, o)
		w.set(func() { w.doc.Features = map[string]license.Feature{"layers": {Value: license.IntValue(99)}} })
		must(t, os.WriteFile(o.LicenseFile, w.bundle(), 0o600))
		pass(lookWithin)
		if got := c.Feature("layers").Int(); got != 99 {
			t.Errorf("%d layers", got)
		}
		must(t, os.WriteFile(o.LicenseFile, []byte("torn"), 0o600))
		pass(lookWithin)
		wantState(t, c, license.StateValid)
		contains(t, c.LastError().Error(), o.LicenseFile)
		w.set(func() { w.doc.Subject = "lic_2" })
		must(t, os.WriteFile(o.LicenseFile, w.bundle(), 0o600))
		pass(lookWithin)
		wantLicense(t, c, "lic_2")
		if err := c.LastError(); err != nil {
			t.Error(err)
		}
		_ = c.Close()
		must(t, os.Remove(o.LicenseFile))
		c = w.open(t, o) // the cache is good
		wantLicense(t, c, "lic_2")
		contains(t, c.LastError().Error(), o.LicenseFile)
	})
}
