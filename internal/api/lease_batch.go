package api

import (
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

func (s *server) leaseBatchRoutes() {
	serve(s, route{
		ID: "batch-leases", Method: http.MethodPost, Path: "/v1/leases/batch", Tag: "lease", Permission: access.LicenseKey, Class: acquire,
		Summary:     "Acquire, renew and release many leases",
		Description: "At most 1,000 requests. Each request has its own outcome, and none is held open. The batch's members about the caller apply to each request that does not have its own.",
	}, nil, []answer{{http.StatusOK, "The outcomes", v1.BatchAnswer{}}}, s.batch)
}

// maxTogether bounds the requests of one batch.
const maxTogether = 1000

func (s *server) batch(c *call, req *http.Request, in *v1.BatchBody) error {
	if n := len(in.Acquire) + len(in.Renew) + len(in.Release); n > maxTogether {
		return licensing.Errorf(licensing.TooLarge, "the batch has %d requests; the maximum is %d", n, maxTogether)
	}
	q := granting.LeaseBatch{
		Acquire: make([]granting.AcquireRequest, len(in.Acquire)),
		Renew:   make([]granting.RenewalRequest, len(in.Renew)),
		Release: make([]granting.ReleaseRequest, len(in.Release)),
	}
	all := callerOf(in.CallerBody)
	for i := range in.Acquire {
		q.Acquire[i] = acquireRequest(&in.Acquire[i])
		q.Acquire[i].Caller = q.Acquire[i].Caller.After(all)
		q.Acquire[i].Wait = 0
	}
	for i, r := range in.Renew {
		q.Renew[i] = renewalRequest(&r.RenewBody, r.ID)
		q.Renew[i].Caller = q.Renew[i].Caller.After(all)
	}
	for i, r := range in.Release {
		q.Release[i] = granting.ReleaseRequest{Lease: licensing.LeaseID(r.ID), Generation: r.Generation, Nonce: r.Nonce, Document: r.Lease, Caller: callerOf(r.CallerBody).After(all)}
	}
	out := s.Authority.Batch(req.Context(), c.principal, q)
	s.writeJSON(c, http.StatusOK, "application/json", v1.BatchAnswer{
		Acquire: s.outcomes(c, out.Acquire, http.StatusCreated),
		Renew:   s.outcomes(c, out.Renew, http.StatusOK),
		Release: s.outcomes(c, out.Release, 0),
	})
	return nil
}

// outcomes turns the outcomes of requests into answers. Held is the status for a
// lease, 0 for releases.
func (s *server) outcomes(c *call, all []granting.LeaseOutcome, held int) []v1.BatchOutcome {
	answers := make([]v1.BatchOutcome, len(all))
	for i, o := range all {
		switch {
		case o.Err != nil:
			p := s.problem(c, o.Err)
			answers[i] = v1.BatchOutcome{Status: p.Status, Problem: &p.Problem}
		case held == 0:
			answers[i] = v1.BatchOutcome{Status: http.StatusOK, Release: &v1.ReleaseAnswer{ID: string(o.Released.ID), FreeAt: unix(o.Released.FreeAt)}}
		default:
			answers[i] = s.leaseOutcome(c, o.Granted, held)
		}
	}
	return answers
}

func (s *server) leaseOutcome(c *call, g granting.Granted, held int) v1.BatchOutcome {
	if p := s.denied(c, g.Decision, g.Reply); p != nil && g.Ticket == nil {
		return v1.BatchOutcome{Status: p.Status, Problem: &p.Problem}
	}
	a := leaseAnswer(g)
	switch {
	case g.Ticket != nil:
		return v1.BatchOutcome{Status: http.StatusAccepted, Lease: &a}
	case g.Lease != nil:
		return v1.BatchOutcome{Status: held, Lease: &a}
	}
	return v1.BatchOutcome{Status: http.StatusOK, Lease: &a}
}
