//go:build go1.25

package copyhold

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// shortKeySet is a key set that ends after 30 days, with keys that are trusted for nine years.
func (v *vendor) shortKeySet(number int64, withdrawn int64, keys ...ed25519.PrivateKey) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now().Unix()
	c := v.claims(30 * day)
	c.Audience, c.Subject = nil, ""
	set := license.KeySet{Claims: c, Number: number}
	for i, k := range keys {
		one := license.NewKey(k.Public().(ed25519.PublicKey), []license.Type{license.TypeLicense, license.TypeReply}, now-day, now+30*day, now+9*365*day)
		if i == 0 {
			one.Withdrawn = withdrawn
		}
		set.Keys = append(set.Keys, one)
	}
	return []string{v.sign(license.TypeKeySet, set, v.root)}
}

// fiveYears are the dates of a file that lasts five years.
var fiveYears = span{5 * 365 * day, 5 * 365 * day, 5 * 365 * day, 5 * 365 * day, 5*365*day + 30*day}

// A program that never reached a server accepts a file until its last date, long after the file's
// key set has expired. The same applies to each later start.
func TestALicenseFileIsAcceptedUntilItsLastDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dates, w.keys = fiveYears, w.shortKeySet(1, 0, w.key)
		o := w.options()
		o.LicenseFile, o.Endpoints = writeFile(t, w.bundle()), nil
		pass(4 * year)
		for range 2 { // then from the cache
			c := w.start1(t, o)
			wantState(t, c, license.StateValid)
			_ = c.Close()
		}
		first := func() *Client {
			o.CacheDir = t.TempDir()
			return w.open(t, o)
		}
		pass(year + 29*24*time.Hour)
		wantState(t, first(), license.StateDegraded)
		pass(24 * time.Hour)
		c := first()
		wantState(t, c, license.StateNone)
		if err := c.document.err; !errors.Is(err, license.ErrExpired) {
			t.Errorf("an expired file is refused because: %v", err)
		}
	})
}

// The older key set in a file does not replace a newer one that the program has in its cache or
// built in.
func TestAWithdrawnKeyStaysWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, fresh, _ := ed25519.GenerateKey(nil)
		w.dates, w.keys = fiveYears, w.shortKeySet(1, 0, w.key)
		stolen := writeFile(t, w.bundle())
		later := w.shortKeySet(2, w.now().Unix(), w.key, fresh)
		keys := w.keys
		w.set(func() { w.keys, w.key = later, fresh })
		good := writeFile(t, w.bundle())
		o := w.options()
		o.Endpoints = nil
		start := func(file, cache string, floor []string) *Client {
			o.LicenseFile, o.CacheDir, o.KeySet = file, cache, nil
			if floor != nil {
				o.KeySet, _ = json.Marshal(map[string][]string{"keyset": floor})
			}
			return w.start1(t, o)
		}
		refused := func(c *Client) {
			t.Helper()
			wantState(t, c, license.StateNone)
			if !errors.Is(c.document.err, license.ErrWithdrawn) {
				t.Errorf("refused because: %v", c.document.err)
			}
			_ = c.Close()
		}
		accepted := func(c *Client) {
			t.Helper()
			wantState(t, c, license.StateValid)
			_ = c.Close()
		}
		pass(400 * 24 * time.Hour)
		accepted(start(stolen, t.TempDir(), nil)) // this program does not know about the withdrawal
		accepted(start(stolen, t.TempDir(), keys))
		refused(start(stolen, t.TempDir(), later))
		accepted(start(good, t.TempDir(), later))

		// A key set that was built in, or came with a file, is stored for an older build of the
		// program.
		for _, floor := range [][]string{later, nil} {
			cache := t.TempDir()
			accepted(start(good, cache, floor))
			c := start(stolen, cache, nil)
			wantState(t, c, license.StateValid) // by the license in the cache
			if !errors.Is(c.document.err, license.ErrWithdrawn) {
				t.Errorf("the file was not refused because of its key: %v", c.document.err)
			}
			_ = c.Close()
		}
	})
}
