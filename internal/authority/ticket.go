package authority

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// Queued is how a place in a queue stands.
type Queued struct {
	Ticket   licensing.Ticket
	Decision license.Decision
	Ahead    int64 // who wait or have offers before it
}

// Ticket says how a place in a queue stands, and keeps it for another while.
// Once it is offered, an acquire with the ticket's request id claims it.
func (a *Authority) Ticket(ctx context.Context, p access.Principal, id licensing.TicketID) (Queued, error) {
	return a.ticket(ctx, p, id, opTicket)
}

// Withdraw gives up a place in a queue. Doing it again says the same.
func (a *Authority) Withdraw(ctx context.Context, p access.Principal, id licensing.TicketID) (Queued, error) {
	return a.ticket(ctx, p, id, opWithdraw)
}

func (a *Authority) ticket(ctx context.Context, p access.Principal, id licensing.TicketID, kind opKind) (Queued, error) {
	if err := checkNames(text{"id", string(id)}); err != nil {
		return Queued{}, err
	}
	o := a.op(p, kind, licensing.Caller{})
	o.ticket = id
	if err := a.do(ctx, o); err != nil {
		return Queued{}, err
	}
	q := Queued{Ticket: *o.answer.queued}
	err := a.view(ctx, func(tx *store.Tx) error {
		k := o.poolKey(q.Ticket.Pool)
		row, err := tx.Pool(ctx, k)
		if err != nil {
			return err
		}
		q.Decision = q.Ticket.Decision(o.answer.terms.Pools[k.Name], row.Stock)
		if q.Ticket.Live() {
			q.Ahead, err = tx.Ahead(ctx, k, q.Ticket.Place)
		}
		return err
	})
	return q, err
}
