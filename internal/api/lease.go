package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// maxWait is the longest time that an acquire is held, in seconds. To wait longer, a
// program repeats the request with the same request id and keeps its place.
const maxWait = 300

// leaseRoutes registers the operations of programs on leases.
func (s *server) leaseRoutes() {
	serve(s, route{
		ID: "acquire-lease", Method: http.MethodPost, Path: "/v1/leases", Tag: "lease", Permission: access.LicenseKey, Class: acquire,
		Summary:     "Acquire units of a pool",
		Description: "A denial is 409 with the decision, signed as `reply` if the request had a nonce. With `wait`, the request is held until units are free or the time is over.",
	}, nil, []answer{
		{http.StatusCreated, "The lease", v1.LeaseAnswer{}}, {http.StatusAccepted, "A place in the queue", v1.LeaseAnswer{}},
		{http.StatusOK, "The fallback features apply; there is no lease", v1.LeaseAnswer{}},
	}, s.acquire)
	serve(s, route{
		ID: "renew-lease", Method: http.MethodPost, Path: "/v1/leases/{id}/renew", Tag: "lease", Permission: access.LicenseKey, Class: renew,
		Summary: "Renew a lease",
	}, []parameter{{Name: "id", In: "path", Kind: "string", Doc: "The lease"}},
		[]answer{{http.StatusOK, "The lease", v1.LeaseAnswer{}}}, s.renew)
	serve(s, route{
		ID: "release-lease", Method: http.MethodDelete, Path: "/v1/leases/{id}", Tag: "lease", Permission: access.LicenseKey, Or: access.LeaseFree, Class: release,
		Summary:     "Give a lease back",
		Description: "A program must give the generation. With `force`, a token that may free leases can end any lease. The signed lease stays valid until `free_at`.",
	}, append(callerParameters(), []parameter{
		{Name: "id", In: "path", Kind: "string", Doc: "The lease"},
		{Name: "generation", In: "query", Kind: "integer", Doc: "The generation of the lease in its latest signed document"},
		{Name: "nonce", In: "query", Kind: "string", Doc: "The nonce of a renewal whose answer was lost, because that renewal may have raised the generation"},
		{Name: "lease", In: "query", Kind: "string", Doc: "The latest signed document of the lease, compact JWS. Send it after the answer not_found or conflict"},
		{Name: "force", In: "query", Kind: "boolean", Doc: "Whether to end the lease without its holder's consent"},
	}...), []answer{{http.StatusOK, "The lease is released", v1.ReleaseAnswer{}}}, s.release)
	handle(s, route{
		ID: "recall-lease", Method: http.MethodPost, Path: "/v1/leases/{id}/recall", Tag: "lease", Permission: access.LeaseFree,
		Summary: "Ask a holder to give its lease back",
		Description: "A connected holder learns of the recall immediately, from its next signed lease, and stops after the pool's `recall` time, by default 30 seconds. " +
			"The units are free within seconds of that. A holder that is not connected keeps its signed lease until `free_at`.",
	}, func(ctx context.Context, p access.Principal, in *struct {
		ID   string `path:"id" maxLength:"64"`
		Body v1.RecallBody
	}) (*reply[v1.Recalled], error) {
		return answered(s.Authority.RecallLease(ctx, p, licensing.LeaseID(in.ID), in.Body.Reason))
	})
	s.leaseBatchRoutes()
	s.ticketRoutes()
}

func (s *server) acquire(c *call, req *http.Request, in *v1.AcquireBody) error {
	if in.Wait < 0 || in.Wait > maxWait {
		return licensing.Errorf(licensing.Invalid, "wait must be 0 to %d seconds", maxWait).At("wait")
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

func acquireRequest(b *v1.AcquireBody) granting.AcquireRequest {
	return granting.AcquireRequest{
		RequestID: b.RequestID, Nonce: b.Nonce, Pool: b.Pool, Units: b.Units, Holder: holderOf(b.Holder), Instance: b.Instance,
		For: licensing.Span(b.For), Wait: licensing.Span(b.Wait),
		Caller: callerOf(b.CallerBody),
	}
}

func holderOf(b v1.HolderBody) request.Holder {
	return request.Holder{Kind: b.Kind, ID: b.ID, Name: b.Name, Components: b.Components}
}

// hold removes a waiting request from the work that is limited, and gives it a
// context that ends when the server stops or the license key has ended.
func (s *server) hold(c *call, req *http.Request, wait time.Duration) (context.Context, func(), error) {
	leave, ok := s.held.enter(c.principal.License)
	if !ok {
		return nil, nil, licensing.Errorf(licensing.Unavailable, "too many requests are waiting; repeat the request later, without wait")
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
	woken := make(chan struct{}, 1)
	listener, err := s.Authority.Listen(req.Context(), c.principal, func() {
		select {
		case woken <- struct{}{}:
		default: // the last wakeup is still pending
		}
	})
	if err != nil {
		leave()
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	unhook := context.AfterFunc(s.stopping, func() { cancel(context.Canceled) })
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx, presentedIn(req.Header), listener, woken, cancel) })
	return ctx, func() { unhook(); cancel(nil); watching.Wait(); listener.Close(); leave() }, nil
}

// granted answers an acquire or a renewal.
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

func leaseAnswer(g granting.Granted) v1.LeaseAnswer {
	a := v1.LeaseAnswer{Decision: g.Decision, Lease: g.Document, Reply: g.Reply}
	if g.Lease != nil {
		a.ID, a.Generation = string(g.Lease.ID), g.Lease.Generation
	}
	if g.Ticket != nil {
		a.Ticket = string(g.Ticket.ID)
	}
	return a
}

// denied returns the problem for a decision, nil if it allows. An unavailable decision
// is not a denial.
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

func (s *server) renew(c *call, req *http.Request, in *v1.RenewBody) error {
	g, err := s.Authority.Renew(req.Context(), c.principal, renewalRequest(in, req.PathValue("id")))
	if err != nil {
		return err
	}
	return s.granted(c, g, http.StatusOK)
}

func renewalRequest(b *v1.RenewBody, id string) granting.RenewalRequest {
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
			return licensing.Errorf(licensing.Invalid, "generation must be a whole number").At("generation")
		}
		r.Generation = n
	}
	freed, err := s.Authority.Release(req.Context(), c.principal, r)
	if err != nil {
		return err
	}
	s.writeJSON(c, http.StatusOK, "application/json", v1.ReleaseAnswer{ID: string(freed.ID), FreeAt: unix(freed.FreeAt)})
	return nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
