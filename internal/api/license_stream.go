package api

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"copyhold.dev/internal/access"
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
	// streamWrite is how long a client may take to receive an event.
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

// stream sends changes to the caller until either side ends the stream.
func (s *server) stream(w http.ResponseWriter, req *http.Request) {
	c := callOf(req.Context())
	leave, ok := s.held.enter(c.principal.License)
	if !ok {
		s.fail(c, newProblem(c, http.StatusServiceUnavailable, licensing.Unavailable, "too many streams are open; poll from time to time instead"))
		return
	}
	defer leave()
	listener, err := s.Authority.Listen(req.Context(), c.principal)
	if err != nil {
		s.fail(c, s.problem(c, err))
		return
	}
	defer listener.Close()
	defer s.Metrics.Stream()()
	e := &events{writer: c, control: http.NewResponseController(w), now: s.Now}
	c.Header().Set("Content-Type", "text/event-stream")
	if e.open() != nil || s.recalls(req, c, e) != nil {
		return
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	end := time.NewTimer(streamLife + rand.N(streamLife)) //nolint:gosec // spreads load, guards nothing
	defer end.Stop()
	for err == nil {
		select {
		case <-listener.Wake():
			n := listener.Take()
			if n&ledger.KeysChanged != 0 && s.ended(req) != nil {
				return
			}
			if err = e.notices(n); err == nil && n&ledger.LeaseRecalled != 0 {
				err = s.recalls(req, c, e)
			}
		case <-ping.C:
			if s.ended(req) != nil { // it may have reached its end date
				return
			}
			err = e.send("ping")
		case <-end.C:
			return
		case <-s.stopping.Done():
			return
		case <-req.Context().Done():
			return
		}
	}
}

// events writes server-sent events. Each write must end within streamWrite.
type events struct {
	writer  io.Writer
	control *http.ResponseController
	now     func() time.Time
}

// open begins the stream: the time to wait before opening another, and a ping.
func (e *events) open() error {
	if err := e.control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(e.writer, "retry: %d\n", 2000+rand.IntN(3000)); err != nil { //nolint:gosec // spreads load, guards nothing
		return err
	}
	return e.send("ping")
}

func (e *events) notices(n ledger.Notice) error {
	for _, event := range []struct {
		notice ledger.Notice
		name   string
	}{{ledger.KeySetChanged, "keyset"}, {ledger.RevocationsChanged, "revocations"}, {ledger.LicenseChanged | ledger.KeysChanged, "license"}} {
		if n&event.notice == 0 {
			continue
		}
		if err := e.send(event.name); err != nil {
			return err
		}
	}
	return nil
}

// recalls tells the caller which leases of its license were recalled.
func (s *server) recalls(req *http.Request, c *call, e *events) error {
	ids, err := s.Authority.PendingRecalls(req.Context(), c.principal)
	for _, id := range ids {
		if err == nil {
			err = e.sendData("recall", recallEvent{string(id)})
		}
	}
	return err
}

type recallEvent struct {
	Lease string `json:"lease"`
}

func (e *events) send(name string) error { return e.sendData(name, struct{}{}) }

func (e *events) sendData(name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if err := e.control.SetWriteDeadline(e.now().Add(streamWrite)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(e.writer, "event: %s\ndata: %s\n\n", name, text); err != nil {
		return err
	}
	return e.control.Flush()
}
