package store_test

import (
	"strings"
	"testing"

	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/storetest"
)

// TestARepairAndAServerKeepEachOtherOut checks that on PostgreSQL each excludes the other as long
// as it has a session.
func TestARepairAndAServerKeepEachOtherOut(t *testing.T) {
	url := storetest.PostgresURL(t)
	refused := func(err error, says string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	first, err := postgres.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := postgres.Open(t.Context(), url, "") // servers share the lock
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = postgres.OpenAlone(t.Context(), url, "")
	refused(err, "another copyhold process is using the database")
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	alone, err := postgres.OpenAlone(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = postgres.OpenAlone(t.Context(), url, "")
	refused(err, "another copyhold process is using the database")
	_, err = postgres.Open(t.Context(), url, "")
	refused(err, "has exclusive access to the database")
	if err := alone.ReadClock(t.Context()); err != nil {
		t.Error(err)
	}
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := postgres.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
