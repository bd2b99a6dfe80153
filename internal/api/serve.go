package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Timeouts of a connection. Held requests and streams move their own deadlines.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 90 * time.Second
	headerBytes   = 16 << 10
	http2Streams  = 100
)

// NewServer returns an HTTP server for h with limits against slow headers, slow
// bodies, idle connections and large headers.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: http2Streams},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.Background() },
	}
}

// Bound returns a listener with at most limit connections at a time, and at most
// perAddress from one address; 0 means no limit. A connection over the total
// limit waits to be accepted; one over the limit of its address is closed.
func Bound(l net.Listener, limit, perAddress int) net.Listener {
	b := &boundListener{Listener: l, perAddress: perAddress, held: map[string]int{}}
	if limit > 0 {
		b.slots = make(chan struct{}, limit)
	}
	return b
}

type boundListener struct {
	net.Listener
	slots      chan struct{}
	perAddress int

	mu   sync.Mutex
	held map[string]int // connections by address
}

// Accept implements net.Listener.
func (b *boundListener) Accept() (net.Conn, error) {
	for {
		if b.slots != nil {
			b.slots <- struct{}{}
		}
		conn, err := b.Listener.Accept()
		if err != nil {
			b.free()
			return nil, err
		}
		host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		if b.count(host, 1) {
			return &boundConn{Conn: conn, closed: sync.OnceFunc(func() { b.count(host, -1); b.free() })}, nil
		}
		_ = conn.Close() // nobody could use the error
		b.free()
	}
}

func (b *boundListener) free() {
	if b.slots != nil {
		<-b.slots
	}
}

// count adds n connections of host and reports whether they are within the limit.
func (b *boundListener) count(host string, n int) bool {
	if b.perAddress == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[host]+n > b.perAddress {
		return false
	}
	if b.held[host] += n; b.held[host] == 0 {
		delete(b.held, host)
	}
	return true
}

type boundConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *boundConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
