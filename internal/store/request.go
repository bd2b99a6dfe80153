package store

import (
	"context"
	"database/sql"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Request is the record of a request id: the request and its result.
type Request struct {
	Env     licensing.Env
	License licensing.LicenseID
	ID      string
	Body    int64 // a hash of the request
	Lease   licensing.LeaseID
	Ticket  licensing.TicketID
	At      time.Time
}

// An Ask is the fields that identify an acquire before it is decided.
type Ask struct {
	PoolKey
	Request  string
	Holder   string
	Instance string
}

// A Known is the result of looking up an ask: its request, if it was answered before, and the live
// lease of the same holder and instance.
type Known struct {
	Request Request
	Lease   licensing.LeaseID
}

var (
	lookUpAsks = newMultirow(`SELECT v.column1, r.body, r.lease, r.ticket, `+heldByAsker+` FROM (VALUES `, 7, "itttttt", `) v
		LEFT JOIN request r ON r.env = v.column2 AND r.license = v.column3 AND r.id = v.column5
		WHERE r.id IS NOT NULL OR `+heldByAsker+` IS NOT NULL`)
	putRequests = newMultirow(`INSERT INTO request (env, license, id, body, lease, ticket, at) VALUES `, 7, "",
		` ON CONFLICT (env, id, license) DO UPDATE SET lease = excluded.lease, ticket = excluded.ticket`)
	forgetRequests = newMultirow(`DELETE FROM request WHERE (env, license, id, lease, ticket) IN (VALUES `, 5, "ttttt", `)`)
)

// heldByAsker finds the live lease of a holder's instance. It is not a join: if PostgreSQL plans
// while there are few live leases, a join would scan the index of all live leases.
const heldByAsker = `(SELECT l.id FROM lease l WHERE l.env = v.column2 AND l.license = v.column3 AND l.pool = v.column4
	AND l.holder = v.column6 AND l.instance = v.column7 AND l.ended_at = 0)`

func (tx *Tx) lookUp(ctx context.Context, asks []Ask, found map[int]Known) error {
	args := make([]any, 0, 7*len(asks))
	for i, a := range asks {
		args = append(args, int64(i), string(a.Env), string(a.License), a.Name, a.Request, a.Holder, a.Instance)
	}
	return tx.askMany(ctx, &lookUpAsks, args, func(rows Row) error {
		var i int
		var body sql.NullInt64
		var lease, ticket, held sql.NullString
		if err := rows.Scan(&i, &body, &lease, &ticket, &held); err != nil {
			return err
		}
		k := Known{Lease: licensing.LeaseID(held.String)}
		if body.Valid {
			a := asks[i]
			k.Request = Request{Env: a.Env, License: a.License, ID: a.Request, Body: body.Int64,
				Lease: licensing.LeaseID(lease.String), Ticket: licensing.TicketID(ticket.String)}
		}
		found[i] = k
		return nil
	})
}

// PutRequests stores requests and their results.
func (tx *Tx) PutRequests(ctx context.Context, requests []Request) error {
	args := make([]any, 0, 7*len(requests))
	for _, r := range requests {
		args = append(args, string(r.Env), string(r.License), r.ID, r.Body, string(r.Lease), string(r.Ticket), micros(r.At))
	}
	return tx.putMany(ctx, &putRequests, args)
}

// Requests returns the records of a request id in an environment, for any license.
func (tx *Tx) Requests(ctx context.Context, env licensing.Env, id string) ([]Request, error) {
	rows, err := tx.query(ctx, `SELECT env, license, id, body, lease, ticket, at FROM request WHERE env = $1 AND id = $2 LIMIT 10`, env, id)
	if err != nil {
		return nil, err
	}
	var found []Request
	err = each(rows, func(rows Row) error {
		var r Request
		var at int64
		err := rows.Scan(&r.Env, &r.License, &r.ID, &r.Body, &r.Lease, &r.Ticket, &at)
		r.At = instant(at)
		found = append(found, r)
		return err
	})
	return found, err
}
