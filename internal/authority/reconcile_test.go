package authority

import (
	"slices"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

func reconciled(t *testing.T, d *testAuthority) audit.Reconciliation {
	t.Helper()
	r, err := d.ledger.ReconcileLog(t.Context(), owner())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// uncounted reconciles without counters, because a manual change of a row makes them wrong as well.
func uncounted(t *testing.T, d *testAuthority) audit.Reconciliation {
	t.Helper()
	r := reconciled(t, d)
	r.Mismatches = slices.DeleteFunc(r.Mismatches, func(m audit.Mismatch) bool { return m.Counters != nil })
	return r
}

// agrees fails if any mismatch is found.
func (d *testAuthority) agrees(t *testing.T, leases int64) {
	t.Helper()
	if r := reconciled(t, d); !r.Agrees() || r.Leases != leases || r.Licenses != 1 || r.Unknown != 0 {
		t.Fatalf("%+v", r)
	}
}

// one fails unless exactly one mismatch is found, with the given row and text.
func (d *testAuthority) one(t *testing.T, row, what string) audit.Mismatch {
	t.Helper()
	r := uncounted(t, d)
	if len(r.Mismatches) != 1 || r.Mismatches[0].Row != row || !strings.Contains(r.Mismatches[0].What, what) {
		t.Fatalf("found %v, want one of %s: %s", r.Mismatches, row, what)
	}
	return r.Mismatches[0]
}

func TestRowsAreReconciledWithTheLog(t *testing.T) {
	storetest.Each(t, func(t *testing.T, other *store.DB) {
		db, raw := exposed(t, other.Engine())
		tamper := func(t *testing.T, text string, args ...any) { // beside the server
			t.Helper()
			if _, err := raw.ExecContext(t.Context(), text, args...); err != nil {
				t.Fatal(err)
			}
		}
		d := newTestAuthority(t, db)
		// The test's license has no entry that issues it.
		d.one(t, string(d.p.License), "no entry issues")
		p := access.System(testEnv, "test")
		sell(t, d.Authority)
		if _, err := d.SuspendLicense(t.Context(), p, d.p.License, "unpaid"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ReinstateLicense(t.Context(), p, d.p.License, "paid"); err != nil {
			t.Fatal(err)
		}
		first, second := d.acquire(t, ask("seats", 1)), d.acquire(t, ask("seats", 2))
		d.acquire(t, machine(1))
		gone := d.acquire(t, ask("seats", 3))
		if _, err := d.Release(t.Context(), d.p, granting.ReleaseRequest{Lease: gone.Lease.ID, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: first.Lease.ID, Generation: 1, Nonce: "nonce-of-first", For: 86400}); err != nil {
			t.Fatal(err)
		}
		d.agrees(t, 3) // some wait for their place
		if err := d.ledger.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.agrees(t, 3)

		id := string(second.Lease.ID)
		tamper(t, `UPDATE lease SET units = 4 WHERE id = $1`, id)
		if m := d.one(t, id, "the row has 4 of seats"); m.Entry < 0 || !strings.Contains(m.What, "but the entry has 1 of seats") {
			t.Errorf("%+v", m)
		}
		tamper(t, `UPDATE lease SET units = 1, holder = 'mallory' WHERE id = $1`, id)
		d.one(t, id, "mallory")
		tamper(t, `UPDATE lease SET holder = 'holder-2' WHERE id = $1`, id)
		d.agrees(t, 3)

		copied := "lse_inserted"
		tamper(t, `INSERT INTO lease (env, id, license, pool, holder, instance, units, charge, generation, granted_at, renewed_at, expires_at,
			borrowed, nonce, cloned_at, ended_at, ended_by, due, requests, asker)
			SELECT env, CAST($1 AS TEXT), license, pool, holder, 'other', units, charge, generation, granted_at, renewed_at, expires_at,
			borrowed, nonce, cloned_at, ended_at, ended_by, due, requests, asker FROM lease WHERE id = $2`, copied, id)
		d.one(t, copied, "no entry begins")
		tamper(t, `DELETE FROM lease WHERE id = $1`, copied)

		tamper(t, `UPDATE lease SET ended_at = granted_at, ended_by = 'released' WHERE id = $1`, id)
		d.one(t, id, "its row shows: released")
		tamper(t, `UPDATE lease SET ended_at = 0, ended_by = '' WHERE id = $1`, string(gone.Lease.ID))
		if r := uncounted(t, d); len(r.Mismatches) != 2 {
			t.Errorf("%v", r.Mismatches)
		}
		tamper(t, `DELETE FROM lease WHERE id = $1 OR id = $2`, id, string(gone.Lease.ID))
		if m := d.one(t, id, "but there is no row"); m.Entry < 0 {
			t.Errorf("%+v", m)
		}

		// Erasing an entry that names a person makes the comparison impossible, not wrong.
		entries, err := d.ledger.LogEntries(t.Context(), owner(), ledger.LogFilter{Type: licensing.LeaseBegun}, request.PageOf{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries.Items {
			if e.Subject == id {
				if err := d.ledger.EraseLogPayload(t.Context(), owner(), e.Index, "asked for"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if r := uncounted(t, d); !r.Agrees() || r.Leases+r.Unknown != 2 {
			t.Errorf("%+v", r)
		}

		tamper(t, `UPDATE license SET status = 'suspended' WHERE id = $1`, string(d.p.License))
		if m := d.one(t, string(d.p.License), "status: the row has suspended, but the log entry has active"); m.Entry < 0 {
			t.Errorf("%+v", m)
		}
	})
}

// TestAnAlteredLicenseIsNamedByItsFields checks that both values are shown if the log contains
// them, whether or not the entry has its place yet.
func TestAnAlteredLicenseIsNamedByItsFields(t *testing.T) {
	storetest.Each(t, func(t *testing.T, other *store.DB) {
		db, raw := exposed(t, other.Engine())
		s := openShop(t, db)
		l := s.issue().License
		tamper := func(set string, args ...any) {
			t.Helper()
			if _, err := raw.ExecContext(t.Context(), `UPDATE license SET `+set+` WHERE id = $1`, append([]any{string(l.ID)}, args...)...); err != nil {
				t.Fatal(err)
			}
		}
		finds := func(want ...licensing.Deviation) string {
			t.Helper()
			r, err := s.ledger.ReconcileLog(t.Context(), owner())
			if err != nil {
				t.Fatal(err)
			}
			if len(want) == 0 {
				if !r.Agrees() || r.Licenses != 1 || r.Unknown != 0 {
					t.Fatalf("%+v", r)
				}
				return ""
			}
			if len(r.Mismatches) != 1 || r.Mismatches[0].Row != string(l.ID) || !slices.Equal(r.Mismatches[0].Fields, want) {
				t.Fatalf("%+v, want %+v", r.Mismatches, want)
			}
			return r.Mismatches[0].String()
		}
		end := func(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

		finds()
		tamper(`plan = 'other', end_at = $2`, l.Start.UnixMicro())
		changed := []licensing.Deviation{{Field: "end", Row: end(l.Start), Entry: end(l.End)}, {Field: "plan", Row: "other", Entry: "studio"}}
		finds(changed...)
		s.place()
		if said := finds(changed...); !strings.Contains(said, ", entry ") || !strings.Contains(said, "; plan: the row has other, but the log entry has studio") {
			t.Error(said)
		}
		tamper(`plan = 'studio', end_at = $2`, l.End.UnixMicro())
		finds()

		if _, err := s.RenewLicense(t.Context(), s.p, l.ID, v1.RenewRequest{After: l.End}); err != nil {
			t.Fatal(err)
		}
		finds()

		// Fields that can be long or can name people are logged as a digest.
		metadata := map[string]string{"buyer": "Ada"}
		except := licensing.Change{Except: []licensing.Exception{{Pool: "seats", Adjust: licensing.Adjustment{Amount: 9}, Reason: strings.Repeat("long ", 60)}}}
		if _, err := s.ChangeLicense(t.Context(), s.p, l.ID, v1.ChangeRequest{Metadata: &metadata, Change: except}); err != nil {
			t.Fatal(err)
		}
		finds()
		var body string
		if err := raw.QueryRowContext(t.Context(), `SELECT body FROM license WHERE id = $1`, string(l.ID)).Scan(&body); err != nil {
			t.Fatal(err)
		}
		tamper(`reference = 'R1', body = $2`, strings.NewReplacer("Ada", "Eve", "long", "wide").Replace(body))
		changed = []licensing.Deviation{{Field: "exceptions"}, {Field: "metadata"}, {Field: "reference", Row: "R1"}}
		finds(changed...)
		s.place()
		said := finds(changed...)
		for _, part := range []string{"exceptions: the row differs from the log entry", "reference: the row has R1, but the log entry has nothing"} {
			if !strings.Contains(said, part) {
				t.Errorf("%q lacks %q", said, part)
			}
		}
		if strings.Contains(said, "Eve") || strings.Contains(said, "Ada") {
			t.Error(said)
		}
		tamper(`reference = '', body = $2`, body)
		finds()

		// Entries of earlier versions contain a digest of the whole row and little else.
		earlier, err := s.License(t.Context(), s.p, l.ID)
		if err != nil {
			t.Fatal(err)
		}
		err = s.ledger.Update(t.Context(), testEnv, "test", func(tx *ledger.Tx) error {
			earlier.Seq.Counter++
			if err := tx.UpdateLicense(t.Context(), earlier); err != nil {
				return err
			}
			digest, err := earlier.Digest()
			if err != nil {
				return err
			}
			return tx.Note(licensing.LicenseRenewed, catalog.AboutLicense(earlier), map[string]any{"stands": map[string]any{
				"seq": earlier.Seq, "status": earlier.Status, "revision": earlier.Granted, "digest": digest}})
		})
		if err != nil {
			t.Fatal(err)
		}
		finds()
		s.place()
		finds()
		tamper(`status = 'suspended'`)
		finds(licensing.Deviation{Field: "status", Row: "suspended", Entry: "active"})
		tamper(`status = 'active', end_at = 1`)
		r, err := s.ledger.ReconcileLog(t.Context(), owner())
		if err != nil || len(r.Mismatches) != 1 || !strings.Contains(r.Mismatches[0].What, "the row's dates") {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// place places the waiting rows in the log.
func (s *shop) place() {
	s.t.Helper()
	if err := s.ledger.Sequence(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}
