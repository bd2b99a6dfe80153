package store

import (
	"context"

	"copyhold.dev/internal/licensing"
)

const productColumns = `env, name, title, team, pager, runbook, salt, created_at`

// InsertProduct stores p and reports whether its name was free.
func (tx *Tx) InsertProduct(ctx context.Context, p licensing.Product) (bool, error) {
	n, err := tx.exec(ctx, `
		INSERT INTO product (`+productColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (env, name) DO NOTHING`,
		p.Env, p.Name, p.Title, p.Owner.Team, p.Owner.Pager, p.Owner.Runbook, p.Salt, micros(p.Created))
	return n == 1, err
}

// UpdateProduct replaces the title and the owner of the product named p.Name and reports whether it
// exists. It keeps the salt, because fingerprints depend on it.
func (tx *Tx) UpdateProduct(ctx context.Context, p licensing.Product) (bool, error) {
	n, err := tx.exec(ctx, `
		UPDATE product SET title = $3, team = $4, pager = $5, runbook = $6
		WHERE env = $1 AND name = $2`,
		p.Env, p.Name, p.Title, p.Owner.Team, p.Owner.Pager, p.Owner.Runbook)
	return n == 1, err
}

// DeleteProduct removes a product and reports whether it existed.
func (tx *Tx) DeleteProduct(ctx context.Context, env licensing.Env, name licensing.ProductName) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM product WHERE env = $1 AND name = $2`, env, name)
	return n == 1, err
}

// Products returns up to limit products with names after the given one, sorted by name.
func (tx *Tx) Products(ctx context.Context, env licensing.Env, after string, limit int) ([]licensing.Product, error) {
	rows, err := tx.query(ctx, `
		SELECT `+productColumns+` FROM product
		WHERE env = $1 AND name > $2 ORDER BY name LIMIT $3`, env, after, limit)
	return collect(rows, err, scanProduct)
}

// Product returns the product with the given name, and whether it exists.
func (tx *Tx) Product(ctx context.Context, env licensing.Env, name licensing.ProductName) (licensing.Product, bool, error) {
	rows, err := tx.query(ctx, `SELECT `+productColumns+` FROM product WHERE env = $1 AND name = $2`, env, name)
	return only(collect(rows, err, scanProduct))
}

func scanProduct(r Row) (p licensing.Product, err error) {
	var created int64
	err = r.Scan(&p.Env, &p.Name, &p.Title, &p.Owner.Team, &p.Owner.Pager, &p.Owner.Runbook, &p.Salt, &created)
	p.Created = instant(created)
	return p, err
}
