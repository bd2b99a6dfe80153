package authority

import (
	"path/filepath"
	"testing"
	"time"

	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/sqlite"
)

// TestAServerThatStartsInAnotherYearSignsNothingOfIt starts a server again on a
// machine whose clock is wrong until something corrects it. Leaving the server
// off for a while is no wrong clock.
func TestAServerThatStartsInAnotherYearSignsNothingOfIt(t *testing.T) {
	const off = 2 * time.Hour
	for _, tc := range []struct {
		wrong time.Duration // at the second start, beside the time the server was off
		want  time.Duration // what the server takes the time to be, since it ended
		doubt bool
	}{
		{0, off, false},
		{20 * 24 * time.Hour, off + 20*24*time.Hour, false},
		{60 * 24 * time.Hour, time.Minute, true},
		{365 * 24 * time.Hour, time.Minute, true},
		{20 * 365 * 24 * time.Hour, time.Minute, true},
		{-9 * 24 * time.Hour, time.Minute, true},
		{-20 * 365 * 24 * time.Hour, time.Minute, true},
	} {
		t.Run(tc.wrong.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "copyhold.db")
			ended := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
			db, wall, boot := openAt(t, path), ended, time.Duration(0)
			db.Now = func() time.Time { return wall }
			if got := timeOf(t, db); !got.Equal(ended) {
				t.Fatalf("the first start has %v", got)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openAt(t, path)
			defer db.Close()
			db.Now = func() time.Time { return wall }
			wall = ended.Add(off + tc.wrong)
			a := New(Config{DB: db, Ring: signing.NewRing(nil), Boot: func() time.Duration { return boot }})
			defer a.Close()
			boot += time.Minute
			if got := timeOf(t, db); !got.Equal(ended.Add(tc.want)) || a.clock.doubt() != tc.doubt {
				t.Errorf("%v after the end it is %v after it, doubt %v", off+tc.wrong, got.Sub(ended), a.clock.doubt())
			}
			if !tc.doubt {
				return
			}
			wall = ended.Add(off + time.Minute)
			boot += time.Second
			if got := timeOf(t, db); !got.Equal(wall) || a.clock.doubt() {
				t.Errorf("once corrected it is %v after the end, unsure %v", got.Sub(ended), a.clock.unsure)
			}
		})
	}
}

func openAt(t *testing.T, path string) *store.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// timeOf writes, so that the time is kept.
func timeOf(t *testing.T, db *store.DB) (got time.Time) {
	t.Helper()
	if err := db.Update(t.Context(), func(tx *store.Tx) error { got = tx.Now(); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}
