package store_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/sqlite"
	"copyhold.dev/internal/store/storetest"
)

// A fresh is a database without migrations, which can be opened repeatedly.
type fresh struct {
	t       *testing.T
	conns   *sql.DB
	open    func(context.Context) (*store.DB, error)
	examine func(context.Context) (store.Examined, error)
}

func eachFresh(t *testing.T, fn func(f fresh)) {
	connect := func(t *testing.T, driver, address string) *sql.DB {
		t.Helper()
		conns, err := sql.Open(driver, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conns.Close() })
		return conns
	}
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "copyhold.db")
		fn(fresh{t, connect(t, "sqlite", path),
			func(ctx context.Context) (*store.DB, error) { return sqlite.Open(ctx, path) },
			func(ctx context.Context) (store.Examined, error) { return sqlite.Examine(ctx, path) }})
	})
	t.Run("postgres", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		if _, err := connect(t, "pgx", url).ExecContext(t.Context(), "CREATE SCHEMA fresh"); err != nil {
			t.Fatal(err)
		}
		url += "&search_path=fresh"
		fn(fresh{t, connect(t, "pgx", url),
			func(ctx context.Context) (*store.DB, error) { return postgres.Open(ctx, url, "") },
			func(ctx context.Context) (store.Examined, error) { return postgres.Examine(ctx, url, "") }})
	})
}

func (f fresh) run(statement string) {
	f.t.Helper()
	if _, err := f.conns.ExecContext(f.t.Context(), statement); err != nil {
		f.t.Fatalf("%s: %v", statement, err)
	}
}

func (f fresh) opens() {
	f.t.Helper()
	db, err := f.open(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		f.t.Fatal(err)
	}
}

// refused checks that the database cannot be opened and that the error contains all words.
func (f fresh) refused(words ...string) error {
	f.t.Helper()
	db, err := f.open(f.t.Context())
	if err == nil {
		f.t.Fatal("it was opened", db.Close())
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			f.t.Errorf("%q does not say %q", err, w)
		}
	}
	return err
}

// TestTablesOfANewerVersion checks tables that servers of two versions share during an upgrade or a
// rollback. The earlier version refuses a change that it cannot support.
func TestTablesOfANewerVersion(t *testing.T) {
	eachFresh(t, func(f fresh) {
		t := f.t
		db, err := f.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begin(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		f.run("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)")
		f.opens()
		if e, err := f.examine(t.Context()); err != nil || e.Ahead != 1 || e.Behind != 0 || !e.Begun {
			t.Errorf("an additional column: %+v, %v", e, err)
		}
		f.run("INSERT INTO goose_db_version (version_id, is_applied) VALUES (10000, true)")
		words := []string{"newer version", "change 10000", "restore the backup from before the upgrade"}
		if err := f.refused(words...); licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("code %s", licensing.CodeOf(err))
		}
		if _, err := f.examine(t.Context()); err == nil || !strings.Contains(err.Error(), words[0]) {
			t.Errorf("doctor would report no problem: %v", err)
		}
		f.run("DELETE FROM goose_db_version WHERE version_id = 10000")
		f.opens()
	})
}

// TestAnUpgradeThatStopsHalfWay checks that an interrupted upgrade keeps only complete changes,
// names the cause, and continues from there.
func TestAnUpgradeThatStopsHalfWay(t *testing.T) {
	eachFresh(t, func(f fresh) {
		t := f.t
		f.run("CREATE TABLE usage_refusal (obstacle TEXT)")
		f.refused("stopped at change 13 (00013_request.sql)", "rolled back", "usage_refusal", "start this version again", "the earlier version")
		f.run("SELECT license FROM denial")
		if _, err := f.conns.ExecContext(t.Context(), "SELECT call FROM denial"); err == nil {
			t.Error("part of the change was kept")
		}
		if e, err := f.examine(t.Context()); err != nil || e.Behind == 0 {
			t.Errorf("half-way: %+v, %v", e, err)
		}
		f.run("DROP TABLE usage_refusal")
		f.opens()
		f.run("SELECT call FROM denial")
		if e, err := f.examine(t.Context()); err != nil || e.Behind != 0 {
			t.Errorf("afterward: %+v, %v", e, err)
		}
	})
}

func TestTablesThatNoVersionLeaves(t *testing.T) {
	eachFresh(t, func(f fresh) {
		f.opens()
		f.run("DELETE FROM goose_db_version WHERE version_id = 8")
		if err := f.refused("lack change 8", "Restore the backup"); licensing.CodeOf(err) != licensing.Conflict {
			f.t.Errorf("code %s", licensing.CodeOf(err))
		}
		if _, err := f.examine(f.t.Context()); err == nil || !strings.Contains(err.Error(), "lack change 8") {
			f.t.Errorf("doctor would report no problem: %v", err)
		}
	})
}
