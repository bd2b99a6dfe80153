package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/store/storetest"
)

const connections = 64

// A seat is the answer to an acquire.
type seat struct {
	ID         string
	Generation int64
	Lease      string
}

// A taker acquires and releases seats, each for a new holder.
type taker struct {
	credential string
	next       atomic.Int64
}

func (t *taker) acquire(c *client) (seat, error) {
	n := strconv.FormatInt(t.next.Add(1), 10)
	body := []byte(`{"request_id":"req-` + n + `","nonce":"abcdefghijklmnopqrstuv","pool":"seats","units":1,"holder":{"kind":"user","id":"user-` + n + `"},"instance":"instance-` + n + `"}`)
	status, answer, err := c.do(http.MethodPost, "/v1/leases", t.credential, body)
	if err != nil {
		return seat{}, err
	}
	if status != http.StatusCreated {
		return seat{}, fmt.Errorf("acquire: status %d: %s", status, answer)
	}
	return readSeat(answer)
}

// readSeat extracts the members of an acquire's answer. A JSON parser would take processor time
// from the server, for work that the yardstick's client does not do.
func readSeat(answer []byte) (s seat, err error) {
	member := func(name, end string) string {
		_, rest, found := bytes.Cut(answer, []byte(name))
		value, _, closed := bytes.Cut(rest, []byte(end))
		if !found || !closed {
			err = fmt.Errorf("no %s in %s", name, answer)
		}
		return string(value)
	}
	s.ID, s.Lease = member(`"id":"`, `"`), member(`"lease":"`, `"`)
	generation := member(`"generation":`, ",")
	if err == nil {
		s.Generation, err = strconv.ParseInt(generation, 10, 64)
	}
	return s, err
}

func (t *taker) release(c *client, s seat) error {
	status, answer, err := c.do(http.MethodDelete, "/v1/leases/"+s.ID+"?generation="+strconv.FormatInt(s.Generation, 10), t.credential, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("release: status %d: %s", status, answer)
	}
	return err
}

// turn acquires and releases one seat, which counts as two operations.
func (t *taker) turn(_ int, c *client, note func(time.Duration)) error {
	begin := time.Now()
	s, err := t.acquire(c)
	if err != nil {
		return err
	}
	middle := time.Now()
	note(middle.Sub(begin))
	if err := t.release(c, s); err != nil {
		return err
	}
	note(time.Since(middle))
	return nil
}

// bareTurn posts the yardstick's body once.
func bareTurn(path string) func(int, *client, func(time.Duration)) error {
	body := yardstickBody()
	return func(_ int, c *client, note func(time.Duration)) error {
		begin := time.Now()
		status, answer, err := c.do(http.MethodPost, path, "", body)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("yardstick: status %d: %s", status, answer)
		}
		note(time.Since(begin))
		return nil
	}
}

// measureHot compares acquire and release on one hot pool with the bare signing
// handler, on the engine of the database URL.
func measureHot(name, database string, bound, p99Bound float64) func(context.Context, settings) ([]row, error) {
	return func(ctx context.Context, s settings) ([]row, error) {
		if database == "postgres" {
			url, stop, err := storetest.Server()
			if err != nil {
				return nil, err
			}
			defer stop()
			database = url
		}
		m, err := s.serve(ctx, database, 10_000)
		if err != nil {
			return nil, err
		}
		defer m.end()
		t := &taker{credential: m.credential}
		size, err := t.size(m.addr)
		if err != nil {
			return nil, err
		}
		bare, err := s.yardstick(ctx, size)
		if err != nil {
			return nil, err
		}
		defer bare.stop()
		return againstBare(ctx, s, "acquire and release, "+name, bound, p99Bound, "operations/s",
			load{m.process, t.turn}, load{bare, bareTurn("/signed")}, fmt.Sprintf("one pool of 10,000 seats, %d connections, lease of %d bytes.", connections, size))
	}
}

// A load is work that 64 connections send to a process.
type load struct {
	*process
	work func(int, *client, func(time.Duration)) error
}

// againstBare runs both loads in pairs. It compares throughput, and p99 if p99 has a bound.
func againstBare(ctx context.Context, s settings, name string, bound, p99Bound float64, unit string, ours, bare load, note string) ([]row, error) {
	var oursP99, bareP99, oursCPU, bareCPU []float64
	once := func(l load, p99, cpu *[]float64) func() (float64, error) {
		return func() (float64, error) {
			o, used, err := l.drive(connections, s.span, l.work)
			if err != nil {
				return 0, err
			}
			*p99 = append(*p99, float64(o.p99.Microseconds()))
			*cpu = append(*cpu, float64(used.Microseconds())/float64(o.operations))
			return o.perSecond, nil
		}
	}
	if _, err := drive(ours.addr, connections, s.span/2, ours.work); err != nil { // warm
		return nil, err
	}
	if _, err := drive(bare.addr, connections, s.span/2, bare.work); err != nil {
		return nil, err
	}
	a, b, ratios, err := pair(ctx, s.pairs, once(ours, &oursP99, &oursCPU), once(bare, &bareP99, &bareCPU))
	if err != nil {
		return nil, err
	}
	r := atLeast(name, unit, bound, a, b, ratios)
	r.Note = fmt.Sprintf("%s The server's processor time: %.0f us per operation; the yardstick's: %.0f us.", note, median(oursCPU), median(bareCPU))
	rows := []row{r}
	if p99Bound > 0 {
		p99 := make([]float64, len(oursP99))
		for i := range p99 {
			p99[i] = oursP99[i] / bareP99[i]
		}
		rows = append(rows, atMost(name+", p99", "us", p99Bound, median(oursP99), median(bareP99), p99))
	}
	return rows, nil
}

// size is the length of a lease's document.
func (t *taker) size(addr string) (int, error) {
	c, err := dial(addr)
	if err != nil {
		return 0, err
	}
	defer c.close()
	s, err := t.acquire(c)
	if err != nil {
		return 0, err
	}
	return len(s.Lease), t.release(c, s)
}
