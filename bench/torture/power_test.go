package torture

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestPowerLossLosesNothingAcknowledged runs the server on a separate file system and copies
// the device below it under load. The copy contains only what was synced, like a disk after a
// power failure.
func TestPowerLossLosesNothingAcknowledged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("mounting an image needs root; run the tests as root, or skip this one with -skip TestPower")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for range rounds(1, 10) {
		losePower(t, seed)
		seed++
	}
}

func losePower(t *testing.T, seed uint64) {
	dir := t.TempDir()
	image, after := filepath.Join(dir, "disk"), filepath.Join(dir, "disk-after")
	run(t, "truncate", "-s", "256M", image)
	run(t, "mkfs.ext4", "-q", "-F", image)
	disk := mount(t, image, filepath.Join(dir, "mnt"))

	s := install(t, filepath.Join(disk, "data"))
	s.start()
	defer s.kill()
	_, credential := s.license(killPlan)
	workers := crew(s, credential, 32, seed)
	ctx, cancel := context.WithCancel(t.Context())
	var acked atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(ctx, t, workers, &acked)
	}()
	<-time.After(1500 * time.Millisecond)
	for limit := time.Now().Add(patience); acked.Load() < 200 && time.Now().Before(limit); {
		<-time.After(10 * time.Millisecond)
	}
	// A stopped server can't acknowledge anything during the copy. Data that it has written
	// but not synced stays in the page cache above the device.
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	run(t, "cp", "--sparse=always", image, after)
	s.kill()
	cancel()
	<-done
	if acked.Load() < 100 {
		t.Fatalf("only %d operations were acknowledged, so the round shows little", acked.Load())
	}

	s.data = filepath.Join(mount(t, after, filepath.Join(dir, "mnt-after")), "data")
	s.start()
	stillTrue(t, s, workers)
	everyEventIsThere(t, workers)
	s.verifyLog()
	sweep(t, readRecord(t, s.record), grantsOf(workers), capacity)
	s.kill()
	t.Logf("%d operations acknowledged before the power failed", acked.Load())
}

// everyEventIsThere sends every acknowledged event again. The server must know each one.
func everyEventIsThere(t *testing.T, workers []*worker) {
	t.Helper()
	lost, all := 0, 0
	for _, w := range workers {
		for _, id := range w.recorded {
			all++
			if status, err := w.record(t.Context(), id); err != nil || status != "duplicate" {
				lost++
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged events are lost", lost, all)
	}
}

func mount(t *testing.T, image, at string) string {
	t.Helper()
	// A longer commit interval than the default 5 s, so that only a sync reaches the device.
	mountAt(t, at, "-o", "loop,commit=3600", image)
	return at
}

// mountAt creates the folder at and mounts on it until the test ends.
func mountAt(t *testing.T, at string, args ...string) {
	t.Helper()
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", append(args, at)...)
	t.Cleanup(func() { run(t, "umount", at) })
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
