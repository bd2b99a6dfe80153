//go:build go1.25

package copyhold

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// earlierProcess is the instance of the first process of that cache.
const earlierProcess = "IWH5OBQREVLQAKCCNL5S5L5EEX.0"

// earlier returns a world whose server created the cache in testdata, and options with a copy of
// the cache. The license is lic_1, and the key belongs to it.
func earlier(t *testing.T) (*world, Options) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "earlier", "vendor.json"))
	must(t, err)
	var v struct {
		Root, Key       []byte
		RootSet, KeySet []string
		Counter         int64
	}
	must(t, json.Unmarshal(text, &v))
	w := newWorld(t)
	w.root, w.key = ed25519.NewKeyFromSeed(v.Root), ed25519.NewKeyFromSeed(v.Key)
	w.roots, w.keys, w.counter = v.RootSet, v.KeySet, v.Counter
	w.owners = map[string]string{testKey: "lic_1", otherKey: "lic_b"}
	w.leases["lea_1"] = &held{id: "lea_1", pool: "seats", license: "lic_1", units: 1, generation: 1,
		instance: earlierProcess, holder: Holder{Kind: KindMachine, ID: strings.TrimSuffix(earlierProcess, ".0")}}
	o := w.options()
	must(t, os.CopyFS(o.CacheDir, os.DirFS(filepath.Join("testdata", "earlier", "cache"))))
	pass(20 * time.Second) // the cache's last process ended then
	return w, o
}

func TestACacheOfAnEarlierVersionOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o := earlier(t)
		w.net.cut("one.test", true)
		device, err := os.ReadFile(filepath.Join(o.CacheDir, "device.key"))
		must(t, err)
		c := w.start1(t, o)
		wantState(t, c, license.StateValid)
		wantLicense(t, c, "lic_1")
		if string(c.device) != string(device) || c.instance != earlierProcess {
			t.Errorf("the client is another machine: %s", c.instance)
		}
		if got := acquire(t, c, AcquireOptions{For: 24 * time.Hour}).ID(); got != "lea_1" {
			t.Errorf("lease %s", got)
		}
		_ = c.Close()
		w.net.cut("one.test", false)
		pass(2 * time.Minute)
		c = w.start1(t, o)
		if got := acquire(t, c, AcquireOptions{For: 24 * time.Hour}).ID(); got != "lea_1" {
			t.Errorf("lease %s", got)
		}
		pass(time.Minute)
		_ = c.Close()
		if w.charged["first"] != "lic_1" || w.charged["second"] != "lic_1" {
			t.Errorf("usage of both slots is not counted: %v", w.charged)
		}
	})
}

// Once a server has stated which license it is, the data of an earlier version counts only for that
// key, and none of it is charged to another.
func TestWhatAnEarlierVersionLeftIsOneKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o := earlier(t)
		b := o
		b.Key = otherKey
		c := w.start1(t, b)
		pass(2 * time.Minute)
		wantLicense(t, c, "lic_b")
		_ = c.Close()
		if len(w.charged) != 0 {
			t.Errorf("%v", w.charged)
		}
		w.once(t, o)
		if w.charged["first"] != "lic_1" || w.charged["second"] != "lic_1" {
			t.Errorf("%v", w.charged)
		}
		w.net.cut("one.test", true)
		o.Key, o.Wait = unknownKey, -1
		wantState(t, w.open(t, o), license.StateNone)
	})
}

// The earlier version still finds its documents, but no lease that now belongs to another license.
func TestAnEarlierVersionCanComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o := earlier(t)
		slot := filepath.Join(o.CacheDir, "slot-0")
		before := readSlot(slot)
		w.once(t, o)
		after := readSlot(slot)
		if after.License != before.License || after.Clock != before.Clock || len(after.KeySet) == 0 {
			t.Errorf("the data of the earlier version was changed: %+v", after)
		}
		if len(before.Leases) != 1 || len(after.Leases) != 0 {
			t.Errorf("%d leases before, %d after", len(before.Leases), len(after.Leases))
		}
		// The earlier version continues there, with a newer document of this license and a lease.
		w.set(func() { w.doc.Features = map[string]license.Feature{"layers": {Value: license.IntValue(99)}} })
		before.License, before.Generation = w.license(), after.Generation+1
		must(t, writeSlot(slot, before))
		w.net.cut("one.test", true)
		c := w.open(t, o)
		if c.Feature("layers").Int() != 99 {
			t.Errorf("its newer document does not count\n%s", c.Why())
		}
		if got := acquire(t, c, AcquireOptions{For: 24 * time.Hour}).ID(); got != "lea_1" {
			t.Errorf("lease %s", got)
		}
	})
}

// An earlier version may use another key at the same time. Its license does not count here.
func TestAnEarlierVersionBesideUsesAnotherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o := earlier(t)
		w.once(t, o)
		beside, err := lockFile(filepath.Join(o.CacheDir, "slot-1", "lock"))
		must(t, err)
		defer beside.Close()
		w.set(func() { w.doc.Subject = "lic_b" })
		s := readSlot(filepath.Join(o.CacheDir, "slot-1"))
		s.License, s.Generation = w.license(), s.Generation+1
		w.set(func() { w.doc.Subject = "" })
		must(t, writeSlot(filepath.Join(o.CacheDir, "slot-1"), s))
		usage := filepath.Join(o.CacheDir, "slot-1", "usage", "0000000000000009.jsonl")
		must(t, os.WriteFile(usage, []byte(`{"id":"beside","meter":"calls","quantity":"1"}`+"\n"), 0o600))
		c := w.start1(t, o)
		wantLicense(t, c, "lic_1")
		if c.cache.slot != 0 {
			t.Errorf("slot %d", c.cache.slot)
		}
		_ = c.Close()
		_ = beside.Close()
		w.once(t, o)
		if _, err := os.Stat(usage); err != nil || w.charged["beside"] != "" {
			t.Errorf("its usage was taken: %v, %v", err, w.charged)
		}
	})
}

// Several processes that start at once with the cache of an earlier version lose nothing.
func TestSeveralProcessesTakeACacheOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o := earlier(t)
		o.HTTPClient = w.net.client(t)
		clients := make([]*Client, 5)
		var wait sync.WaitGroup
		for i := range clients {
			wait.Go(func() { clients[i] = w.start1(t, o) })
		}
		wait.Wait()
		pass(2 * time.Minute)
		for _, c := range clients {
			wantState(t, c, license.StateValid)
			wait.Go(func() { _ = c.Close() })
		}
		wait.Wait()
		w.once(t, o)
		if len(w.charged) != 2 || w.charged["first"] != "lic_1" || w.charged["second"] != "lic_1" {
			t.Errorf("%v", w.charged)
		}
	})
}
