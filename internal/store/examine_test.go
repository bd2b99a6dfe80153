package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/sqlite"
	"copyhold.dev/internal/store/storetest"
)

// begin creates a deployment in db.
func begin(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.CreateDeployment(t.Context(), store.Deployment{ID: "d", Epoch: 1, CreatedAt: time.Unix(1e9, 0)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestExaminingASQLiteFileChangesNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "copyhold.db")
	files := func() (names string) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names += e.Name() + " "
		}
		return names
	}
	examine := func(when string, begun bool) {
		t.Helper()
		before := files()
		e, err := sqlite.Examine(t.Context(), path)
		if err != nil || e.Begun != begun || e.Behind != 0 {
			t.Errorf("%s: %+v, %v", when, e, err)
		}
		if after := files(); after != before {
			t.Errorf("%s: before there were %s, now there are %s", when, before, after)
		}
	}
	if _, err := sqlite.Examine(t.Context(), path); !errors.Is(err, fs.ErrNotExist) || files() != "" {
		t.Errorf("without a file: %v; there are %q", err, files())
	}
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	examine("an empty database", false)
	begin(t, db)
	examine("beside a server, with the deployment in the write-ahead log", true)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	examine("after the server", true)
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Examine(t.Context(), path); err == nil || !strings.Contains(err.Error(), "not a database") {
		t.Error(err)
	}
}

func TestExaminingPostgreSQLMigratesNothing(t *testing.T) {
	url := storetest.PostgresURL(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	for _, text := range []string{"CREATE SCHEMA fresh", "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN", "GRANT USAGE ON SCHEMA fresh TO reader"} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	fresh := url + "&search_path=fresh"
	e, err := postgres.Examine(t.Context(), fresh, "")
	if err != nil || e.Begun || e.Behind < 10 {
		t.Errorf("an empty database: %+v, %v", e, err)
	}
	var tables int
	if err := conn.QueryRow(t.Context(), "SELECT COUNT(*) FROM pg_class WHERE relnamespace = 'fresh'::regnamespace").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables were created, %v", tables, err)
	}
	_, err = postgres.Examine(t.Context(), strings.Replace(fresh, "user=postgres", "user=reader", 1), "")
	if err == nil || !strings.Contains(err.Error(), "user reader may not create tables") {
		t.Errorf("a user who may not create tables: %v", err)
	}
	db, err := postgres.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	begin(t, db)
	if e, err := postgres.Examine(t.Context(), url, ""); err != nil || !e.Begun || e.Behind != 0 {
		t.Errorf("beside a server: %+v, %v", e, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
