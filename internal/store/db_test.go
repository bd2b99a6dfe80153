package store_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/sqlite"
	"copyhold.dev/internal/store/storetest"
)

func TestATransactionNeverGoesBackInTime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		db.Now = func() time.Time { return at }
		now := func() (got time.Time) {
			if err := db.Update(t.Context(), func(tx *store.Tx) error { got = tx.Now(); return nil }); err != nil {
				t.Fatal(err)
			}
			return got
		}
		first := now()
		at = at.Add(-time.Hour)
		if got := now(); !got.Equal(first) {
			t.Errorf("after the clock was set back an hour, the time is %v, want %v", got, first)
		}
		at = at.Add(2 * time.Hour)
		if got := now(); !got.Equal(at) {
			t.Errorf("the time is %v, want %v", got, at)
		}
	})
}

func TestTheMarkSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copyhold.db")
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 2 {
		db, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		var got time.Time
		clock := at
		db.Now = func() time.Time { return clock }
		err = db.Update(t.Context(), func(tx *store.Tx) error { got = tx.Now(); return nil })
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		if want := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
			t.Errorf("with the clock at %v the time is %v, want %v", clock, got, want)
		}
		at = at.Add(-24 * time.Hour)
	}
}

func TestASecondProcessCannotOpenTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder", "copy#hold?.db")
	if _, err := sqlite.Open(t.Context(), path); err == nil {
		t.Fatal("opened a file in a folder that does not exist")
	}
	path = filepath.Join(t.TempDir(), "copy #hold?%20.db")
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opening twice: %v, want a refusal", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err = sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
