//go:build go1.25

package copyhold

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// kinds lists every kind that errors.Is can find. Each error matches exactly the kinds that a test
// lists.
var kinds = []error{ErrDenied, ErrUnavailable, ErrOptions, ErrRequest, ErrUsage, ErrSpoolFull, ErrCache, ErrClosed, ErrNoKey, ErrKeyRefused, ErrUntrusted}

func wantKinds(t *testing.T, what string, err error, want ...error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	for _, kind := range kinds {
		wanted := false
		for _, w := range want {
			wanted = wanted || w == kind
		}
		if errors.Is(err, kind) != wanted {
			t.Errorf("%s: %q is %q: %v, want %v", what, err, kind, !wanted, wanted)
		}
	}
}

func TestEveryErrorIsOfItsKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		for what, spoil := range map[string]func(*Options){
			"no product":         func(o *Options) { o.Product = "" },
			"no server":          func(o *Options) { o.Endpoints = nil },
			"not a URL":          func(o *Options) { o.Endpoints = []string{"licenses"} },
			"no root set":        func(o *Options) { o.RootSet = nil },
			"a wrong key set":    func(o *Options) { o.KeySet = []byte("{}") },
			"another issuer":     func(o *Options) { o.Issuer = "urn:other" },
			"no key":             func(o *Options) { o.Key = "" },
			"a mistyped key":     func(o *Options) { o.Key = "CH-1" },
			"no key file":        func(o *Options) { o.Key, o.KeyFile = "", filepath.Join(t.TempDir(), "none") },
			"no authority":       func(o *Options) { o.CAFile, o.HTTPClient = filepath.Join(t.TempDir(), "none"), nil },
			"a date before 1970": func(o *Options) { o.Released = time.Unix(-1, 0) },
		} {
			o := o
			o.HTTPClient = w.net.client(t)
			spoil(&o)
			_, err := open(t.Context(), o, w.system())
			wantKinds(t, what, err, ErrOptions)
		}
		file := writeFile(t, []byte("no license"))
		o.LicenseFile, o.SpoolLimit = file, 200
		c := w.open(t, o)
		wantKinds(t, "LastError of the license file", c.LastError(), ErrOptions)
		acquireErr := func(pool string, o AcquireOptions) error {
			_, err := c.Acquire(t.Context(), pool, o)
			return err
		}
		seat := acquire(t, c, AcquireOptions{})
		acquire(t, c, AcquireOptions{})
		wantKinds(t, "a full pool", acquireErr("seats", AcquireOptions{}), ErrDenied)
		wantKinds(t, "an id with a hidden character", acquireErr("seats", AcquireOptions{Instance: "a\u200bb"}), ErrRequest)
		wantKinds(t, "a quantity below zero", c.Record("calls", -1), ErrUsage)
		wantKinds(t, "an unknown meter", c.Record("nothing", 1), ErrUsage)
		must(t, c.Record("calls", 1))
		wantKinds(t, "a full spool", c.RecordUsage(Usage{Meter: "calls", Quantity: "1"}, Usage{Meter: "calls", Quantity: "1"}), ErrSpoolFull)
		_, err := c.Unseal("off", nil)
		wantKinds(t, "a feature that is off", err, ErrDenied)
		if _, err := c.Unseal("export", nil); !errors.Is(err, license.ErrBinding) {
			t.Errorf("a license without sealed keys: %v", err)
		}
		w.between(silent)
		wantKinds(t, "Release", seat.Release(t.Context()), ErrUnavailable)
		wantKinds(t, "Refresh", c.Refresh(t.Context()), ErrUnavailable)
		wantKinds(t, "Acquire", acquireErr("seats", AcquireOptions{}), ErrUnavailable)
		wantKinds(t, "LastError", c.LastError(), ErrOptions, ErrUnavailable)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Refresh(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a canceled Refresh: %v", err)
		}
		wantKinds(t, "Close", c.Close(), ErrUnavailable)
		wantKinds(t, "Acquire after Close", acquireErr("seats", AcquireOptions{}), ErrUnavailable, ErrClosed)
		wantKinds(t, "Record after Close", c.Record("calls", 1), ErrClosed)
	})
}

func TestAKeyThatIsRefusedIsReportedAsThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		o.Key = unknownKey
		c := w.open(t, o)
		wantKinds(t, "LastError", c.LastError(), ErrUnavailable, ErrKeyRefused)
		wantKinds(t, "Refresh", c.Refresh(t.Context()), ErrUnavailable, ErrKeyRefused)
	})
}

func TestAFolderThatFailsIsReportedAsThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		c := w.open(t, o)
		must(t, os.RemoveAll(filepath.Join(c.drawer.slot, "usage")))
		must(t, os.WriteFile(filepath.Join(c.drawer.slot, "usage"), nil, 0o600))
		wantKinds(t, "Record", c.Record("calls", 1), ErrCache)
	})
}

// Usage that a server does not count is reported once, with the reason, even while the program
// ends.
func TestRefusedUsageIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, _ := twoLicenses(t)
		var told []UsageRefusal
		o.OnUsageRefused = func(r UsageRefusal) {
			told = append(told, r)
			if len(told) == 1 {
				panic("a fault of the program")
			}
			time.Sleep(300 * time.Millisecond)
		}
		c := w.open(t, o)
		spent := license.Decision{Outcome: license.Denied, Code: license.CodeQuotaSpent, Reason: "1000 of 1000 calls", RequestID: "req_1"}
		w.set(func() { w.refused = map[string]usageResult{"a": {Status: "denied", Decision: spent}} })
		for _, id := range []string{"a", "b"} {
			must(t, c.RecordUsage(Usage{ID: id, Meter: "calls", Quantity: "1"}))
		}
		pass(2 * time.Minute)
		if len(told) != 1 || told[0].Usage.ID != "a" {
			t.Fatalf("told %+v", told)
		}
		wantKinds(t, "a spent quota", told[0].Err, ErrDenied)
		contains(t, told[0].Err.Error(), "1000 of 1000 calls (request req_1)")
		w.set(func() {
			w.refused = map[string]usageResult{"c": {Status: "invalid", Reason: "more places than the meter's scale"}, "d": {Status: "invalid"}}
		})
		for _, id := range []string{"c", "d"} {
			must(t, c.RecordUsage(Usage{ID: id, Meter: "calls", Quantity: "1.001"}))
		}
		if d := took(func() { must(t, c.Close()) }); d != 600*time.Millisecond {
			t.Errorf("Close took %v, and %d events were reported", d, len(told))
		}
		if len(told) != 3 {
			t.Fatalf("told %+v", told)
		}
		wantKinds(t, "an invalid event", told[1].Err, ErrUsage)
		contains(t, told[1].Err.Error(), "more places than the meter's scale")
	})
}
