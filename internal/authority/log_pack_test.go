package authority

import (
	"bytes"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// isPacked is the condition for packed rows of the log.
const isPacked = `length(packed) > 0`

func number(t *testing.T, raw *sql.DB, query string) (n int64) {
	t.Helper()
	if err := raw.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func change(t *testing.T, raw *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := raw.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// unpackRows stores all rows of the log as JSON, which someone who changes the database can edit.
func unpackRows(t *testing.T, raw *sql.DB) {
	t.Helper()
	rows, err := raw.QueryContext(t.Context(), `SELECT id, packed FROM log_row WHERE `+isPacked)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	bodies := map[string][]byte{}
	for rows.Next() {
		var id string
		var packed []byte
		if err := rows.Scan(&id, &packed); err != nil {
			t.Fatal(err)
		}
		if bodies[id], err = audit.Unpack(packed); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for id, body := range bodies {
		change(t, raw, `UPDATE log_row SET body = $1, packed = '' WHERE id = $2`, string(body), id)
	}
}

// TestPlainAndPackedRowsAreOneLog checks that every reader of the log accepts rows of earlier
// programs and packed rows next to each other, also after a move to the other engine.
func TestPlainAndPackedRowsAreOneLog(t *testing.T) {
	eachExposed(t, func(t *testing.T, db *store.DB, raw *sql.DB) {
		ctx := t.Context()
		a := ready(t, db, "", nil)
		for i := range 3 {
			change(t, raw, `UPDATE deployment SET packs_from = $1`, []int64{1, 1 << 52, 1}[i]) // plain for a while
			b := ready(t, db, "", a.ledger.Ring.Sealing())
			before := number(t, raw, `SELECT COUNT(*) FROM log_row WHERE `+isPacked)
			for n := range 5 {
				if err := note(ctx, b, "lic_1", fmt.Sprint(i, n), "other"); err != nil {
					t.Fatal(err)
				}
			}
			if n, want := number(t, raw, `SELECT COUNT(*) FROM log_row WHERE `+isPacked)-before, []int64{5, 0, 5}[i]; n != want {
				t.Fatalf("turn %d: %d rows are packed, want %d", i, n, want)
			}
		}
		if n := number(t, raw, `SELECT COUNT(*) FROM log_row WHERE `+isPacked+` AND body <> '1'`); n > 0 {
			t.Errorf("an earlier program would report %d packed rows as missing", n)
		}
		change(t, raw, `UPDATE log_row SET packed = '' WHERE NOT `+isPacked) // as a program without the column leaves it
		check := func(a *Authority, where string, erased int64) {
			t.Helper()
			whole(t, a, testEnv)
			page, err := a.ledger.LogEntries(ctx, owner(), ledger.LogFilter{License: "lic_1"}, request.PageOf{Limit: 100})
			if err != nil || len(page.Items) != 30 {
				t.Fatalf("%s: %d entries, %v", where, len(page.Items), err)
			}
			followed, err := a.Follow(ctx, owner(), "billing", 500)
			if err != nil || len(followed.Items) < 30 {
				t.Errorf("%s: %d followed, %v", where, len(followed.Items), err)
			}
			if result, err := a.ReconcileLog(ctx, owner()); err != nil || result.Entries < 30 {
				t.Errorf("%s: %+v, %v", where, result, err)
			}
			var export bytes.Buffer
			if err := a.ExportLog(ctx, owner(), &export); err != nil {
				t.Fatal(err)
			}
			read, err := audit.OpenExport(&export)
			if err != nil {
				t.Fatal(err)
			}
			if report, err := audit.Verify(read); err != nil || !report.Whole() || report.Erased != erased {
				t.Errorf("%s: the export: %+v, %v", where, report, err)
			}
		}
		check(a, "at first", 0)
		page, err := a.ledger.LogEntries(ctx, owner(), ledger.LogFilter{License: "lic_1"}, request.PageOf{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		packed := number(t, raw, `SELECT COUNT(*) FROM log_row WHERE `+isPacked)
		for _, e := range []v1.LogEntry{page.Items[3], page.Items[13]} { // one of a packed row, one of a plain row
			if err := a.ledger.EraseLogPayload(ctx, owner(), e.Index, "requested"); err != nil {
				t.Fatal(err)
			}
		}
		if n := number(t, raw, `SELECT COUNT(*) FROM log_row WHERE `+isPacked); n != packed+2 { // the erasures have entries
			t.Errorf("%d packed rows after the erasures, want %d", n, packed+2)
		}
		check(a, "after the erasures", 2)

		var backup bytes.Buffer
		if _, err := a.Backup(ctx, owner(), &backup); err != nil {
			t.Fatal(err)
		}
		other, rawOther := exposed(t, map[string]string{"sqlite": "postgres", "postgres": "sqlite"}[db.Engine()])
		ring := signing.NewRing(a.ledger.Ring.Sealing())
		if _, err := recovery.Restore(ctx, ledger.Config{DB: other, Ring: ring}, &backup); err != nil {
			t.Fatal(err)
		}
		if plain := number(t, rawOther, `SELECT COUNT(*) FROM log_row WHERE NOT (`+isPacked+`)`); plain < 5 {
			t.Errorf("%d plain rows were restored", plain)
		}
		b := New(ledger.Config{DB: other, Ring: ring})
		if err := b.Start(ctx); err != nil {
			t.Fatal(err)
		}
		check(b, "on the other engine", 2)
	})
}

// TestADamagedPackedRowIsNamed checks that verification reports exactly the row that was changed,
// in the database and in an export, and that the error of a list says what is wrong.
func TestADamagedPackedRowIsNamed(t *testing.T) {
	eachExposed(t, func(t *testing.T, db *store.DB, raw *sql.DB) {
		ctx := t.Context()
		a := ready(t, db, "", nil)
		for n := range 5 {
			if err := note(ctx, a, "lic_1", fmt.Sprint("subject-", n)); err != nil {
				t.Fatal(err)
			}
		}
		whole(t, a, testEnv)
		first := a.ledger.Head(testEnv).Size - 3
		var id string
		var stored []byte
		if err := raw.QueryRowContext(ctx, `SELECT r.id, r.packed FROM log_row r JOIN log_place p ON p.env = r.env AND p.row_id = r.id
			WHERE p.env = 'production' AND p.first = $1`, first).Scan(&id, &stored); err != nil || !audit.IsPacked(stored) {
			t.Fatal(stored, err)
		}
		other := bytes.Replace(stored, []byte("subject-"), []byte("subject+"), 1)
		bomb := append([]byte{1}, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)
		for _, test := range []struct {
			packed []byte
			says   string
		}{
			{stored[:len(stored)-1], "the packed row is damaged"}, {bomb, "the packed row is damaged"}, {append([]byte{9}, stored...), "packed in form 9"},
			{other, "payload does not match its digest"},
		} {
			change(t, raw, `UPDATE log_row SET packed = $1 WHERE id = $2`, test.packed, id)
			report, err := a.ledger.VerifyLog(ctx, owner())
			if err != nil || len(report.Findings) != 1 || report.Findings[0].First != first || report.Findings[0].Row != id || !strings.Contains(report.Findings[0].What, test.says) {
				t.Errorf("%s: %+v, %v", test.says, report.Findings, err)
			}
			_, err = a.ledger.LogEntries(ctx, owner(), ledger.LogFilter{}, request.PageOf{})
			if strings.Contains(test.says, "packed") && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("%s: the list: %v", test.says, err)
			}
			var export bytes.Buffer
			if err := a.ExportLog(ctx, owner(), &export); err != nil {
				t.Fatal(err)
			}
			read, err := audit.OpenExport(&export)
			if err != nil {
				t.Fatal(err)
			}
			if report, err := audit.Verify(read); err != nil || len(report.Findings) != 1 || report.Findings[0].First != first {
				t.Errorf("%s: the export: %+v, %v", test.says, report.Findings, err)
			}
		}
		change(t, raw, `UPDATE log_row SET packed = $1 WHERE id = $2`, stored, id)
		whole(t, a, testEnv)
	})
}

// TestRowsArePlainForAWeekAfterAnUpgrade checks that the earlier program can be started again and
// reads everything that was written since. A new deployment packs its rows from the beginning.
func TestRowsArePlainForAWeekAfterAnUpgrade(t *testing.T) {
	eachExposed(t, func(t *testing.T, db *store.DB, raw *sql.DB) {
		ctx := t.Context()
		d := newTestAuthority(t, db)
		packed := func(a *Authority) int64 {
			t.Helper()
			before := number(t, raw, `SELECT COUNT(*) FROM log_row WHERE `+isPacked)
			if err := note(ctx, a, "lic_1", "subject"); err != nil {
				t.Fatal(err)
			}
			return number(t, raw, `SELECT COUNT(*) FROM log_row WHERE `+isPacked) - before
		}
		if packed(d.Authority) != 1 {
			t.Error("a new deployment does not pack")
		}
		change(t, raw, `UPDATE deployment SET packs_from = 0`) // as an earlier program leaves it
		first := d.beside(t, db)
		d.clock.pass(3 * 24 * time.Hour)
		second := d.beside(t, db)
		d.clock.pass(4*24*time.Hour - time.Second)
		if packed(first.Authority) != 0 || packed(second.Authority) != 0 {
			t.Error("rows are packed within a week")
		}
		d.clock.pass(time.Second)
		if packed(first.Authority) != 1 || packed(second.Authority) != 1 {
			t.Error("rows are not packed after a week")
		}
	})
}

// TestNoRowOfTheLogHasMoreThan200Entries checks that a large change leaves several rows, whose
// entries are in the log once each and in order.
func TestNoRowOfTheLogHasMoreThan200Entries(t *testing.T) {
	eachExposed(t, func(t *testing.T, db *store.DB, raw *sql.DB) {
		ctx := t.Context()
		a := ready(t, db, "", nil)
		if err := a.ledger.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
		before := a.ledger.Head(testEnv).Size
		hashes := map[string][32]byte{}
		err := a.ledger.Update(ctx, testEnv, "test", func(tx *ledger.Tx) error {
			for i := range 450 {
				s := fmt.Sprintf("s%03d", i)
				hash, err := tx.Record(licensing.Event{Type: licensing.LeaseBegun, License: licensing.LicenseID("lic_" + s), Subject: s})
				if err != nil {
					return err
				}
				hashes[s] = hash
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n, rows := number(t, raw, `SELECT MAX(entries) FROM log_row`), number(t, raw, `SELECT COUNT(*) FROM log_pending`); n != 200 || rows != 3 {
			t.Errorf("%d entries in one row, %d rows", n, rows)
		}
		whole(t, a, testEnv)
		page, err := a.ledger.LogEntries(ctx, owner(), ledger.LogFilter{Type: licensing.LeaseBegun}, request.PageOf{Limit: 500})
		if err != nil || len(page.Items) != 450 {
			t.Fatal(len(page.Items), err)
		}
		for i, e := range page.Items {
			s := fmt.Sprintf("s%03d", 449-i)
			if e.Subject != s || e.Index != before+int64(449-i) || e.Hash != audit.HashText(hashes[s]) {
				t.Fatalf("entry %d is %+v, want %s", i, e, s)
			}
		}
		for _, s := range []string{"s000", "s199", "s200", "s449"} {
			page, err := a.ledger.LogEntries(ctx, owner(), ledger.LogFilter{License: licensing.LicenseID("lic_" + s)}, request.PageOf{})
			if err != nil || len(page.Items) != 1 || page.Items[0].Subject != s {
				t.Errorf("the license of %s: %+v, %v", s, page.Items, err)
			}
		}
	})
}

// TestALogEntryTakesAtMost500Bytes imports licenses, each with a lease, five usage events and, for
// every fifth, a denial, and adds up all tables of the log with their indexes and unused space. It
// runs on SQLite, where a table has no fixed cost.
func TestALogEntryTakesAtMost500Bytes(t *testing.T) {
	db, raw := exposed(t, "sqlite")
	s := openShop(t, db)
	s.useLicenses(t, 400)
	if err := s.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries := s.ledger.Head(testEnv).Size
	size := number(t, raw, `SELECT SUM(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name LIKE 'log!_%' ESCAPE '!')`)
	if entries < 1000 || size > 500*entries {
		t.Errorf("%d entries take %d bytes", entries, size)
	}
}

// useLicenses imports n licenses and uses them.
func (s *shop) useLicenses(t *testing.T, n int) {
	t.Helper()
	ctx := t.Context()
	text := strings.NewReplacer("LAYERS", "50", "SEATS", "1").Replace(shopPlan) + "meters:\n  exports: {unit: export, quota: 1000, per: month, anchor: calendar, zone: UTC, full: deny}\n"
	if _, err := s.ApplyPlans(ctx, s.p, v1.ApplyRequest{Files: []policy.File{{Name: "studio.yaml", Text: text}}, Licenses: "new"}); err != nil {
		t.Fatal(err)
	}
	var file strings.Builder
	file.WriteString("key,customer,plan,reference\n")
	for i := range n {
		fmt.Fprintf(&file, "OLD-KEY-%06d-ABCD,ref:C7,studio,order-%d\n", i, i)
	}
	if got, err := s.ImportLicenses(ctx, s.p, v1.ImportRequest{CSV: file.String()}); err != nil || got.Imported != n {
		t.Fatal(got, err)
	}
	for i := range n {
		p, err := s.Authenticate(ctx, fmt.Sprintf("License OLD-KEY-%06d-ABCD", i), "", free)
		if err != nil {
			t.Fatal(err)
		}
		for seat := range 1 + btoi(i%5 == 0) { // the second is denied
			if _, err := s.Acquire(ctx, p, granting.AcquireRequest{RequestID: ledger.NewID("acq", time.Now()), Pool: "seats",
				Holder: request.Holder{Kind: "user", ID: fmt.Sprintf("user-%d-%d@example.com", i, seat)}, Instance: fmt.Sprint("host-", seat), Nonce: fmt.Sprintf("nonce-%d-%d", i, seat)}); err != nil {
				t.Fatal(err)
			}
		}
		var use granting.UsageRequest
		for range 5 {
			use.Events = append(use.Events, granting.UsageEvent{ID: ledger.NewID("use", time.Now()), Meter: "exports", Quantity: "1"})
		}
		if _, err := s.Usage(ctx, p, use); err != nil {
			t.Fatal(err)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
