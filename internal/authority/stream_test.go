package authority

import (
	"testing"
	"time"

	"copyhold.dev/internal/authority/ledger"
)

// A listener is notified of a change of its license once: immediately by the server that made it,
// and by another server at its next check.
func TestAChangeIsAnnouncedOnce(t *testing.T) {
	servers(t, func(t *testing.T, a, b *testAuthority) {
		here, err := a.Listen(t.Context(), a.p, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close()
		there, err := b.Listen(t.Context(), b.p, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close()
		look := func() {
			t.Helper()
			for _, s := range []*testAuthority{a, b} {
				if err := s.LookForChanges(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		look()
		here.Take()
		there.Take()
		if _, err := a.SuspendLicense(t.Context(), owner(), a.p.License, "unpaid"); err != nil {
			t.Fatal(err)
		}
		if n := here.Take(); n&ledger.LicenseChanged == 0 {
			t.Errorf("where it was made: notices %b", n)
		}
		look()
		if n := here.Take(); n&ledger.LicenseChanged != 0 {
			t.Errorf("announced again where it was made: notices %b", n)
		}
		if n := there.Take(); a.ledger.DB.Shared() && n&ledger.LicenseChanged == 0 {
			t.Errorf("on the other server: notices %b", n)
		}
		look()
		if n := there.Take(); n&ledger.LicenseChanged != 0 {
			t.Errorf("announced again on the other server: notices %b", n)
		}
		// A change that follows at once is not taken for the one that was announced.
		if !a.ledger.DB.Shared() {
			return
		}
		if _, err := a.ReinstateLicense(t.Context(), owner(), a.p.License, ""); err != nil {
			t.Fatal(err)
		}
		here.Take()
		if _, err := b.SuspendLicense(t.Context(), owner(), a.p.License, "unpaid"); err != nil {
			t.Fatal(err)
		}
		look()
		if n := here.Take(); n&ledger.LicenseChanged == 0 {
			t.Errorf("a later change by the other server: notices %b", n)
		}
	})
}

// The notice at the commit of a new key set can be earlier than the set is in force. A program that
// fetched the previous set in between is notified again.
func TestANewKeySetIsAnnouncedOnceItIsInForce(t *testing.T) {
	each(t, func(t *testing.T, d *testAuthority) {
		listener, err := d.Listen(t.Context(), d.p, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		look := func() ledger.Notice {
			t.Helper()
			if err := d.LookForChanges(t.Context()); err != nil {
				t.Fatal(err)
			}
			return listener.Take()
		}
		look()
		keys, err := d.SigningKeys(t.Context(), owner())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.WithdrawSigningKey(t.Context(), owner(), keys[0].Kid, time.Time{}, "test"); err != nil {
			t.Fatal(err)
		}
		listener.Take()
		if n := look(); n&ledger.KeySetChanged == 0 {
			t.Errorf("after the set came into force: notices %b", n)
		}
		if n := look(); n != 0 {
			t.Errorf("announced again: notices %b", n)
		}
	})
}
