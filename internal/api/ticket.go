package api

import (
	"net/http"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

func (s *server) ticketRoutes() {
	id := []parameter{{Name: "id", In: "path", Kind: "string", Doc: "The ticket"}}
	serve(s, route{
		ID: "ticket", Method: http.MethodGet, Path: "/v1/tickets/{id}", Tag: "lease", Permission: access.LicenseKey, Class: renew,
		Summary: "Show a place in the queue", Description: "Each request keeps the place.",
	}, id, []answer{{http.StatusOK, "The ticket", v1.TicketAnswer{}}}, func(c *call, req *http.Request, _ *none) error {
		q, err := s.Authority.Ticket(req.Context(), c.principal, licensing.TicketID(req.PathValue("id")))
		return s.queued(c, q, err)
	})
	serve(s, route{
		ID: "withdraw-ticket", Method: http.MethodDelete, Path: "/v1/tickets/{id}", Tag: "lease", Permission: access.LicenseKey, Class: release,
		Summary: "Give up a place in the queue",
	}, id, []answer{{http.StatusOK, "The ticket", v1.TicketAnswer{}}}, func(c *call, req *http.Request, _ *none) error {
		q, err := s.Authority.Withdraw(req.Context(), c.principal, licensing.TicketID(req.PathValue("id")))
		return s.queued(c, q, err)
	})
}

func (s *server) queued(c *call, q granting.Queued, err error) error {
	if err != nil {
		return err
	}
	t := q.Ticket
	s.writeJSON(c, http.StatusOK, "application/json", v1.TicketAnswer{
		ID: string(t.ID), Pool: t.Pool, Units: t.Units, Decision: q.Decision, Ahead: q.Ahead,
		Deadline: unix(t.Deadline), Offered: unix(t.Offered), Lease: string(t.Lease), Ended: string(t.EndedBy),
	})
	return nil
}
