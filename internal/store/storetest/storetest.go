// Package storetest provides tests with a fresh database on every engine. Tests of the store's
// promises use Each, so that both engines are tested.
package storetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/sqlite"
)

// Each runs fn as a subtest on SQLite and on PostgreSQL, each with an empty database that is closed
// when the subtest ends. The PostgreSQL server is started once per test binary, from the machine's
// binaries. With COPYHOLD_NO_PG=1 its subtest is skipped.
func Each(t *testing.T, fn func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t)) })
}

// SQLite opens an empty database in the test's folder.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "copyhold.db"))
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	return db
}

// Postgres opens an empty database on the test binary's own server.
func Postgres(t testing.TB) *store.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), PostgresURL(t), "")
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	return db
}

// PostgresURL creates an empty database with current tables and returns its URL, for tests of
// several server nodes or whole processes.
func PostgresURL(t testing.TB) string {
	t.Helper()
	if os.Getenv("COPYHOLD_NO_PG") == "1" {
		t.Skip("COPYHOLD_NO_PG=1: NOT tested on PostgreSQL")
	}
	s, err := server()
	if err != nil {
		t.Fatalf("starting PostgreSQL (set COPYHOLD_NO_PG=1 to skip it): %v", err)
	}
	name := fmt.Sprintf("test%d", databases.Add(1))
	if err := s.create(context.WithoutCancel(t.Context()), name); err != nil {
		t.Fatalf("creating database %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := s.drop(context.Background(), name); err != nil {
			t.Errorf("dropping database %s: %v", name, err)
		}
	})
	return s.url(name)
}

func closing(t testing.TB, db *store.DB) {
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	})
}

// The server lives as long as the test binary, so it is package state.
var (
	server    = sync.OnceValues(func() (*cluster, error) { return start("off") })
	databases atomic.Int64
)
