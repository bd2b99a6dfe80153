package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestFullDiskDeniesNothingAndLosesNothing fills the server's disk under load and then frees
// space again. The server must not acknowledge what it could not store, must not deny anything
// because of the full disk, and must still answer requests that need no write.
func TestFullDiskDeniesNothingAndLosesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("mounting an image needs root; run the tests as root, or skip this one with -skip TestFullDisk")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	image := filepath.Join(dir, "disk")
	run(t, "truncate", "-s", "160M", image) // leaves space for the server's own data between two fillers
	run(t, "mkfs.ext4", "-q", "-F", "-m", "0", image)
	disk := mount(t, image, filepath.Join(dir, "mnt"))
	s := install(t, filepath.Join(disk, "data"))
	s.start()
	defer s.kill()
	_, credential := s.license(killPlan)
	workers := crew(s, credential, capacity-4, seed)
	for _, w := range workers {
		w.roomy = true
	}

	ctx, cancel := context.WithCancel(t.Context())
	var acked atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(ctx, t, workers, &acked)
	}()
	for round := range rounds(1, 5) {
		<-time.After(500 * time.Millisecond)
		filler := filepath.Join(disk, "filler")
		fill(t, filler)
		refuses(t, s, workers[0], round)
		validates(t, s, credential)
		full := acked.Load()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		goesOn(t, s, &acked, full)
	}
	cancel()
	<-done
	stillTrue(t, s, workers)
	everyEventIsThere(t, workers)
	s.verifyLog()
	sweep(t, readRecord(t, s.record), grantsOf(workers), capacity)
	t.Logf("%d operations acknowledged", acked.Load())
}

// TestFailedDiskEndsTheServer makes writes to the disk fail under load. After a failed sync,
// nobody knows what is stored, so the process must exit by itself. A restart decides what
// is true.
func TestFailedDiskEndsTheServer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("mounting an image needs root; run the tests as root, or skip this one with -skip TestFailedDisk")
	}
	dir := t.TempDir()
	below := filepath.Join(dir, "below")
	mountAt(t, below, "-t", "tmpfs", "-o", "size=64M", "tmpfs")
	image, at := filepath.Join(below, "disk"), filepath.Join(dir, "mnt")
	run(t, "truncate", "-s", "256M", image) // more than the file system below has space for
	run(t, "mkfs.ext4", "-q", "-F", image)
	var s *server
	var workers []*worker
	t.Run("fails", func(t *testing.T) {
		s = install(t, filepath.Join(mount(t, image, at), "data"))
		s.record = filepath.Join(dir, "record")
		s.start()
		t.Cleanup(s.kill)
		_, credential := s.license(killPlan)
		workers = crew(s, credential, capacity-4, rand.Uint64())
		ctx, cancel := context.WithCancel(t.Context())
		var acked atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			work(ctx, t, workers, &acked)
		}()
		<-time.After(500 * time.Millisecond)
		fill(t, filepath.Join(below, "filler"))
		limit := time.Now().Add(patience)
		for !s.ended() {
			if time.Now().After(limit) {
				t.Fatalf("the disk fails, but the server keeps running:\n%s", s.log)
			}
			<-time.After(20 * time.Millisecond)
		}
		s.kill() // it has exited: this waits for its last output
		cancel()
		<-done
		t.Logf("%d operations acknowledged; the server's last line: %s", acked.Load(), lastLine(s.log.String()))
	})
	if t.Failed() {
		return
	}
	if err := os.Remove(filepath.Join(below, "filler")); err != nil {
		t.Fatal(err)
	}
	mountAt(t, at+"-again", "-o", "loop", image)
	s.t, s.data = t, filepath.Join(at+"-again", "data")
	s.start()
	t.Cleanup(s.kill)
	stillTrue(t, s, workers)
	everyEventIsThere(t, workers)
	s.verifyLog()
	sweep(t, readRecord(t, s.record), grantsOf(workers), capacity)
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) >= 512; {
		switch _, err := f.Write(block); {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// refuses waits until the full disk prevents usage from being recorded. The server must report
// a failure then, not a denial.
func refuses(t *testing.T, s *server, w *worker, round int) {
	t.Helper()
	limit := time.Now().Add(patience)
	for n := 0; time.Now().Before(limit); n++ {
		a, err := s.do(t.Context(), w.http, http.MethodPost, "/v1/usage", w.credential, map[string]any{
			"events": []map[string]any{{"id": fmt.Sprintf("full-%d-%d", round, n), "meter": "calls", "quantity": 1}},
		})
		switch {
		case err == nil && a.status != http.StatusOK && a.status != http.StatusTooManyRequests || strings.Contains(string(a.body), "denied"):
			t.Fatalf("the disk is full, and the answer is %d %s", a.status, a.body)
		case err != nil && strings.Contains(err.Error(), "denied"):
			t.Fatalf("the disk is full, and the answer is %v", err)
		case err != nil:
			t.Logf("with a full disk: %v", err)
			return
		}
	}
	t.Fatal("the disk is full, but the server still acknowledges usage")
}

// validates checks that a running server still signs a license's document for its clients,
// because that needs no write.
func validates(t *testing.T, s *server, credential string) {
	t.Helper()
	if s.ended() {
		return // programs continue by the dates of their documents
	}
	for n := range 20 {
		a, err := s.do(t.Context(), http.DefaultClient, http.MethodPost, "/v1/validate", credential, map[string]any{"product": "lathe", "nonce": fmt.Sprint("nonce-of-", n)})
		if err != nil && s.endsWithin(patience) { // its connections break before the process exits
			return
		}
		if err != nil || a.status != http.StatusOK || !strings.Contains(string(a.body), `"outcome":"allowed"`) {
			t.Errorf("validating on a full disk: %d %s %v", a.status, a.body, err)
		}
	}
}

// endsWithin reports whether the process exits by itself within limit.
func (s *server) endsWithin(limit time.Duration) bool {
	for end := time.Now().Add(limit); !s.ended(); {
		if time.Now().After(end) {
			return false
		}
		<-time.After(5 * time.Millisecond)
	}
	return true
}

// goesOn waits until changes are acknowledged again. A failed sync ends the process; then
// goesOn restarts it.
func goesOn(t *testing.T, s *server, acked *atomic.Int64, since int64) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for acked.Load() <= since+20 {
		if s.ended() {
			t.Log("the server exited and is restarted")
			s.kill()
			s.start()
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("the disk has space again, but nothing is acknowledged:\n%s", s.log)
		}
	}
}
