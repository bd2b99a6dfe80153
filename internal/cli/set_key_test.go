package cli

import (
	"errors"
	"fmt"
	"testing"

	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// A program starts without a key. Its user types a key, and later the key of another license.
func TestSDKAnActivationDialog(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	customer, err := s.CreateCustomer(t.Context(), s.owner, licensing.Customer{Name: "Another"})
	must(t, err)
	other, err := s.IssueLicense(t.Context(), s.owner, v1.IssueRequest{Customer: customer.ID, Plan: "studio"})
	must(t, err)
	held := func(of licensing.LicenseID) int {
		found, err := s.Leases(t.Context(), s.owner, authority.LeaseFilter{License: of}, request.PageOf{Limit: 10})
		must(t, err)
		return len(found.Items)
	}
	c, err := copyhold.Open(t.Context(), copyhold.Options{
		Endpoints: []string{"http://" + s.address}, Product: "lathe", RootSet: s.root, CacheDir: t.TempDir(), User: "ann", AllowNoKey: true,
	})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	if c.State() != license.StateNone || !errors.Is(c.LastError(), copyhold.ErrNoKey) {
		t.Errorf("without a key: %s, %v", c.State(), c.LastError())
	}
	unknown := "CH-0C000-03000-00000-00000-00000-00000-0M4S8"
	if err := c.SetKey(t.Context(), unknown); !errors.Is(err, copyhold.ErrKeyRefused) || errors.Is(err, copyhold.ErrDenied) {
		t.Errorf("an unknown key: %v", err)
	}
	must(t, c.SetKey(t.Context(), s.key))
	if c.License().Subject != string(s.license) || !c.Enabled("export") {
		t.Fatalf("activated:\n%s", c.Why())
	}
	seat := s.acquire(t, c, "seats", copyhold.AcquireOptions{})
	must(t, c.SetKey(t.Context(), other.Key.Text))
	if c.License().Subject != string(other.License.ID) {
		t.Fatalf("activated with another key:\n%s", c.Why())
	}
	eventually(t, patience, func() bool { return held(s.license) == 0 && held(other.License.ID) == 1 })
	if seat.State() != license.StateValid {
		t.Errorf("the seat: %s", seat.Decision())
	}
	_, err = s.RevokeLicense(t.Context(), s.owner, s.license, v1.RevokeRequest{Reason: "by agreement"})
	must(t, err)
	if err := c.SetKey(t.Context(), s.key); !errors.Is(err, copyhold.ErrDenied) {
		t.Errorf("the key of a revoked license: %v", err)
	}
	if c.License().Subject != string(other.License.ID) || c.State() != license.StateValid {
		t.Errorf("after a key that was refused:\n%s", c.Why())
	}
}

// The program hears what the server did not count, and why.
func TestSDKRefusedUsageIsTold(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	told := map[string]error{}
	c, err := copyhold.Open(t.Context(), copyhold.Options{
		Endpoints: []string{"http://" + s.address}, Key: s.key, Product: "lathe", RootSet: s.root, CacheDir: t.TempDir(),
		OnUsageRefused: func(r copyhold.UsageRefusal) { told[r.Usage.ID] = r.Err },
	})
	must(t, err)
	for i := range 5 {
		must(t, c.RecordUsage(copyhold.Usage{ID: fmt.Sprint("call-", i), Meter: "calls", Quantity: "1"}))
	}
	must(t, c.RecordUsage(copyhold.Usage{ID: "fine", Meter: "hours", Quantity: "1.234567"}))
	must(t, c.Close())
	if len(told) != 3 || !errors.Is(told["call-3"], copyhold.ErrDenied) || !errors.Is(told["call-4"], copyhold.ErrDenied) {
		t.Errorf("5 calls of 3: %v", told)
	}
	if err := told["fine"]; !errors.Is(err, copyhold.ErrUsage) || len(err.Error()) < 60 {
		t.Errorf("more decimal places than the meter has: %v", err)
	}
}
