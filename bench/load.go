package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A client speaks HTTP/1.1 on one kept-alive connection. It does as little work as possible,
// because the server shares its two cores with the load.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
	body []byte
	host string
}

func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, r: bufio.NewReaderSize(conn, 16<<10), host: addr}, nil
}

func (c *client) close() { c.conn.Close() }

// do sends one request and returns status and body; the body is valid until
// the next call.
func (c *client) do(method, path, authorization string, body []byte) (int, []byte, error) {
	b := c.buf[:0]
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.host...)
	if authorization != "" {
		b = append(b, "\r\nAuthorization: "...)
		b = append(b, authorization...)
	}
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, body...)
	c.buf = b
	if _, err := c.conn.Write(b); err != nil {
		return 0, nil, err
	}
	return c.response()
}

// response reads one answer. It parses only the header that it needs.
func (c *client) response() (int, []byte, error) {
	head, err := c.head()
	if err != nil {
		return 0, nil, err
	}
	if len(head) < 12 {
		return 0, nil, fmt.Errorf("short status line %q", head)
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return 0, nil, err
	}
	_, rest, found := bytes.Cut(head, []byte("\r\nContent-Length: "))
	number, _, _ := bytes.Cut(rest, []byte("\r\n"))
	length, err := strconv.Atoi(string(number))
	if !found && status != http.StatusNoContent {
		return status, nil, errors.New("response has no Content-Length, which the load client requires")
	}
	if found && err != nil {
		return 0, nil, err
	}
	if _, err := c.r.Discard(len(head) + len("\r\n\r\n")); err != nil {
		return 0, nil, err
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err = io.ReadFull(c.r, c.body)
	return status, c.body, err
}

// head returns the status line and the headers, which remain in the buffer.
func (c *client) head() ([]byte, error) {
	for want := 1; ; want = c.r.Buffered() + 1 {
		if _, err := c.r.Peek(want); err != nil {
			return nil, err
		}
		seen, _ := c.r.Peek(c.r.Buffered())
		if end := bytes.Index(seen, []byte("\r\n\r\n")); end >= 0 {
			return seen[:end], nil
		}
	}
}

// An outcome is the result of a run of load.
type outcome struct {
	operations int
	perSecond  float64
	p50, p99   time.Duration
}

// drive runs work on n connections until d has passed. Work reports the latency of each of its
// operations with a call of its last argument.
func drive(addr string, n int, d time.Duration, work func(worker int, c *client, note func(time.Duration)) error) (outcome, error) {
	latencies := make([][]time.Duration, n)
	fails := make([]error, n)
	start := time.Now()
	stop := start.Add(d)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			c, err := dial(addr)
			if err != nil {
				fails[i] = err
				return
			}
			defer c.close()
			note := func(d time.Duration) { latencies[i] = append(latencies[i], d) }
			for time.Now().Before(stop) {
				if err := work(i, c, note); err != nil {
					fails[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if err := errors.Join(fails...); err != nil {
		return outcome{}, err
	}
	return summarize(slices.Concat(latencies...), took), nil
}

func summarize(all []time.Duration, took time.Duration) outcome {
	if len(all) == 0 {
		return outcome{}
	}
	slices.Sort(all)
	return outcome{
		operations: len(all),
		perSecond:  float64(len(all)) / took.Seconds(),
		p50:        all[len(all)/2],
		p99:        all[len(all)*99/100],
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}
