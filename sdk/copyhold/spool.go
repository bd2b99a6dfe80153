package copyhold

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
)

const segmentBytes = 1 << 20

// A spool stores usage that the server has not acknowledged. It uses JSON lines in segment files,
// oldest first, or memory if there is no folder. It is safe for concurrent use.
type spool struct {
	dir   string
	limit int64

	mu       sync.Mutex
	segments []*segment
	bytes    int64
	count    int
	active   *os.File // the last segment, open for appending; nil until it is needed
	unsynced bool
}

// A segment is one file of the spool, or its lines in memory.
type segment struct {
	path   string
	size   int64 // bytes written
	read   int64 // bytes acknowledged
	events int   // number of events that are not acknowledged
	lines  [][]byte
}

// A mark records where a batch ends, for drop.
type mark struct {
	segment *segment
	bytes   int64
	events  int
}

// openSpool opens the spool in dir and creates dir if necessary; "" keeps the spool in memory. Lost
// counts damaged lines, for which append never returned success.
func openSpool(dir string, limit int64) (s *spool, lost int, err error) {
	s = &spool{dir: dir, limit: limit}
	if dir == "" {
		return s, 0, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, 0, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, 0, err
	}
	sort.Strings(names)
	for _, name := range names {
		if err := checkRegular(name); err != nil {
			return nil, 0, err
		}
		seg, torn, err := scanSegment(name)
		if err != nil {
			return nil, 0, err
		}
		lost += torn
		if seg.events == 0 {
			if err := os.Remove(name); err != nil {
				return nil, 0, err
			}
			continue
		}
		s.segments = append(s.segments, seg)
		s.bytes += seg.size
		s.count += seg.events
	}
	return s, lost, nil
}

func scanSegment(path string) (seg *segment, torn int, err error) {
	seg = &segment{path: path}
	err = seg.each(func(line []byte) bool {
		var u Usage
		if json.Unmarshal(line, &u) != nil {
			torn++
		} else {
			seg.events++
		}
		seg.size += int64(len(line))
		return true
	})
	return seg, torn, err
}

// each calls f with every unacknowledged line, including its line end, until f returns stop.
func (s *segment) each(f func(line []byte) bool) error {
	if s.path == "" {
		for _, line := range s.lines {
			if !f(line) {
				return nil
			}
		}
		return nil
	}
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(s.read, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReader(file)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 && !f(line) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// append adds all events or none. It fails with ErrSpoolFull at the limit.
func (s *spool) append(events ...Usage) error {
	var lines []byte
	for _, u := range events {
		line, err := json.Marshal(u)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+int64(len(lines)) > s.limit {
		return fmt.Errorf("recording usage: %w", ErrSpoolFull)
	}
	seg, err := s.tail()
	if err != nil {
		return classify(ErrCache, fmt.Errorf("recording usage: %w", err))
	}
	if seg.path == "" {
		seg.lines = append(seg.lines, splitLines(lines)...)
	} else if _, err := s.active.WriteAt(lines, seg.size); err != nil {
		// Anything written past the end is cut off here, or else overwritten by the next event.
		_ = s.active.Truncate(seg.size)
		return classify(ErrCache, fmt.Errorf("recording usage: %w", err))
	}
	seg.size += int64(len(lines))
	seg.events += len(events)
	s.bytes += int64(len(lines))
	s.count += len(events)
	s.unsynced = true
	return nil
}

func splitLines(lines []byte) [][]byte {
	var split [][]byte
	for line := range strings.Lines(string(lines)) {
		split = append(split, []byte(line))
	}
	return split
}

// tail returns the segment to append to.
func (s *spool) tail() (*segment, error) {
	if n := len(s.segments); n > 0 && (s.dir == "" || s.active != nil) && s.segments[n-1].size < segmentBytes {
		return s.segments[n-1], nil
	}
	seg := &segment{}
	if s.dir != "" {
		if err := s.rotate(seg); err != nil {
			return nil, err
		}
	}
	s.segments = append(s.segments, seg)
	return seg, nil
}

func (s *spool) rotate(seg *segment) error {
	next := 1
	if n := len(s.segments); n > 0 {
		last := strings.TrimSuffix(filepath.Base(s.segments[n-1].path), ".jsonl")
		if _, err := fmt.Sscanf(last, "%d", &next); err != nil {
			return fmt.Errorf("the spool contains a foreign file, %s", s.segments[n-1].path)
		}
		next++
	}
	seg.path = filepath.Join(s.dir, fmt.Sprintf("%016d.jsonl", next))
	f, err := os.OpenFile(seg.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := s.finish(); err != nil {
		return errors.Join(err, f.Close())
	}
	s.active = f
	return nil
}

// finish closes the open segment.
func (s *spool) finish() error {
	if s.active == nil {
		return nil
	}
	err := errors.Join(s.active.Sync(), s.active.Close())
	s.active = nil
	return err
}

// close keeps unsent events for the next process.
func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finish()
}

// batch returns up to n of the oldest events, and a mark to drop them with.
func (s *spool) batch(n int) ([]Usage, mark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segments) == 0 {
		return nil, mark{}, nil
	}
	head := s.segments[0]
	m := mark{segment: head}
	var events []Usage
	err := head.each(func(line []byte) bool {
		var u Usage
		if json.Unmarshal(line, &u) == nil {
			events = append(events, u)
			m.events++
		}
		m.bytes += int64(len(line))
		return len(events) < n && head.read+m.bytes < head.size
	})
	return events, m, err
}

// drop removes the events that batch returned together with m.
func (s *spool) drop(m mark) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.segment == nil || len(s.segments) == 0 || s.segments[0] != m.segment {
		return nil
	}
	head := m.segment
	head.read += m.bytes
	head.events -= m.events
	s.count -= m.events
	s.bytes -= m.bytes
	if head.path == "" {
		head.lines = head.lines[m.events:]
	}
	if head.read < head.size {
		return nil
	}
	s.segments = s.segments[1:]
	if head.path == "" {
		return nil
	}
	if len(s.segments) == 0 {
		if err := s.finish(); err != nil {
			return err
		}
	}
	return os.Remove(head.path)
}

// sync makes appended events survive a power failure.
func (s *spool) sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.unsynced || s.active == nil {
		return nil
	}
	s.unsynced = false
	return s.active.Sync()
}

// pending returns the number of unsent events, and their size in bytes.
func (s *spool) pending() (events int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.bytes
}
