package api

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// maxSent is how many bytes a client may send on an HTTP/1 stream before the stream ends. Clients
// have nothing to send.
const maxSent = 1 << 10

// ownConnection is the connection of an HTTP/1 stream, which is used for nothing else.
type ownConnection struct {
	conn    net.Conn
	chunked bool
	head    []byte // sent with the first events
}

// takeOver takes the connection of a request from net/http and wakes st when the client ends it.
func takeOver(c *call, req *http.Request, st *stream, now time.Time) (*ownConnection, error) {
	conn, _, err := http.NewResponseController(c).Hijack()
	if err != nil {
		return nil, err
	}
	o := &ownConnection{conn: conn, chunked: req.ProtoAtLeast(1, 1)}
	h := c.Header()
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	h.Set("Connection", "close")
	version := "1.0"
	if o.chunked {
		version = "1.1"
		h.Set("Transfer-Encoding", "chunked")
	}
	c.status = http.StatusOK
	head := bytes.NewBufferString("HTTP/" + version + " 200 OK\r\n")
	if err := h.Write(head); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	head.WriteString("\r\n")
	o.head = head.Bytes()
	go awaitEnd(conn, st)
	return o, nil
}

// awaitEnd wakes st when its client has ended the connection or sends too much. One of these
// goroutines waits for each stream, so it does nothing else: its stack stays small.
func awaitEnd(conn net.Conn, st *stream) {
	b := make([]byte, 64)
	for sent := 0; sent <= maxSent; {
		n, err := conn.Read(b)
		if err != nil {
			break
		}
		sent += n
	}
	st.wake(gone)
}

func (o *ownConnection) send(events []byte, until time.Time) error {
	if err := o.conn.SetWriteDeadline(until); err != nil {
		return err
	}
	b := o.head
	o.head = nil
	if o.chunked {
		b = fmt.Appendf(b, "%x\r\n%s\r\n", len(events), events)
	} else {
		b = append(b, events...)
	}
	_, err := o.conn.Write(b)
	return err
}

func (o *ownConnection) close(whole bool) {
	if whole && o.chunked && o.head == nil {
		_, _ = o.conn.Write([]byte("0\r\n\r\n")) // within the last deadline; nobody could use the error
	}
	_ = o.conn.Close()
}

// sharedConnection is the response of an HTTP/2 stream, whose connection serves other requests.
type sharedConnection struct {
	writer  http.ResponseWriter
	control *http.ResponseController
	closed  chan struct{}
}

func newSharedConnection(w http.ResponseWriter) *sharedConnection {
	return &sharedConnection{w, http.NewResponseController(w), make(chan struct{})}
}

func (o *sharedConnection) send(events []byte, until time.Time) error {
	if err := o.control.SetWriteDeadline(until); err != nil {
		return err
	}
	if _, err := o.writer.Write(events); err != nil {
		return err
	}
	return o.control.Flush()
}

// close lets the handler return, which ends the response.
func (o *sharedConnection) close(bool) { close(o.closed) }
