package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// maxWait bounds how long an acquire is held, in seconds; who wants to wait
// longer asks again with the same request id and keeps its place.
const maxWait = 300

// AcquireBody asks for units of a pool.
type AcquireBody struct {
	RequestID string     `json:"request_id" doc:"The request's own name: sent again, it gives the same lease"`
	Nonce     string     `json:"nonce,omitempty" doc:"8 to 128 random characters, repeated in what is signed"`
	Pool      string     `json:"pool"`
	Units     int64      `json:"units,omitempty" doc:"1 when left out"`
	Holder    HolderBody `json:"holder"`
	For       int64      `json:"for,omitempty" doc:"How long, in seconds, for borrowing; the pool's own length when left out"`
	Wait      int64      `json:"wait,omitempty" doc:"How long to hold the request while others have the units, in seconds, at most 300"`
	CallerBody
}

// RenewBody keeps a lease.
type RenewBody struct {
	Generation int64  `json:"generation" doc:"Of the lease as it was last signed"`
	Nonce      string `json:"nonce,omitempty" doc:"8 to 128 random characters, repeated in what is signed"`
	For        int64  `json:"for,omitempty" doc:"How long, in seconds; the pool's own length when left out"`
	Lease      string `json:"lease,omitempty" doc:"The lease as it was last signed, compact JWS: to be shown when the answer was not_found or gone, for the server may have lost what it knew"`
	CallerBody
}

// LeaseAnswer is what became of an acquire or a renewal. With 201 and 200 the
// units are held, or the fallback is in force and there is no lease; with 202
// there is a ticket.
type LeaseAnswer struct {
	Decision   license.Decision `json:"decision"`
	ID         string           `json:"id,omitempty" doc:"The lease"`
	Generation int64            `json:"generation,omitempty" doc:"To be named when it is renewed or released"`
	Lease      string           `json:"lease,omitempty" doc:"The lease, compact JWS"`
	Ticket     string           `json:"ticket,omitempty" doc:"The place in the queue"`
	Reply      string           `json:"reply,omitempty" doc:"The decision, signed, when there is no lease and the request had a nonce"`
}

// RecallBody says why a lease is recalled.
type RecallBody struct {
	Reason string `json:"reason,omitempty" maxLength:"400" doc:"Its holder and the log are told"`
}

// ReleaseAnswer is what a release freed.
type ReleaseAnswer struct {
	ID     string `json:"id"`
	FreeAt int64  `json:"free_at" doc:"When its units can be granted again, Unix seconds: later than now if the lease was ended by force"`
}

// leaseRoutes registers what programs do with leases.
func (s *server) leaseRoutes() {
	serve(s, route{
		ID: "acquire-lease", Method: http.MethodPost, Path: "/v1/leases", Tag: "lease", Permission: access.LicenseKey, Class: acquire,
		Summary:     "Acquire units of a pool",
		Description: "A denial is 409 with the decision, signed as `reply` if the request had a nonce. With `wait` the request is held until units are free or the time is over.",
	}, nil, []answer{
		{http.StatusCreated, "The lease", LeaseAnswer{}}, {http.StatusAccepted, "A place in the queue", LeaseAnswer{}},
		{http.StatusOK, "The fallback is in force, without a lease", LeaseAnswer{}},
	}, s.acquire)
	serve(s, route{
		ID: "renew-lease", Method: http.MethodPost, Path: "/v1/leases/{id}/renew", Tag: "lease", Permission: access.LicenseKey, Class: renew,
		Summary: "Keep a lease for another while",
	}, []parameter{{Name: "id", In: "path", Kind: "string", Doc: "The lease"}},
		[]answer{{http.StatusOK, "The lease", LeaseAnswer{}}}, s.renew)
	serve(s, route{
		ID: "release-lease", Method: http.MethodDelete, Path: "/v1/leases/{id}", Tag: "lease", Permission: access.LicenseKey, Or: access.LeaseFree, Class: release,
		Summary:     "Give a lease back",
		Description: "A program names the generation. With `force`, and a token that may free leases, somebody else's lease is ended; what was signed lives on until `free_at`.",
	}, append(callerParameters(), []parameter{
		{Name: "id", In: "path", Kind: "string", Doc: "The lease"},
		{Name: "generation", In: "query", Kind: "integer", Doc: "Of the lease as it was last signed"},
		{Name: "nonce", In: "query", Kind: "string", Doc: "Of a renewal whose answer was lost: it may have raised the generation"},
		{Name: "lease", In: "query", Kind: "string", Doc: "The lease as it was last signed, compact JWS: to be shown when the answer was not_found or conflict"},
		{Name: "force", In: "query", Kind: "boolean", Doc: "End it against its holder"},
	}...), []answer{{http.StatusOK, "It is given back", ReleaseAnswer{}}}, s.release)
	handle(s, route{
		ID: "recall-lease", Method: http.MethodPost, Path: "/v1/leases/{id}/recall", Tag: "lease", Permission: access.LeaseFree,
		Summary: "Ask a holder to give its lease back",
		Description: "A holder that listens hears of it at once, by its next signed lease, and stops after the pool's `recall` time, 30 s unless its plan says otherwise. " +
			"The units are free within seconds of that. One that does not listen keeps what was signed until `free_at`.",
	}, func(ctx context.Context, p access.Principal, in *struct {
		ID   string `path:"id" maxLength:"64"`
		Body RecallBody
	}) (*reply[documents.Recalled], error) {
		return answered(s.Authority.RecallLease(ctx, p, licensing.LeaseID(in.ID), in.Body.Reason))
	})
	s.leaseBatchRoutes()
	s.ticketRoutes()
}

func (s *server) acquire(c *call, req *http.Request, in *AcquireBody) error {
	if in.Wait < 0 || in.Wait > maxWait {
		return licensing.Errorf(licensing.Invalid, "wait is from 0 to %d seconds", maxWait).At("wait")
	}
	ctx := req.Context()
	if in.Wait > 0 {
		held, end, err := s.hold(c, req, time.Duration(in.Wait)*time.Second)
		if err != nil {
			return err
		}
		defer end()
		ctx = held
	}
	g, err := s.Authority.Acquire(ctx, c.principal, acquireRequest(in))
	if cause := context.Cause(ctx); err != nil && licensing.CodeOf(cause) == licensing.Unauthenticated {
		err = cause // the key ended while the request was held
	}
	if err != nil {
		return err
	}
	return s.granted(c, g, http.StatusCreated)
}

func acquireRequest(b *AcquireBody) granting.AcquireRequest {
	return granting.AcquireRequest{
		RequestID: b.RequestID, Nonce: b.Nonce, Pool: b.Pool, Units: b.Units, Holder: holderOf(b.Holder), Instance: b.Instance,
		For: licensing.Span(b.For), Wait: licensing.Span(b.Wait),
		Caller: callerOf(b.CallerBody),
	}
}

func holderOf(b HolderBody) request.Holder {
	return request.Holder{Kind: b.Kind, ID: b.ID, Name: b.Name, Components: b.Components}
}

// hold takes a request that waits out of what counts as work, and gives it a
// context that ends when the server stops, or the license key has ended.
func (s *server) hold(c *call, req *http.Request, wait time.Duration) (context.Context, func(), error) {
	leave, ok := s.held.enter(c.principal.License)
	if !ok {
		return nil, nil, licensing.Errorf(licensing.Unavailable, "too many requests are waiting; ask without wait, and again later")
	}
	c.rest(s.shedder)
	control := http.NewResponseController(c)
	if err := control.SetReadDeadline(time.Time{}); err == nil {
		err = control.SetWriteDeadline(s.Now().Add(wait + writeTimeout))
		if err != nil {
			leave()
			return nil, nil, err
		}
	}
	listener, err := s.Authority.Listen(req.Context(), c.principal)
	if err != nil {
		leave()
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	unhook := context.AfterFunc(s.stopping, func() { cancel(context.Canceled) })
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx, req, listener, cancel) })
	return ctx, func() { unhook(); cancel(nil); watching.Wait(); listener.Close(); leave() }, nil
}

// granted answers what became of an acquire or a renewal.
func (s *server) granted(c *call, g granting.Granted, held int) error {
	if p := s.denied(c, g.Decision, g.Reply); p != nil && g.Ticket == nil {
		s.fail(c, p)
		return nil
	}
	status := http.StatusOK
	switch {
	case g.Ticket != nil:
		status = http.StatusAccepted
	case g.Lease != nil:
		status = held
	}
	s.writeJSON(c, status, "application/json", leaseAnswer(g))
	return nil
}

func leaseAnswer(g granting.Granted) LeaseAnswer {
	a := LeaseAnswer{Decision: g.Decision, Lease: g.Document, Reply: g.Reply}
	if g.Lease != nil {
		a.ID, a.Generation = string(g.Lease.ID), g.Lease.Generation
	}
	if g.Ticket != nil {
		a.Ticket = string(g.Ticket.ID)
	}
	return a
}

// denied returns the problem that a decision is, nil if it allows. What is
// unavailable is no denial.
func (s *server) denied(c *call, d license.Decision, reply string) *Problem {
	switch d.Outcome {
	case license.Denied:
		p := newProblem(c, http.StatusConflict, licensing.Conflict, d.Reason)
		p.Type, p.Decision, p.Reply = "urn:copyhold:decision:"+d.Code, &d, reply
		if d.Code == license.CodeQueueFull {
			p.retryAfter = jittered(licensing.TicketLasts)
		}
		return p
	case license.Unavailable:
		p := newProblem(c, http.StatusServiceUnavailable, licensing.Unavailable, d.Reason)
		p.Decision = &d
		return p
	}
	return nil
}

func (s *server) renew(c *call, req *http.Request, in *RenewBody) error {
	g, err := s.Authority.Renew(req.Context(), c.principal, renewalRequest(in, req.PathValue("id")))
	if err != nil {
		return err
	}
	return s.granted(c, g, http.StatusOK)
}

func renewalRequest(b *RenewBody, id string) granting.RenewalRequest {
	return granting.RenewalRequest{Lease: licensing.LeaseID(id), Generation: b.Generation,
		Nonce: b.Nonce, For: licensing.Span(b.For), Document: b.Lease, Caller: callerOf(b.CallerBody)}
}

func (s *server) release(c *call, req *http.Request, _ *none) error {
	query := req.URL.Query()
	r := granting.ReleaseRequest{Lease: licensing.LeaseID(req.PathValue("id")), Nonce: query.Get("nonce"), Force: query.Get("force") == "true",
		Document: query.Get("lease"), Caller: callerIn(query)}
	if text := query.Get("generation"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return licensing.Errorf(licensing.Invalid, "generation is a whole number").At("generation")
		}
		r.Generation = n
	}
	freed, err := s.Authority.Release(req.Context(), c.principal, r)
	if err != nil {
		return err
	}
	s.writeJSON(c, http.StatusOK, "application/json", ReleaseAnswer{string(freed.ID), unix(freed.FreeAt)})
	return nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
