package authority

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/sqlite"
)

// breakFile makes every write of this process to an open file fail, until mend is called.
func breakFile(t *testing.T, path string) (mend func()) {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull) // opened for reading, so writing to it fails
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	links, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	kept := map[int]int{}
	for _, link := range links {
		target, err := os.Readlink("/proc/self/fd/" + link.Name())
		if err != nil || target != path {
			continue
		}
		fd, err := strconv.Atoi(link.Name())
		if err != nil {
			t.Fatal(err)
		}
		if kept[fd], err = syscall.Dup(fd); err != nil {
			t.Fatal(err)
		}
	}
	if len(kept) == 0 {
		t.Fatalf("%s is not open", path)
	}
	replace := func(fd, by int) {
		if err := syscall.Dup3(by, fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	for fd := range kept {
		replace(fd, int(null.Fd()))
	}
	return func() {
		for fd, copied := range kept {
			replace(fd, copied)
			_ = syscall.Close(copied)
		}
	}
}

// TestAfterAFailedWriteTheServerPromisesNothing makes the write-ahead log fail during work.
func TestAfterAFailedWriteTheServerPromisesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copyhold.db")
	open := func() *store.DB {
		db, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	d := newTestAuthority(t, open())
	first := d.acquire(t, ask("seats", 1))
	mend := breakFile(t, path+"-wal")
	_, err := d.Acquire(t.Context(), d.p, ask("seats", 2))
	if code := licensing.CodeOf(err); code != licensing.OutcomeUnknown {
		t.Errorf("the disk failed and the answer is %q: %v", code, err)
	}
	select {
	case <-d.ledger.DB.Fatal():
	default:
		t.Error("the process is not told to end")
	}
	mend()
	if _, err := d.Acquire(t.Context(), d.p, ask("seats", 3)); licensing.CodeOf(err) != licensing.Unavailable {
		t.Errorf("acquiring afterward: %v, want unavailable", err)
	}
	if _, err := d.Renew(t.Context(), d.p, granting.RenewalRequest{Lease: first.Lease.ID, Generation: 1}); licensing.CodeOf(err) != licensing.Unavailable {
		t.Errorf("renewing afterward: %v, want unavailable", err)
	}
	if _, err := d.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("ready: %v", err)
	}
	d.Close()
	if err := d.ledger.DB.Close(); err != nil {
		t.Logf("closing: %v", err)
	}

	// A restart decides, and both requests get the outcome.
	db := open()
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	db.Now = d.clock.Now
	d = d.beside(t, db)
	if g := d.acquire(t, ask("seats", 1)); g.Lease == nil || g.Lease.ID != first.Lease.ID {
		t.Errorf("the lease from before: %+v", g.Decision)
	}
	if g := d.acquire(t, ask("seats", 2)); g.Lease == nil {
		t.Errorf("asking again: %+v", g.Decision)
	}
	if counter, charged, live := d.held(t, "seats"); counter != 2 || charged != 2 || live != 2 {
		t.Errorf("counter %d, charged %d, live %d; want 2 each", counter, charged, live)
	}
	if report, err := d.ledger.VerifyLog(t.Context(), owner()); err != nil || !report.Whole() {
		t.Error(err, report.Findings)
	}
}
