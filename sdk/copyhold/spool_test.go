package copyhold

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func usage(n int) Usage { return Usage{ID: fmt.Sprintf("u%d", n), Meter: "calls", Quantity: "1"} }

func drain(t *testing.T, s *spool, n int) (ids []string) {
	t.Helper()
	for {
		events, m, err := s.batch(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return ids
		}
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		if err := s.drop(m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSpoolKeepsOrderAcrossRestarts(t *testing.T) {
	for name, dir := range map[string]string{"disk": t.TempDir(), "memory": ""} {
		t.Run(name, func(t *testing.T) {
			s, _, err := openSpool(dir, 64<<20)
			if err != nil {
				t.Fatal(err)
			}
			const total = 20_000 // several segments
			for i := range total {
				if err := s.append(usage(i)); err != nil {
					t.Fatal(err)
				}
				if i == total/2 && dir != "" {
					if err := s.close(); err != nil {
						t.Fatal(err)
					}
					if s, _, err = openSpool(dir, 64<<20); err != nil {
						t.Fatal(err)
					}
				}
			}
			if n, _ := s.pending(); n != total {
				t.Fatalf("%d pending, want %d", n, total)
			}
			ids := drain(t, s, 500)
			if len(ids) != total {
				t.Fatalf("%d drained, want %d", len(ids), total)
			}
			for i, id := range ids {
				if id != usage(i).ID {
					t.Fatalf("event %d is %s", i, id)
				}
			}
			if n, bytes := s.pending(); n != 0 || bytes != 0 {
				t.Fatalf("%d events of %d bytes left", n, bytes)
			}
			if err := s.append(usage(1)); err != nil {
				t.Fatal(err)
			}
			if got := drain(t, s, 10); len(got) != 1 {
				t.Fatalf("after draining: %v", got)
			}
		})
	}
}

func TestSpoolRefusesAtItsLimitAndNeverDrops(t *testing.T) {
	s, _, err := openSpool(t.TempDir(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for i := range 100 {
		if err = s.append(usage(i)); err != nil {
			break
		}
		kept++
	}
	if !errors.Is(err, ErrSpoolFull) {
		t.Fatalf("at the limit: %v", err)
	}
	if got := drain(t, s, 7); len(got) != kept {
		t.Fatalf("%d of %d kept", len(got), kept)
	}
}

func TestSpoolCountsATornLine(t *testing.T) {
	dir := t.TempDir()
	s, _, _ := openSpool(dir, 1<<20)
	if err := s.append(usage(1), usage(2)); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	f, err := os.OpenFile(names[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"id":"u3","met`); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	s, lost, err := openSpool(dir, 1<<20)
	if err != nil || lost != 1 {
		t.Fatalf("lost %d, %v", lost, err)
	}
	if err := s.append(usage(4)); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, s, 10); fmt.Sprint(got) != "[u1 u2 u4]" {
		t.Fatalf("drained %v", got)
	}
}
