package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

const (
	// pingEvery is how often both ends see that the connection works.
	pingEvery = 20 * time.Second
	// streamLife is the time after which a stream is ended, so that clients spread over
	// servers again; the actual time is between once and twice as long.
	streamLife = 30 * time.Minute
	// streamWrite is how long a client may take to receive events.
	streamWrite = 10 * time.Second
)

// ownLicenseRoutes registers the caller's own license and the stream of its changes.
func (s *server) ownLicenseRoutes() {
	serve(s, route{
		ID: "own-license", Method: http.MethodGet, Path: "/v1/license", Tag: "license", Permission: access.LicenseKey, Class: renew,
		Summary: "Fetch the license document of the caller's key",
	}, nil, []answer{{http.StatusOK, "The document", v1.LicenseAnswer{}}},
		func(c *call, req *http.Request, _ *none) error {
			text, err := s.Authority.OwnLicense(req.Context(), c.principal)
			if err != nil {
				return err
			}
			s.writeJSON(c, http.StatusOK, "application/json", v1.LicenseAnswer{License: text})
			return nil
		})
	r := route{
		ID: "license-stream", Method: http.MethodGet, Path: "/v1/license/stream", Tag: "license", Permission: access.LicenseKey, Held: true,
		Summary: "Receive notice of changes",
		Description: "Server-sent events: `license`, `revocations` and `keyset` mean that there is a new version to fetch, and `ping` that the server is reachable. " +
			"`recall` names a lease of the license, `{\"lease\": ID}`, whose holder should renew it now because the lease was recalled. " +
			"Events prove nothing; clients fetch the signed documents. An event is sent within ten seconds of the change.",
	}
	s.declare(r)
	op := s.operation(r)
	op.Responses["200"] = textResponse("Events")
	op.Responses["200"].Content["text/event-stream"] = op.Responses["200"].Content["text/plain"]
	delete(op.Responses["200"].Content, "text/plain")
	s.huma.OpenAPI().AddOperation(&op)
	s.mux.Handle(r.pattern(), s.guard(s.declared[r.pattern()], s.stream))
}

// stream sends changes to the caller until either side ends the stream. Over HTTP/1, it takes the
// connection from net/http, which otherwise keeps the request and its buffers in memory.
func (s *server) stream(w http.ResponseWriter, req *http.Request) {
	c := callOf(req.Context())
	c.Header().Set("Content-Type", "text/event-stream")
	if req.Method == http.MethodHead {
		c.WriteHeader(http.StatusOK)
		return
	}
	leave, ok := s.held.enter(c.principal.License)
	if !ok {
		s.fail(c, newProblem(c, http.StatusServiceUnavailable, licensing.Unavailable, "too many streams are open; poll from time to time instead"))
		return
	}
	st := &stream{
		server: s, leave: leave, principal: c.principal, key: presentedIn(req.Header), due: opening, sending: true,
		until: s.Now().Add(streamLife + rand.N(streamLife)), //nolint:gosec // spreads load, guards nothing
	}
	listener, err := s.Authority.Listen(req.Context(), c.principal, func() { st.wake(change) })
	if err != nil {
		leave()
		s.fail(c, s.problem(c, err))
		return
	}
	st.listener, st.closed = listener, s.Metrics.Stream()
	if req.ProtoMajor == 1 {
		if st.out, err = takeOver(c, req, st, s.Now()); err != nil {
			st.end()
			s.fail(c, s.problem(c, err))
			return
		}
		s.wheel.add(st)
		go st.work()
		return
	}
	shared := newSharedConnection(c)
	st.out = shared
	s.wheel.add(st)
	go st.work()
	select {
	case <-req.Context().Done():
		st.wake(gone)
	case <-shared.closed:
	}
	<-shared.closed // the response must not be used after this function returns
}

// A reason is what a stream has to do next. One value can combine several.
type reason uint8

const (
	opening reason = 1 << iota // the stream begins
	change                     // the listener has notices
	ping
	stopping // the server ends the stream
	gone     // the client has ended the stream
)

// A stream is an open stream of changes. While there is nothing to send, it has no goroutine of
// its own except the one that waits for the client's end, and no timer. Changes that occur while
// the client is slow are combined.
type stream struct {
	server    *server
	out       connection
	listener  *documents.Listener
	principal access.Principal
	key       presented
	until     time.Time // when the server ends the stream
	slot      int       // of the wheel
	leave     func()
	closed    func()

	mu      sync.Mutex
	due     reason
	sending bool // a goroutine works, or the stream has ended
}

// A connection is what a stream is sent on.
type connection interface {
	// send sends bytes, which must be received until a time.
	send(events []byte, until time.Time) error
	// close ends the connection, whole if the client should see that nothing is missing.
	close(whole bool)
}

// wake makes the stream do something. It returns at once.
func (st *stream) wake(why reason) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.due |= why
	if !st.sending {
		st.sending = true
		go st.work()
	}
}

// work does what is due until nothing is, or the stream has ended. A panic ends only the stream.
func (st *stream) work() {
	defer func() {
		if caught := recover(); caught != nil {
			st.server.Metrics.Panic()
			st.server.Log.Error("panic in a stream", "panic", caught, "stack", string(debug.Stack()))
			st.end()
			st.out.close(false)
		}
	}()
	for {
		st.mu.Lock()
		due := st.due
		st.due, st.sending = 0, due != 0
		st.mu.Unlock()
		if due == 0 {
			return
		}
		if last, err := st.send(due); last || err != nil {
			st.end()
			st.out.close(err == nil)
			return
		}
	}
}

// end removes the stream from everything that knows it.
func (st *stream) end() {
	st.server.wheel.remove(st)
	st.listener.Close()
	st.leave()
	st.closed()
}

// errGone reports that the client has ended its stream.
var errGone = errors.New("the client has ended the stream")

// send sends the events that are due, all at once, and reports whether they were the last. A stream
// ends with its key, at its age, and with the server.
func (st *stream) send(due reason) (last bool, err error) {
	s, n := st.server, st.listener.Take()
	switch {
	case due&gone != 0:
		return true, errGone
	case due&stopping != 0, due&ping != 0 && s.Now().After(st.until):
		return true, nil
	case due&ping != 0 || n&ledger.KeysChanged != 0: // the key may have reached its end date
		if s.ended(s.stopping, st.key) != nil {
			return true, nil
		}
	}
	var b []byte
	if due&opening != 0 {
		b = fmt.Appendf(b, "retry: %d\n", 2000+rand.IntN(3000)) //nolint:gosec // spreads load, guards nothing
	}
	if due&(opening|ping) != 0 {
		b = append(b, "event: ping\ndata: {}\n\n"...)
	}
	if n&ledger.KeySetChanged != 0 {
		b = append(b, "event: keyset\ndata: {}\n\n"...)
	}
	if n&ledger.RevocationsChanged != 0 {
		b = append(b, "event: revocations\ndata: {}\n\n"...)
	}
	if n&(ledger.LicenseChanged|ledger.KeysChanged) != 0 {
		b = append(b, "event: license\ndata: {}\n\n"...)
	}
	if n&ledger.LeaseRecalled != 0 {
		ids, err := s.Authority.PendingRecalls(s.stopping, st.principal)
		if err != nil {
			return true, err
		}
		for _, id := range ids {
			text, err := json.Marshal(recallEvent{string(id)})
			if err != nil {
				return true, err
			}
			b = fmt.Appendf(b, "event: recall\ndata: %s\n\n", text)
		}
	}
	if len(b) == 0 { // an earlier wakeup has sent it
		return false, nil
	}
	return false, st.out.send(b, s.Now().Add(streamWrite))
}

type recallEvent struct {
	Lease string `json:"lease"`
}
