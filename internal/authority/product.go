package authority

import (
	"context"
	"crypto/rand"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// CreateProduct stores a new product. Its salt and its time are set here.
func (a *Authority) CreateProduct(ctx context.Context, p access.Principal, product licensing.Product) (licensing.Product, error) {
	if err := require(p, access.ProductWrite); err != nil {
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
	if err := checkDisplays(text{"title", product.Title}, text{"owner.team", product.Owner.Team}, text{"owner.pager", product.Owner.Pager}); err != nil {
		return product, err
	}
	return once(ctx, a, p, as, func(c *change) (licensing.Product, error) {
		product.Created = c.Now()
		free, err := c.InsertProduct(ctx, product)
		if err != nil {
			return product, err
		}
		if !free {
			return product, licensing.Errorf(licensing.Exists, "there is a product %s already", product.Name).At("name")
		}
		return product, c.note(licensing.ProductCreated, licensing.Event{Product: product.Name}, product)
	})
}

// A ProductChange says what to change of a product; what is nil stays.
type ProductChange struct {
	Title *string     `json:"title,omitempty"`
	Owner OwnerChange `json:"owner,omitzero"`
}

// An OwnerChange says what to change of a product's owner; what is nil stays.
type OwnerChange struct {
	Team    *string `json:"team,omitempty"`
	Pager   *string `json:"pager,omitempty"`
	Runbook *string `json:"runbook,omitempty"`
}

// ChangeProduct changes the title and the owner of a product.
func (a *Authority) ChangeProduct(ctx context.Context, p access.Principal, name licensing.ProductName, wanted ProductChange) (licensing.Product, error) {
	if err := require(p, access.ProductWrite); err != nil {
		return licensing.Product{}, err
	}
	if err := checkDisplays(text{"title", orEmpty(wanted.Title)}, text{"owner.team", orEmpty(wanted.Owner.Team)}, text{"owner.pager", orEmpty(wanted.Owner.Pager)}); err != nil {
		return licensing.Product{}, err
	}
	as := struct {
		Name licensing.ProductName
		ProductChange
	}{name, wanted}
	return once(ctx, a, p, as, func(c *change) (licensing.Product, error) {
		product, err := seenProduct(ctx, c.Tx, p, name)
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
		if _, err := c.UpdateProduct(ctx, product); err != nil {
			return product, err
		}
		return product, c.note(licensing.ProductChanged, licensing.Event{Product: name}, product)
	})
}

// assign sets what is to be changed, and leaves it when nothing is said.
func assign[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// DeleteProduct removes a product of which there is no plan.
func (a *Authority) DeleteProduct(ctx context.Context, p access.Principal, name licensing.ProductName) error {
	if err := require(p, access.ProductWrite); err != nil {
		return err
	}
	return a.update(ctx, p.Env, p.Actor, func(c *change) error {
		if _, err := seenProduct(ctx, c.Tx, p, name); err != nil {
			return err
		}
		plans, err := c.Plans(ctx, p.Env, name, "", 1)
		if err != nil {
			return err
		}
		if len(plans) > 0 {
			return licensing.Errorf(licensing.Conflict, "product %s has plans, such as %s: what was sold keeps its name", name, plans[0].Name)
		}
		if _, err := c.Tx.DeleteProduct(ctx, p.Env, name); err != nil {
			return err
		}
		return c.note(licensing.ProductDeleted, licensing.Event{Product: name}, nil)
	})
}

// Products returns the products p sees, by name.
func (a *Authority) Products(ctx context.Context, p access.Principal, of PageOf) (Page[licensing.Product], error) {
	var found Page[licensing.Product]
	if err := require(p, access.ProductRead); err != nil {
		return found, err
	}
	after, rows, err := of.after("product")
	if err != nil {
		return found, err
	}
	if p.Product != "" {
		product, err := a.Product(ctx, p, p.Product)
		if err == nil && after == "" {
			found.Items = []licensing.Product{product}
		}
		return found, unlessNotFound(err)
	}
	err = a.db.View(ctx, func(tx *store.Tx) error {
		products, err := tx.Products(ctx, p.Env, after, rows)
		found = page("product", products, rows, func(p licensing.Product) string { return string(p.Name) })
		return err
	})
	return found, err
}

// Product returns one product that p sees.
func (a *Authority) Product(ctx context.Context, p access.Principal, name licensing.ProductName) (licensing.Product, error) {
	var found licensing.Product
	if err := require(p, access.ProductRead); err != nil {
		return found, err
	}
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		found, err = seenProduct(ctx, tx, p, name)
		return err
	})
	return found, err
}

func seenProduct(ctx context.Context, tx *store.Tx, p access.Principal, name licensing.ProductName) (licensing.Product, error) {
	product, ok, err := tx.Product(ctx, p.Env, name)
	if err == nil && (!ok || !p.SeesProduct(name)) {
		err = notFound("product", name)
	}
	return product, err
}
