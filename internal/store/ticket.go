package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

const ticketColumns = `t.env, t.id, t.license, t.pool, t.place, t.holder, t.instance, t.units, t.borrow, t.request,
	t.queued_at, t.deadline, t.alive_until, t.offered, t.lease, t.ended_at, t.ended_by, t.asker`

var (
	insertTickets = newMultirow(`INSERT INTO ticket (env, id, license, pool, place, holder, instance, units, borrow, request,
		queued_at, deadline, alive_until, offered, lease, ended_at, ended_by, asker) VALUES `, 18, "", ``)
	putTickets = newMultirow(`UPDATE ticket SET alive_until = v.column3, offered = v.column4, lease = v.column5,
		ended_at = v.column6, ended_by = v.column7 FROM (VALUES `, 7, "ttiitit", `) v
		WHERE ticket.env = v.column1 AND ticket.id = v.column2`)
	readTickets = newLocking(`SELECT `+ticketColumns+` FROM (VALUES `, 2, "tt", `) v
		CROSS JOIN ticket t WHERE t.env = v.column1 AND t.id = v.column2`, " FOR UPDATE OF t")
	keepTickets = newMultirow(`UPDATE ticket SET alive_until = v.column3 FROM (VALUES `, 3, "tti", `) v
		WHERE ticket.env = v.column1 AND ticket.id = v.column2 AND ticket.ended_at = 0 * v.column3`)
	forgetTickets = newMultirow(`DELETE FROM ticket WHERE (env, id) IN (VALUES `, 2, "tt", `)`)
)

func scanTicket(rows Row) (t licensing.Ticket, err error) {
	var queued, deadline, alive, offered, ended int64
	var asker string
	err = rows.Scan(&t.Env, &t.ID, &t.License, &t.Pool, &t.Place, &t.Holder, &t.Instance, &t.Units, &t.Borrow, &t.Request,
		&queued, &deadline, &alive, &offered, &t.Lease, &ended, &t.EndedBy, &asker)
	if err != nil {
		return t, err
	}
	t.Queued, t.Deadline, t.Alive = instant(queued), instant(deadline), instant(alive)
	t.Offered, t.Ended = instant(offered), instant(ended)
	t.Asker, err = decodeAsker(asker)
	return t, err
}

// InsertTickets stores new places in queues.
func (tx *Tx) InsertTickets(ctx context.Context, tickets []*licensing.Ticket) error {
	args := make([]any, 0, 18*len(tickets))
	for _, t := range tickets {
		asker, err := encodeAsker(t.Asker)
		if err != nil {
			return err
		}
		args = append(args, t.Env, t.ID, t.License, t.Pool, t.Place, t.Holder, t.Instance, t.Units, int64(t.Borrow), t.Request,
			micros(t.Queued), micros(t.Deadline), micros(t.Alive), micros(t.Offered), t.Lease, micros(t.Ended), t.EndedBy, asker)
	}
	return tx.putMany(ctx, &insertTickets, args)
}

// PutTickets stores the mutable fields of existing places.
func (tx *Tx) PutTickets(ctx context.Context, tickets []*licensing.Ticket) error {
	args := make([]any, 0, 7*len(tickets))
	for _, t := range tickets {
		args = append(args, t.Env, t.ID, micros(t.Alive), micros(t.Offered), t.Lease, micros(t.Ended), t.EndedBy)
	}
	return tx.putMany(ctx, &putTickets, args)
}

// A TicketKey identifies a place in a queue.
type TicketKey struct {
	Env licensing.Env
	ID  licensing.TicketID
}

// Tickets returns the remembered tickets with these keys, in any order. In a write transaction they
// stay locked until the commit.
func (tx *Tx) Tickets(ctx context.Context, keys []TicketKey) ([]*licensing.Ticket, error) {
	args := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, k.Env, k.ID)
	}
	var tickets []*licensing.Ticket
	err := tx.queryMany(ctx, &readTickets, args, func(rows Row) error {
		t, err := scanTicket(rows)
		tickets = append(tickets, &t)
		return err
	})
	return tickets, err
}

// Queue returns up to limit live tickets of a pool after a place, in order.
func (tx *Tx) Queue(ctx context.Context, k PoolKey, after int64, limit int) ([]*licensing.Ticket, error) {
	return tx.tickets(ctx, `SELECT `+ticketColumns+` FROM ticket t
		WHERE t.env = $1 AND t.license = $2 AND t.pool = $3 AND t.ended_at = 0 AND t.place > $4
		ORDER BY t.place LIMIT $5`, k.Env, k.License, k.Name, after, limit)
}

// HolderTickets returns the live tickets of one holder in a pool, in order.
func (tx *Tx) HolderTickets(ctx context.Context, k PoolKey, holder string) ([]*licensing.Ticket, error) {
	return tx.tickets(ctx, `SELECT `+ticketColumns+` FROM ticket t
		WHERE t.env = $1 AND t.license = $2 AND t.pool = $3 AND t.holder = $4 AND t.ended_at = 0
		ORDER BY t.place`, k.Env, k.License, k.Name, holder)
}

func (tx *Tx) tickets(ctx context.Context, text string, args ...any) ([]*licensing.Ticket, error) {
	rows, err := tx.query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	var tickets []*licensing.Ticket
	err = each(rows, func(rows Row) error {
		t, err := scanTicket(rows)
		tickets = append(tickets, &t)
		return err
	})
	return tickets, err
}

// Ahead returns how many tickets wait before a place.
func (tx *Tx) Ahead(ctx context.Context, k PoolKey, place int64) (n int64, err error) {
	_, err = tx.row(ctx, `SELECT COUNT(*) FROM ticket
		WHERE env = $1 AND license = $2 AND pool = $3 AND ended_at = 0 AND place < $4`, []any{k.Env, k.License, k.Name, place}, &n)
	return n, err
}

// KeepTickets keeps the places of waiters that are still present.
func (tx *Tx) KeepTickets(ctx context.Context, keys []TicketKey, until time.Time) error {
	args := make([]any, 0, 3*len(keys))
	for _, k := range keys {
		args = append(args, k.Env, k.ID, micros(until))
	}
	return tx.putMany(ctx, &keepTickets, args)
}

// KeepAllTickets keeps every place at least until a time, because waiters could not send requests
// while no server ran.
func (tx *Tx) KeepAllTickets(ctx context.Context, until time.Time) error {
	_, err := tx.exec(ctx, `UPDATE ticket SET alive_until = $1 WHERE ended_at = 0 AND alive_until < $1`, micros(until))
	return err
}

// ForgetTickets deletes up to limit tickets that ended before a time, and the requests that led
// only to them.
func (tx *Tx) ForgetTickets(ctx context.Context, before time.Time, limit int) (int, error) {
	rows, err := tx.query(ctx, `SELECT env, id, license, request FROM ticket
		WHERE ended_at > 0 AND ended_at < $1 ORDER BY ended_at LIMIT $2`, micros(before), limit)
	if err != nil {
		return 0, err
	}
	var tickets, requests []any
	err = each(rows, func(rows Row) error {
		var env, id, license, request string
		err := rows.Scan(&env, &id, &license, &request)
		tickets = append(tickets, env, id)
		requests = append(requests, env, license, request, "", id)
		return err
	})
	if err != nil {
		return 0, err
	}
	if _, err := tx.execMany(ctx, &forgetRequests, requests); err != nil {
		return 0, err
	}
	n, err := tx.execMany(ctx, &forgetTickets, tickets)
	return int(n), err
}
