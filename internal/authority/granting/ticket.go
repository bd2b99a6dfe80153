package granting

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// Queued is the state of a place in a queue.
type Queued struct {
	Ticket   licensing.Ticket
	Decision license.Decision
	Ahead    int64 // places and offers before it
}

// Ticket returns the state of a place in a queue, and keeps the place for longer. When units are
// offered, an acquire with the ticket's request id claims them.
func (g *Granting) Ticket(ctx context.Context, p access.Principal, id licensing.TicketID) (Queued, error) {
	return g.ticket(ctx, p, id, OpTicket)
}

// Withdraw gives up a place in a queue. A repeated call returns the same result.
func (g *Granting) Withdraw(ctx context.Context, p access.Principal, id licensing.TicketID) (Queued, error) {
	return g.ticket(ctx, p, id, OpWithdraw)
}

func (g *Granting) ticket(ctx context.Context, p access.Principal, id licensing.TicketID, kind OpKind) (Queued, error) {
	if err := request.CheckNames(request.Text{Field: "id", Value: string(id)}); err != nil {
		return Queued{}, err
	}
	o := g.Op(p, kind, licensing.Caller{})
	o.Ticket = id
	if err := g.do(ctx, o); err != nil {
		return Queued{}, err
	}
	q := Queued{Ticket: *o.Answer.Queued}
	err := g.ledger.View(ctx, func(tx *store.Tx) error {
		k := o.poolKey(q.Ticket.Pool)
		row, err := tx.Pool(ctx, k)
		if err != nil {
			return err
		}
		q.Decision = q.Ticket.Decision(o.Answer.terms.Pools[k.Name], row.Stock)
		if q.Ticket.Live() {
			q.Ahead, err = tx.Ahead(ctx, k, q.Ticket.Place)
		}
		return err
	})
	return q, err
}
