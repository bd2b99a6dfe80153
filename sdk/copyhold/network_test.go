//go:build go1.25

package copyhold

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// network connects clients and servers in memory, so that a synctest bubble controls its time.
type network struct {
	mu    sync.Mutex
	hosts map[string]*listener
	down  map[string]bool
	dials int
}

type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newNetwork() *network { return &network{hosts: map[string]*listener{}, down: map[string]bool{}} }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *listener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// serve runs a server until the test ends.
func (n *network) serve(t *testing.T, host string, h http.Handler) {
	l := &listener{conns: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	n.hosts[host] = l
	n.mu.Unlock()
	s := &http.Server{Handler: h}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving %s: %v", host, err)
		}
	}()
	t.Cleanup(func() { _ = s.Close() })
}

// cut disconnects a host from the network or reconnects it. Existing connections break.
func (n *network) cut(host string, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[host] = down
}

type brokenConn struct {
	net.Conn
	n    *network
	host string
}

func (c brokenConn) Write(b []byte) (int, error) {
	c.n.mu.Lock()
	down := c.n.down[c.host]
	c.n.mu.Unlock()
	if down {
		_ = c.Close()
		return 0, errors.New("connection reset")
	}
	return c.Conn.Write(b)
}

// client returns an HTTP client on the network.
func (n *network) client(t *testing.T) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		n.mu.Lock()
		l, down := n.hosts[host], n.down[host]
		n.dials++
		n.mu.Unlock()
		if l == nil || down {
			return nil, errors.New("connection refused")
		}
		here, there := net.Pipe()
		select {
		case l.conns <- there:
			return brokenConn{here, n, host}, nil
		case <-l.done:
			return nil, errors.New("connection refused")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// world combines a vendor, a network, and a machine whose clock can be wrong.
type world struct {
	*vendor
	net    *network
	start  time.Time
	mu     sync.Mutex
	wrong  time.Duration
	bootID string
	env    map[string]string
}

func newWorld(t *testing.T) *world {
	w := &world{net: newNetwork(), start: time.Now(), bootID: "boot-1", env: map[string]string{}}
	w.vendor = newVendor(t, time.Now)
	w.net.serve(t, "one.test", w.handler())
	return w
}

func (w *world) setClock(wrong time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = wrong
}

func (w *world) system() system {
	return system{
		now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return time.Now().Add(w.wrong)
		},
		boot:   func() time.Duration { return time.Since(w.start) + time.Hour },
		bootID: w.bootID,
		getenv: func(name string) string { return w.env[name] },
		machine: func() machine {
			return machine{"board": "4c4c4544-0042", "network": "00:16:3e:01:02:03", "system": "abc", "drive": "S1"}
		},
	}
}

// pass lets time pass in a bubble and waits until everything that is due by then is done. The order
// in which goroutines with the same deadline wake up is random.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// open starts a client and closes it when the test ends.
func (w *world) open(t *testing.T, o Options) *Client {
	t.Helper()
	c := w.start1(t, o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) start1(t *testing.T, o Options) *Client {
	t.Helper()
	if o.HTTPClient == nil {
		o.HTTPClient = w.net.client(t)
	}
	c, err := open(t.Context(), o, w.system())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// slowQueue delays a request that may wait by 20 seconds before the server receives it.
func slowQueue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/leases" {
			body, err := io.ReadAll(r.Body) // so that the handler notices the end of the connection
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			select {
			case <-time.After(20 * time.Second):
			case <-r.Context().Done():
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// silent accepts requests and never answers.
func silent(http.Handler) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the handler notices the end of the connection
		<-r.Context().Done()
	})
}
