package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// measureStreams opens a stream for each of many licenses, applies a plan to all of them, and
// reports the memory of a stream and when the streams hear of the plan.
func measureStreams(ctx context.Context, s settings) ([]row, error) {
	m, err := s.serve(ctx, "", 100)
	if err != nil {
		return nil, err
	}
	defer func() { m.end() }()
	s.licenses = s.streams
	keys, err := issueMany(ctx, m, s)
	if err != nil {
		return nil, err
	}
	// The memory that the server needed to issue the licenses must not hide that of the streams.
	if err := s.restart(ctx, m); err != nil {
		return nil, err
	}
	before, err := m.resident()
	if err != nil {
		return nil, err
	}
	l := &listeners{streams: make([]listener, len(keys))}
	defer l.close()
	begin := time.Now()
	if err := l.open(m.addr, keys); err != nil {
		return nil, err
	}
	opened := time.Since(begin)
	after, err := m.resident()
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(m.dir, "owner.token"))
	if err != nil {
		return nil, err
	}
	v := vendor{addr: m.addr, token: strings.TrimSpace(string(token))}
	file := map[string]string{"name": "bench.yaml", "text": strings.Replace(fmt.Sprintf(benchPlan, 100), "render: true", "render: false", 1)}
	begin = time.Now()
	if err := v.call(http.MethodPost, "/v1/plans", map[string]any{"files": []any{file}, "licenses": "all"}, nil); err != nil {
		return nil, err
	}
	applied := time.Since(begin)
	l.settle(ctx, begin)
	heard := l.heard(begin)
	if len(heard) == 0 {
		return nil, errors.New("no stream heard of the plan")
	}
	fmt.Fprintf(s.log, "  %d streams opened in %v; plan applied in %v, heard first after %v and last after %v\n", len(keys),
		opened.Round(time.Millisecond), applied.Round(time.Millisecond), heard[0].Round(time.Millisecond), heard[len(heard)-1].Round(time.Millisecond))
	perStream := float64(after-before) / float64(len(keys)) / 1000
	last, missed, again := heard[len(heard)-1].Seconds(), float64(len(keys)-len(heard)), float64(l.again())
	what := fmt.Sprintf("%d streams, plan applied to all: ", len(keys))
	return []row{
		atMost(fmt.Sprintf("%d streams: resident memory of each", len(keys)), "kB", 20, perStream, 1, []float64{perStream}),
		atMost(what+"first one hears it", "s", 10, heard[0].Seconds(), 1, []float64{heard[0].Seconds()}),
		atMost(what+"last one hears it", "s", 10, last, 1, []float64{last}),
		atMost(what+"streams that do not hear it", "streams", 0, missed, 1, []float64{missed}),
		atMost(what+"streams that hear it again", "streams", 0, again, 1, []float64{again}),
	}, nil
}

// restart stops a measured server and starts it again on its data.
func (s settings) restart(ctx context.Context, m *measured) error {
	m.stop()
	again, err := launch(ctx, m.addr, s.binary, "serve", "--data", m.dir, "--listen", m.addr, "--log-level", "warn")
	if err != nil {
		return err
	}
	m.process = again
	return nil
}

// A listener is one open stream and when it heard of changes.
type listener struct {
	conn net.Conn
	at   []time.Time // of each event named license
}

type listeners struct {
	mu      sync.Mutex
	streams []listener
}

// open opens a stream with each key, on a few connections at a time, and waits for its first event.
func (l *listeners) open(addr string, keys []string) error {
	opened := make(chan error)
	tries := make(chan struct{}, connections)
	for i, key := range keys {
		go func() {
			tries <- struct{}{}
			defer func() { <-tries }()
			lines, err := l.start(i, addr, key)
			if err == nil {
				go l.read(i, lines)
			}
			opened <- err
		}()
	}
	var err error
	for range keys {
		err = errors.Join(err, <-opened)
	}
	return err
}

func (l *listeners) start(i int, addr, key string) (*bufio.Reader, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.streams[i].conn = conn
	l.mu.Unlock()
	if _, err := fmt.Fprintf(conn, "GET /v1/license/stream HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n\r\n", addr, key); err != nil {
		return nil, err
	}
	lines := bufio.NewReaderSize(conn, 1<<10)
	status, err := lines.ReadSlice('\n')
	if err == nil && !bytes.Contains(status, []byte(" 200 ")) {
		err = fmt.Errorf("opening a stream: %s", status)
	}
	for err == nil && !bytes.HasPrefix(status, []byte("event: ping")) {
		status, err = lines.ReadSlice('\n')
	}
	return lines, err
}

func (l *listeners) read(i int, lines *bufio.Reader) {
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return
		}
		if bytes.HasPrefix(line, []byte("event: license")) {
			l.mu.Lock()
			l.streams[i].at = append(l.streams[i].at, time.Now())
			l.mu.Unlock()
		}
	}
}

// settle waits until all streams have heard something since begin, for a minute at most, and then
// for as long as a repeated event could take.
func (l *listeners) settle(ctx context.Context, begin time.Time) {
	const pollsOfServer = 10 * time.Second
	end := begin.Add(time.Minute)
	for ctx.Err() == nil && time.Now().Before(end) && len(l.heard(begin)) < len(l.streams) {
		time.Sleep(100 * time.Millisecond)
	}
	select {
	case <-time.After(pollsOfServer):
	case <-ctx.Done():
	}
}

// heard returns, in order, how long after begin each stream heard of its first change.
func (l *listeners) heard(begin time.Time) (after []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.streams {
		if len(one.at) > 0 {
			after = append(after, one.at[0].Sub(begin))
		}
	}
	slices.Sort(after)
	return after
}

// again returns how many streams heard more than one change.
func (l *listeners) again() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.streams {
		if len(one.at) > 1 {
			n++
		}
	}
	return n
}

func (l *listeners) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.streams {
		if one.conn != nil {
			one.conn.Close()
		}
	}
}
