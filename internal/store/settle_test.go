package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // to find a process of the server

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/storetest"
)

// TestWhatIsSettledOutlivesACrashOfPostgres kills one of its processes under
// load, upon which PostgreSQL forgets all that it had not written. What was
// committed early and settled is there again.
func TestWhatIsSettledOutlivesACrashOfPostgres(t *testing.T) {
	storetest.PostgresURL(t) // skips where there is to be none
	url, stop, err := storetest.Server()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	db, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for round := range 3 {
		settled := make(chan store.LeaseKey)
		var crashed atomic.Bool
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for i := 0; !crashed.Load(); i++ {
					k := store.LeaseKey{Env: "test", ID: licensing.LeaseID(fmt.Sprintf("lse_%d_%d_%d", round, n, i))}
					settle, err := db.UpdateEarly(t.Context(), func(tx *store.Tx) error {
						return tx.InsertLeases(t.Context(), []*licensing.Lease{{Env: k.Env, ID: k.ID, License: "lic_a", Pool: "seats", Holder: string(k.ID), Units: 1, Generation: 1}})
					})
					if err != nil {
						continue
					}
					if err := settle(); err == nil {
						settled <- k
					} else if licensing.CodeOf(err) != licensing.OutcomeUnknown {
						t.Errorf("settling: %v", err)
					}
				}
			})
		}
		var keys []store.LeaseKey
		for len(keys) < 300 {
			keys = append(keys, <-settled)
		}
		go func() {
			all.Wait()
			close(settled)
		}()
		kill(t, url)
		crashed.Store(true)
		for k := range settled {
			keys = append(keys, k)
		}
		if there := stillThere(t, db, keys); there != len(keys) {
			t.Fatalf("round %d: of %d leases that were settled %d are left", round, len(keys), there)
		}
	}
}

// kill ends one of the processes that serve url, by force.
func kill(t *testing.T, url string) {
	t.Helper()
	conn, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for killed := false; !killed; { // unless it ended meanwhile
		var pid int
		err = conn.QueryRowContext(t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = 'copyhold' LIMIT 1").Scan(&pid)
		if err != nil {
			t.Fatal(err)
		}
		if err = syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		killed = err == nil
	}
}

// stillThere counts the leases with these keys, once the server has recovered.
func stillThere(t *testing.T, db *store.DB, keys []store.LeaseKey) (n int) {
	t.Helper()
	for {
		err := db.View(t.Context(), func(tx *store.Tx) error {
			found, err := tx.Leases(t.Context(), keys)
			n = len(found)
			return err
		})
		if err == nil {
			return n
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}
