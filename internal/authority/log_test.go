package authority

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/sqlite"
	"copyhold.dev/internal/store/storetest"
)

const testEnv licensing.Env = "production"

// ready returns a started authority with keys for testEnv. The servers of a test may share a
// sealing key; nil creates one.
func ready(t testing.TB, db *store.DB, dir string, sealing *signing.SealingKey) *Authority {
	t.Helper()
	if sealing == nil {
		var err error
		if sealing, err = signing.NewSealingKey(); err != nil {
			t.Fatal(err)
		}
	}
	a := New(ledger.Config{DB: db, Ring: signing.NewRing(sealing), Dir: dir})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.PrepareKeys(t.Context(), testEnv); err != nil {
		t.Fatal(err)
	}
	frozen(t, a)
	return a
}

// note records events that begin leases, in one row.
func note(ctx context.Context, a *Authority, l licensing.LicenseID, subjects ...string) error {
	return a.ledger.Update(ctx, testEnv, "test", func(tx *ledger.Tx) error {
		for _, s := range subjects {
			if _, err := tx.Record(licensing.Event{Type: licensing.LeaseBegun, License: l, Subject: s}); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestSequencersOfManyServersPlaceEachEntryOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := ready(t, db, "", nil)
		b := ready(t, db, "", a.ledger.Ring.Sealing())
		before := a.ledger.Head(testEnv)
		if err := a.ledger.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		var work sync.WaitGroup
		for w := range 4 {
			work.Go(func() {
				for i := range 30 {
					if err := note(t.Context(), []*Authority{a, b}[w%2], "lic_1", fmt.Sprintf("w%d-%d", w, i), "x"); err != nil {
						t.Error(err)
					}
					if err := []*Authority{b, a}[w%2].ledger.Sequence(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
		if err := a.ledger.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		if before != nil && a.ledger.Head(testEnv).Size <= before.Size {
			t.Error("the head has not moved")
		}
		found := 0
		err := a.ledger.View(t.Context(), func(tx *store.Tx) error {
			next := int64(0)
			for r, err := range tx.LogRows(t.Context(), testEnv) {
				if err != nil {
					return err
				}
				if r.First != next {
					t.Errorf("row %s begins at %d, want %d", r.ID, r.First, next)
				}
				next = r.First + r.Entries
				found++
			}
			if next != a.ledger.Head(testEnv).Size {
				t.Errorf("%d entries, the head has %d", next, a.ledger.Head(testEnv).Size)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if found < 120 {
			t.Errorf("%d rows of 120", found)
		}
	})
}

// exposed opens an empty database on an engine, together with a separate connection, like that of
// someone who has its password.
func exposed(t *testing.T, engine string) (*store.DB, *sql.DB) {
	t.Helper()
	var driver, source string
	var db *store.DB
	var err error
	if engine == "postgres" {
		driver, source = "pgx", storetest.PostgresURL(t)
		db, err = postgres.Open(t.Context(), source, "")
	} else {
		driver, source = "sqlite", filepath.Join(t.TempDir(), "copyhold.db")
		db, err = sqlite.Open(t.Context(), source)
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close(); db.Close() })
	return db, raw
}

func TestVerifyNamesWhatWasDoneToTheDatabase(t *testing.T) {
	const row = `(SELECT row_id FROM log_place WHERE env = 'production' AND first = $1)`
	tests := []struct {
		name string
		do   []string // $1 is the first index of the row
		says string
	}{
		{"flip", []string{`UPDATE log_row SET body = REPLACE(body, 'lic_victim', 'lic_villain') WHERE env = 'production' AND id = ` + row}, "changed"},
		{"flip a payload", []string{`UPDATE log_row SET body = REPLACE(body, '"subject":"s0"', '"subject":"s9"') WHERE env = 'production' AND id = ` + row}, "digest"},
		{"erase in secret", []string{`UPDATE log_row SET body = REPLACE(body, '"payload"', '"nothing"') WHERE env = 'production' AND id = ` + row}, "digest"},
		{"drop a row", []string{`DELETE FROM log_row WHERE env = 'production' AND id = ` + row}, "missing"},
		{"drop a row and its place", []string{
			`DELETE FROM log_row WHERE env = 'production' AND id = ` + row,
			`DELETE FROM log_place WHERE env = 'production' AND first = $1`}, "missing"},
		{"insert", []string{
			`INSERT INTO log_row (env, id, at, entries, body) SELECT env, 'row_forged', at, entries, body FROM log_row WHERE env = 'production' AND id = ` + row}, "row_forged"},
		{"swap", []string{`UPDATE log_row SET body = (SELECT body FROM log_row WHERE env = 'production' AND id =
			(SELECT row_id FROM log_place WHERE env = 'production' AND first = $1 + 15)) WHERE env = 'production' AND id = ` + row}, "changed"},
		{"truncate", []string{`DELETE FROM log_place WHERE env = 'production' AND first >= $1`}, "missing"},
		{"change a hash", []string{`UPDATE log_tile SET hashes = (SELECT hashes FROM log_tile WHERE env = 'production' AND level = 1)
			WHERE env = 'production' AND level = 0 AND n = $1 / 256`}, "hashes are missing"},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := ready(t, db, "", nil)
		for range 20 {
			if err := note(t.Context(), a, "lic_victim", "s0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"); err != nil {
				t.Fatal(err)
			}
		}
		if report, err := a.ledger.VerifyLog(t.Context(), owner()); err != nil || !report.Whole() {
			t.Fatalf("%v, %v", report.Findings, err)
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				var backup bytes.Buffer
				if _, err := a.Backup(t.Context(), owner(), &backup); err != nil {
					t.Fatal(err)
				}
				copied, raw := exposed(t, db.Engine())
				b := New(ledger.Config{DB: copied, Ring: signing.NewRing(a.ledger.Ring.Sealing())})
				if _, err := recovery.Restore(t.Context(), ledger.Config{DB: copied, Ring: b.ledger.Ring}, &backup); err != nil {
					t.Fatal(err)
				}
				if err := b.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				unpackRows(t, raw)
				const index = 120
				var first int64
				err := b.ledger.View(t.Context(), func(tx *store.Tx) error {
					r, _, err := tx.LogRowAt(t.Context(), testEnv, index)
					first = r.First
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, text := range test.do {
					if _, err := raw.ExecContext(t.Context(), text, first); err != nil {
						t.Fatal(err)
					}
				}
				report, err := b.ledger.VerifyLog(t.Context(), owner())
				if err != nil {
					t.Fatal(err)
				}
				named := false
				for _, f := range report.Findings {
					named = named || strings.Contains(f.String(), test.says) && (f.First >= first-1 && f.First <= first+1 || test.name == "insert" || test.name == "change a hash")
				}
				if !named {
					t.Errorf("row of entry %d: %v", first, report.Findings)
				}
			})
		}
	})
}

func TestTruncationIsFoundByAHeadFromOutside(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		a := ready(t, db, "", nil)
		if err := note(ctx, a, "lic_1", "a", "b", "c"); err != nil {
			t.Fatal(err)
		}
		if err := a.ledger.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
		kept, err := a.ledger.LogHead(ctx, owner())
		if err != nil {
			t.Fatal(err)
		}
		head, err := audit.OpenHead(kept.Signed, kept.Key)
		if err != nil {
			t.Fatal(err)
		}
		longer := head
		longer.Size += 5
		if report, err := a.ledger.VerifyLog(ctx, owner(), head); err != nil || !report.Whole() {
			t.Fatalf("%v, %v", report.Findings, err)
		}
		report, err := a.ledger.VerifyLog(ctx, owner(), longer)
		if err != nil || len(report.Findings) != 1 || report.Findings[0].First != head.Size || report.Findings[0].Last != head.Size+4 {
			t.Fatalf("%v, %v", report.Findings, err)
		}
	})
}

func TestLogIsListedShownAndProven(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		a := ready(t, db, "", nil)
		for i := range 30 {
			if err := note(ctx, a, licensing.LicenseID(fmt.Sprintf("lic_%d", i%3)), fmt.Sprintf("s%d", i), "x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.ledger.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
		var seen []int64
		for cursor := ""; ; {
			p, err := a.ledger.LogEntries(ctx, owner(), ledger.LogFilter{License: "lic_1", Type: "lease."}, request.PageOf{Limit: 7, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range p.Items {
				if e.License != "lic_1" || len(seen) > 0 && e.Index >= seen[len(seen)-1] {
					t.Fatalf("%+v after %v", e, seen)
				}
				seen = append(seen, e.Index)
			}
			if cursor = p.Next; cursor == "" {
				break
			}
		}
		if len(seen) != 20 {
			t.Errorf("%d entries of 20", len(seen))
		}
		none, err := a.ledger.LogEntries(ctx, owner(), ledger.LogFilter{Since: a.ledger.Now().Add(time.Hour)}, request.PageOf{})
		if err != nil || len(none.Items) != 0 {
			t.Errorf("%d entries of the future, %v", len(none.Items), err)
		}
		limited := owner()
		limited.Product = "another"
		if page, err := a.ledger.LogEntries(ctx, limited, ledger.LogFilter{}, request.PageOf{}); err != nil || len(page.Items) != 0 {
			t.Errorf("%d entries of another product, %v", len(page.Items), err)
		}
		proof, err := a.ledger.ProveLogEntry(ctx, owner(), seen[3])
		if err != nil {
			t.Fatal(err)
		}
		entry, err := a.ledger.LogEntry(ctx, owner(), seen[3])
		if err != nil || entry.Leaf != proof.Leaf || entry.Subject == "" {
			t.Fatalf("%+v, %v", entry, err)
		}
		if _, err := a.ledger.LogEntry(ctx, owner(), 1_000_000); licensing.CodeOf(err) != licensing.NotFound {
			t.Errorf("entry of the future: %v", err)
		}
		head, err := a.ledger.LogHead(ctx, owner())
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []int64{0, head.Size, head.Size - 1} {
			if _, err := a.ledger.ProveLogConsistency(ctx, owner(), 5, to); err != nil {
				t.Errorf("to %d: %v", to, err)
			}
		}
		if _, err := a.ledger.ProveLogConsistency(ctx, owner(), 5, head.Size+1); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("to the future: %v", err)
		}
	})
}

func TestErasedPayloadIsGoneAndTheLogStaysWhole(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		a := ready(t, db, "", nil)
		if err := note(ctx, a, "lic_1", "alice@example.com", "bob@example.com"); err != nil {
			t.Fatal(err)
		}
		if err := a.ledger.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
		index := a.ledger.Head(testEnv).Size - 2
		if err := a.ledger.EraseLogPayload(ctx, owner(), index, "asked for by the person"); err != nil {
			t.Fatal(err)
		}
		if err := a.ledger.EraseLogPayload(ctx, owner(), index, "again"); licensing.CodeOf(err) != licensing.Gone {
			t.Errorf("erased twice: %v", err)
		}
		report, err := a.ledger.VerifyLog(ctx, owner())
		if err != nil || !report.Whole() || report.Erased != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		var export bytes.Buffer
		if err := a.ledger.ExportLog(ctx, owner(), &export); err != nil {
			t.Fatal(err)
		}
		if text := export.String(); strings.Contains(text, "alice@") || !strings.Contains(text, "bob@") {
			t.Error("the wrong payload is gone")
		}
		if _, err := a.ledger.ProveLogEntry(ctx, owner(), index); err != nil {
			t.Errorf("an erased entry can't be proven: %v", err)
		}
	})
}

func BenchmarkSequencer(b *testing.B) {
	for _, open := range []struct {
		name string
		db   func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		for _, each := range []int{1, 50} {
			b.Run(fmt.Sprintf("%s/%d entries a row", open.name, each), func(b *testing.B) {
				a := ready(b, open.db(b), "", nil)
				subjects := make([]string, each)
				const rows = 500
				for b.Loop() {
					b.StopTimer()
					for range rows {
						if err := note(b.Context(), a, "lic_1", subjects...); err != nil {
							b.Fatal(err)
						}
					}
					b.StartTimer()
					if err := a.ledger.Sequence(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*rows*each)/b.Elapsed().Seconds(), "entries/s")
			})
		}
	}
}
