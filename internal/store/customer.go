package store

import (
	"context"

	"copyhold.dev/internal/licensing"
)

const customerColumns = `env, id, name, email, reference, metadata, created_at`

// InsertCustomer stores c and reports whether its id and its reference were free.
func (tx *Tx) InsertCustomer(ctx context.Context, c licensing.Customer) (bool, error) {
	metadata, err := encode(c.Metadata)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(ctx, `
		INSERT INTO customer (`+customerColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT DO NOTHING`,
		c.Env, c.ID, c.Name, c.Email, c.Reference, metadata, micros(c.Created))
	return n == 1, err
}

// UpdateCustomer replaces the customer with id c.ID and reports whether it exists.
func (tx *Tx) UpdateCustomer(ctx context.Context, c licensing.Customer) (bool, error) {
	metadata, err := encode(c.Metadata)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(ctx, `
		UPDATE customer SET name = $3, email = $4, reference = $5, metadata = $6 WHERE env = $1 AND id = $2`,
		c.Env, c.ID, c.Name, c.Email, c.Reference, metadata)
	return n == 1, err
}

// DeleteCustomer removes a customer and reports whether it existed.
func (tx *Tx) DeleteCustomer(ctx context.Context, env licensing.Env, id licensing.CustomerID) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM customer WHERE env = $1 AND id = $2`, env, id)
	return n == 1, err
}

// Customers returns up to limit customers with ids after the given one, sorted by id.
func (tx *Tx) Customers(ctx context.Context, env licensing.Env, after string, limit int) ([]licensing.Customer, error) {
	rows, err := tx.query(ctx, `
		SELECT `+customerColumns+` FROM customer WHERE env = $1 AND id > $2 ORDER BY id LIMIT $3`, env, after, limit)
	return collect(rows, err, scanCustomer)
}

// Customer returns the customer with the given id, and whether it exists.
func (tx *Tx) Customer(ctx context.Context, env licensing.Env, id licensing.CustomerID) (licensing.Customer, bool, error) {
	rows, err := tx.query(ctx, `SELECT `+customerColumns+` FROM customer WHERE env = $1 AND id = $2`, env, id)
	return only(collect(rows, err, scanCustomer))
}

// CustomerByReference returns the customer with the given reference, which is its name in the
// vendor's own system, and whether it exists.
func (tx *Tx) CustomerByReference(ctx context.Context, env licensing.Env, reference string) (licensing.Customer, bool, error) {
	rows, err := tx.query(ctx, `
		SELECT `+customerColumns+` FROM customer WHERE env = $1 AND reference = $2 AND reference <> ''`, env, reference)
	return only(collect(rows, err, scanCustomer))
}

func scanCustomer(r Row) (c licensing.Customer, err error) {
	var metadata string
	var created int64
	if err := r.Scan(&c.Env, &c.ID, &c.Name, &c.Email, &c.Reference, &metadata, &created); err != nil {
		return c, err
	}
	c.Created = instant(created)
	return c, decode(metadata, &c.Metadata)
}
