package catalog

import (
	"context"
	"crypto/rand"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// CreateProduct stores a new product. It sets the product's salt and time.
func (c *Catalog) CreateProduct(ctx context.Context, p access.Principal, product licensing.Product) (licensing.Product, error) {
	if err := request.Require(p, access.ProductWrite); err != nil {
		return product, err
	}
	if !p.SeesProduct(product.Name) {
		return product, licensing.Errorf(licensing.Forbidden, "the token is limited to product %s", p.Product)
	}
	as := product
	product.Env, product.Salt = p.Env, make([]byte, 16)
	rand.Read(product.Salt)
	if err := product.Check(); err != nil {
		return product, err
	}
	if err := request.CheckDisplays(request.Text{Field: "title", Value: product.Title}, request.Text{Field: "owner.team", Value: product.Owner.Team}, request.Text{Field: "owner.pager", Value: product.Owner.Pager}); err != nil {
		return product, err
	}
	return Once(ctx, c.ledger, p, as, func(tx *ledger.Tx) (licensing.Product, error) {
		product.Created = tx.Now()
		free, err := tx.InsertProduct(ctx, product)
		if err != nil {
			return product, err
		}
		if !free {
			return product, licensing.Errorf(licensing.Exists, "product %s already exists", product.Name).At("name")
		}
		return product, tx.Note(licensing.ProductCreated, licensing.Event{Product: product.Name}, entry.Product(product))
	})
}

// ChangeProduct changes the title and the owner of a product.
func (c *Catalog) ChangeProduct(ctx context.Context, p access.Principal, name licensing.ProductName, wanted v1.ProductChange) (licensing.Product, error) {
	if err := request.Require(p, access.ProductWrite); err != nil {
		return licensing.Product{}, err
	}
	if err := request.CheckDisplays(request.Text{Field: "title", Value: request.OrEmpty(wanted.Title)}, request.Text{Field: "owner.team", Value: request.OrEmpty(wanted.Owner.Team)}, request.Text{Field: "owner.pager", Value: request.OrEmpty(wanted.Owner.Pager)}); err != nil {
		return licensing.Product{}, err
	}
	as := struct {
		Name licensing.ProductName
		v1.ProductChange
	}{name, wanted}
	return Once(ctx, c.ledger, p, as, func(tx *ledger.Tx) (licensing.Product, error) {
		product, err := SeenProduct(ctx, tx.Tx, p, name)
		if err != nil {
			return product, err
		}
		assign(&product.Title, wanted.Title)
		assign(&product.Owner.Team, wanted.Owner.Team)
		assign(&product.Owner.Pager, wanted.Owner.Pager)
		assign(&product.Owner.Runbook, wanted.Owner.Runbook)
		if err := product.Check(); err != nil {
			return product, err
		}
		if _, err := tx.UpdateProduct(ctx, product); err != nil {
			return product, err
		}
		return product, tx.Note(licensing.ProductChanged, licensing.Event{Product: name}, entry.Product(product))
	})
}

// assign sets a value, unless the change does not contain one.
func assign[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// DeleteProduct removes a product that has no plan.
func (c *Catalog) DeleteProduct(ctx context.Context, p access.Principal, name licensing.ProductName) error {
	if err := request.Require(p, access.ProductWrite); err != nil {
		return err
	}
	return c.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		if _, err := SeenProduct(ctx, tx.Tx, p, name); err != nil {
			return err
		}
		plans, err := tx.Plans(ctx, p.Env, name, "", 1)
		if err != nil {
			return err
		}
		if len(plans) > 0 {
			return licensing.Errorf(licensing.Conflict, "product %s has plans, such as %s: a product that has been sold cannot be deleted", name, plans[0].Name)
		}
		if _, err := tx.Tx.DeleteProduct(ctx, p.Env, name); err != nil {
			return err
		}
		return tx.Note(licensing.ProductDeleted, licensing.Event{Product: name}, nil)
	})
}

// Products returns the products that p may see, by name.
func (c *Catalog) Products(ctx context.Context, p access.Principal, of request.PageOf) (request.Page[licensing.Product], error) {
	var found request.Page[licensing.Product]
	if err := request.Require(p, access.ProductRead); err != nil {
		return found, err
	}
	after, rows, err := of.After("product")
	if err != nil {
		return found, err
	}
	if p.Product != "" {
		product, err := c.Product(ctx, p, p.Product)
		if err == nil && after == "" {
			found.Items = []licensing.Product{product}
		}
		return found, request.UnlessNotFound(err)
	}
	err = c.ledger.DB.View(ctx, func(tx *store.Tx) error {
		products, err := tx.Products(ctx, p.Env, after, rows)
		found = request.NewPage("product", products, rows, func(p licensing.Product) string { return string(p.Name) })
		return err
	})
	return found, err
}

// Product returns one product that p may see.
func (c *Catalog) Product(ctx context.Context, p access.Principal, name licensing.ProductName) (licensing.Product, error) {
	var found licensing.Product
	if err := request.Require(p, access.ProductRead); err != nil {
		return found, err
	}
	err := c.ledger.DB.View(ctx, func(tx *store.Tx) (err error) {
		found, err = SeenProduct(ctx, tx, p, name)
		return err
	})
	return found, err
}

// SeenProduct returns a product that p may see. The error is NotFound if it does not exist or p may
// not see it.
func SeenProduct(ctx context.Context, tx *store.Tx, p access.Principal, name licensing.ProductName) (licensing.Product, error) {
	product, ok, err := tx.Product(ctx, p.Env, name)
	if err == nil && (!ok || !p.SeesProduct(name)) {
		err = request.NotFound("product", name)
	}
	return product, err
}
