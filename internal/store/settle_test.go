package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // to find a process of the server

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/storetest"
)

// TestWhatIsSettledOutlivesACrashOfPostgres kills a PostgreSQL process under load. PostgreSQL then
// loses everything that it had not written. Early commits that were settled must survive.
func TestWhatIsSettledOutlivesACrashOfPostgres(t *testing.T) {
	storetest.PostgresURL(t) // skips if there is no PostgreSQL
	url, stop, err := storetest.Server()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	db, err := postgres.Open(t.Context(), url, "")
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
			t.Fatalf("round %d: of %d settled leases, %d are left", round, len(keys), there)
		}
	}
}

// kill forcibly ends one of the processes that serve url.
func kill(t *testing.T, url string) {
	t.Helper()
	conn, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for killed := false; !killed; { // unless it ended in the meantime
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

// stillThere counts the leases with these keys after the server has recovered.
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

// TestNothingIsConfirmedWithoutTheStandby removes the synchronous standby. The outcome of commits
// in the meantime, and of repeated answers, is unknown until the standby is back.
func TestNothingIsConfirmedWithoutTheStandby(t *testing.T) {
	storetest.PostgresURL(t) // skips if there is no PostgreSQL
	url, stop, err := storetest.Server()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	db, err := postgres.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	k := store.LeaseKey{Env: "test", ID: "lse_a"}
	tell := func(fn func(*store.Tx) error) error {
		settle, err := db.UpdateEarly(t.Context(), fn)
		if err != nil {
			t.Fatal(err)
		}
		return settle()
	}
	insert := func(id licensing.LeaseID) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			return tx.InsertLeases(t.Context(), []*licensing.Lease{{Env: k.Env, ID: id, License: "lic_a", Pool: "seats", Holder: string(id), Units: 1, Generation: 1}})
		}
	}
	read := func(tx *store.Tx) error {
		found, err := tx.Leases(t.Context(), []store.LeaseKey{k})
		if err == nil && len(found) != 1 {
			t.Error("an early commit is not visible")
		}
		return err
	}
	synchronous(t, url, "away")
	db.SetCommitLimit(300 * time.Millisecond)
	for name, err := range map[string]error{
		"an early commit": tell(insert(k.ID)), "one that only reads": tell(read), "a commit": db.Update(t.Context(), insert("lse_b")),
	} {
		if licensing.CodeOf(err) != licensing.OutcomeUnknown {
			t.Errorf("%s without the standby: %v", name, err)
		}
	}
	synchronous(t, url, "")
	db.SetCommitLimit(time.Minute)
	if err := tell(read); err != nil {
		t.Errorf("when commits wait for no standby: %v", err)
	}
}

// synchronous sets the standbys that commits wait for, and returns when the setting is in effect.
func synchronous(t *testing.T, url, standbys string) {
	t.Helper()
	conn, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, text := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + standbys + "'", "SELECT pg_reload_conf()"} {
		if _, err := conn.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	for now := "?"; now != standbys; {
		if err := conn.QueryRowContext(t.Context(), "SHOW synchronous_standby_names").Scan(&now); err != nil {
			t.Fatal(err)
		}
	}
}

// TestALostConnectionIsUnavailable checks that losing a connection within a transaction changes
// nothing, so the request can be repeated.
func TestALostConnectionIsUnavailable(t *testing.T) {
	url := storetest.PostgresURL(t)
	db, err := postgres.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, run := range map[string]func(context.Context, func(*store.Tx) error) error{"reading": db.View, "writing": db.Update} {
		err := run(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Leases(t.Context(), nil); err != nil {
				return err
			}
			const others = " FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'copyhold'"
			if _, err := conn.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid)"+others); err != nil {
				t.Fatal(err)
			}
			for left := 1; left > 0; {
				if err := conn.QueryRowContext(t.Context(), "SELECT count(*)"+others).Scan(&left); err != nil {
					t.Fatal(err)
				}
			}
			_, err := tx.Leases(t.Context(), []store.LeaseKey{{Env: "test", ID: "lse_a"}})
			return err
		})
		if licensing.CodeOf(err) != licensing.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}
