package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"copyhold.dev/internal/api"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store/sqlite"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// restore replaces the running server with one on a restored backup.
func (s *shop) restore(t *testing.T, archive []byte) {
	t.Helper()
	s.down()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "copyhold.db"))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	log, instruments := slog.New(slog.DiscardHandler), metrics.New(time.Now)
	config := ledger.Config{DB: db, Ring: signing.NewRing(s.sealing), Log: log, Metrics: instruments, Dir: t.TempDir()}
	_, err = recovery.Restore(t.Context(), config, bytes.NewReader(archive))
	must(t, err)
	s.Authority = authority.New(config)
	t.Cleanup(s.Authority.Close)
	must(t, s.Start(t.Context()))
	s.handler, err = api.New(api.Config{Authority: s.Authority, Metrics: instruments, Log: log, Now: time.Now, Version: "test"})
	must(t, err)
	s.up()
}

// TestASeatSurvivesARestore restores a backup that is older than a seat. The program's next
// renewal restores the seat. A new request learns that the server is not certain, which is not
// a denial.
func TestASeatSurvivesARestore(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var archive bytes.Buffer
	_, err := s.Backup(t.Context(), s.owner, &archive)
	must(t, err)
	cache := t.TempDir()
	borrow := copyhold.AcquireOptions{For: time.Hour}
	first := s.program(t, copyhold.Options{CacheDir: cache, Service: "mill"}, nil)
	held, err := first.Acquire(t.Context(), "seats", borrow)
	must(t, err)
	must(t, first.Close()) // borrowed: it keeps its seat

	s.restore(t, archive.Bytes())
	again := s.program(t, copyhold.Options{CacheDir: cache, Service: "mill"}, nil)
	lease, err := again.Acquire(t.Context(), "seats", borrow) // from the cache; it is renewed at once
	must(t, err)
	if lease.ID() != held.ID() {
		t.Fatalf("%s in place of %s", lease.ID(), held.ID())
	}
	var back []v1.HeldLease
	eventually(t, patience, func() bool {
		found, err := s.Leases(t.Context(), s.owner, authority.LeaseFilter{Pool: "seats"}, request.PageOf{Limit: 10})
		must(t, err)
		back = found.Items
		return len(back) > 0
	})
	if back[0].ID != licensing.LeaseID(held.ID()) || back[0].Service != "mill" || lease.State() != license.StateValid {
		t.Errorf("%+v, and the program's is %s", back[0], lease.State())
	}
	newcomer := s.program(t, copyhold.Options{}, nil)
	if _, err := newcomer.Acquire(t.Context(), "seats", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrUnavailable) || errors.Is(err, copyhold.ErrDenied) {
		t.Errorf("a new request got %v", err)
	}
}
