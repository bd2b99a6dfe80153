package api

import (
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// TicketAnswer is a place in a queue.
type TicketAnswer struct {
	ID       string           `json:"id"`
	Pool     string           `json:"pool"`
	Units    int64            `json:"units"`
	Decision license.Decision `json:"decision" doc:"queued while it waits; offered while units are kept for it: acquire with the same request id"`
	Ahead    int64            `json:"ahead" doc:"How many are served before it"`
	Deadline int64            `json:"deadline,omitempty" doc:"When waiting ends, Unix seconds"`
	Offered  int64            `json:"offered_until,omitempty" doc:"Until when units are kept for it, Unix seconds"`
	Lease    string           `json:"lease,omitempty" doc:"The lease it became"`
	Ended    string           `json:"ended,omitempty" doc:"How it ended: claimed, withdrawn, vanished, late, lapsed or too_large"`
}

func (s *server) ticketRoutes() {
	id := []parameter{{Name: "id", In: "path", Kind: "string", Doc: "The ticket"}}
	serve(s, route{
		ID: "ticket", Method: http.MethodGet, Path: "/v1/tickets/{id}", Tag: "lease", Permission: access.LicenseKey, Class: renew,
		Summary: "How does a place in the queue stand?", Description: "Asking keeps the place.",
	}, id, []answer{{http.StatusOK, "The ticket", TicketAnswer{}}}, func(c *call, req *http.Request, _ *none) error {
		q, err := s.Authority.Ticket(req.Context(), c.principal, licensing.TicketID(req.PathValue("id")))
		return s.queued(c, q, err)
	})
	serve(s, route{
		ID: "withdraw-ticket", Method: http.MethodDelete, Path: "/v1/tickets/{id}", Tag: "lease", Permission: access.LicenseKey, Class: release,
		Summary: "Give up a place in the queue",
	}, id, []answer{{http.StatusOK, "The ticket", TicketAnswer{}}}, func(c *call, req *http.Request, _ *none) error {
		q, err := s.Authority.Withdraw(req.Context(), c.principal, licensing.TicketID(req.PathValue("id")))
		return s.queued(c, q, err)
	})
}

func (s *server) queued(c *call, q granting.Queued, err error) error {
	if err != nil {
		return err
	}
	t := q.Ticket
	s.writeJSON(c, http.StatusOK, "application/json", TicketAnswer{
		ID: string(t.ID), Pool: t.Pool, Units: t.Units, Decision: q.Decision, Ahead: q.Ahead,
		Deadline: unix(t.Deadline), Offered: unix(t.Offered), Lease: string(t.Lease), Ended: string(t.EndedBy),
	})
	return nil
}
