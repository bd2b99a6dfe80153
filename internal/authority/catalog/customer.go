package catalog

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// CreateCustomer stores a new customer. It sets the customer's id and time.
func (c *Catalog) CreateCustomer(ctx context.Context, p access.Principal, customer licensing.Customer) (licensing.Customer, error) {
	if err := request.Require(p, access.CustomerWrite); err != nil {
		return customer, err
	}
	if p.Customer != "" {
		return customer, licensing.Errorf(licensing.Forbidden, "the token is limited to customer %s", p.Customer)
	}
	if err := customer.Check(); err != nil {
		return customer, err
	}
	if err := checkCustomer(customer.Name, customer.Email, customer.Reference); err != nil {
		return customer, err
	}
	return Once(ctx, c.ledger, p, customer, func(tx *ledger.Tx) (licensing.Customer, error) {
		created := customer
		created.Env, created.Created = p.Env, tx.Now()
		created.ID = licensing.CustomerID(ledger.NewID(licensing.CustomerPrefix, tx.Now()))
		if err := referenceFree(ctx, tx.Tx, created); err != nil {
			return created, err
		}
		if _, err := tx.InsertCustomer(ctx, created); err != nil {
			return created, err
		}
		return created, tx.Note(licensing.CustomerCreated, licensing.Event{Customer: created.ID}, entry.Customer{Reference: created.Reference})
	})
}

// ChangeCustomer changes the stored details of a customer.
func (c *Catalog) ChangeCustomer(ctx context.Context, p access.Principal, id licensing.CustomerID, wanted v1.CustomerChange) (licensing.Customer, error) {
	if err := request.Require(p, access.CustomerWrite); err != nil {
		return licensing.Customer{}, err
	}
	if err := checkCustomer(request.OrEmpty(wanted.Name), request.OrEmpty(wanted.Email), request.OrEmpty(wanted.Reference)); err != nil {
		return licensing.Customer{}, err
	}
	as := struct {
		ID licensing.CustomerID
		v1.CustomerChange
	}{id, wanted}
	return Once(ctx, c.ledger, p, as, func(tx *ledger.Tx) (licensing.Customer, error) {
		customer, err := ownCustomer(ctx, tx, p, id)
		if err != nil {
			return customer, err
		}
		assign(&customer.Name, wanted.Name)
		assign(&customer.Email, wanted.Email)
		assign(&customer.Reference, wanted.Reference)
		assign(&customer.Metadata, wanted.Metadata)
		if err := customer.Check(); err != nil {
			return customer, err
		}
		if err := referenceFree(ctx, tx.Tx, customer); err != nil {
			return customer, err
		}
		if _, err := tx.UpdateCustomer(ctx, customer); err != nil {
			return customer, err
		}
		return customer, tx.Note(licensing.CustomerChanged, licensing.Event{Customer: id}, entry.Customer{Reference: customer.Reference})
	})
}

// checkCustomer checks new details of a customer. Stored details are not checked again.
func checkCustomer(name, email, reference string) error {
	if err := request.CheckDisplays(request.Text{Field: "name", Value: name}); err != nil {
		return err
	}
	return request.CheckTexts(request.Text{Field: "email", Value: email}, request.Text{Field: "reference", Value: reference})
}

// DeleteCustomer removes a customer that has no license, not even an ended one.
func (c *Catalog) DeleteCustomer(ctx context.Context, p access.Principal, id licensing.CustomerID) error {
	if err := request.Require(p, access.CustomerWrite); err != nil {
		return err
	}
	return c.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		customer, err := ownCustomer(ctx, tx, p, id)
		if err != nil {
			return err
		}
		licenses, err := tx.Licenses(ctx, p.Env, store.LicenseFilter{Customer: id}, "", 1)
		if err != nil {
			return err
		}
		if len(licenses) > 0 {
			return licensing.Errorf(licensing.Conflict, "customer %s has licenses, such as %s: transfer them first", id, licenses[0].ID)
		}
		if _, err := tx.Tx.DeleteCustomer(ctx, p.Env, id); err != nil {
			return err
		}
		if err := keepTrials(ctx, tx, customer); err != nil {
			return err
		}
		return tx.Note(licensing.CustomerDeleted, licensing.Event{Customer: id}, nil)
	})
}

// Customers returns the customers that p may see, by id, which is by time. If reference is not
// empty, it returns only the customer with that reference.
func (c *Catalog) Customers(ctx context.Context, p access.Principal, reference string, of request.PageOf) (request.Page[licensing.Customer], error) {
	var found request.Page[licensing.Customer]
	if err := request.Require(p, access.CustomerRead); err != nil {
		return found, err
	}
	after, rows, err := of.After("customer")
	if err != nil {
		return found, err
	}
	err = c.ledger.DB.View(ctx, func(tx *store.Tx) error {
		customers, err := someCustomers(ctx, tx, p, reference, after, rows)
		found = request.NewPage("customer", customers, rows, func(one licensing.Customer) string { return string(one.ID) })
		return err
	})
	return found, err
}

func someCustomers(ctx context.Context, tx *store.Tx, p access.Principal, reference, after string, rows int) ([]licensing.Customer, error) {
	if reference == "" && p.Customer == "" {
		return tx.Customers(ctx, p.Env, after, rows)
	}
	if after != "" {
		return nil, nil
	}
	var customer licensing.Customer
	var ok bool
	var err error
	if reference != "" {
		customer, ok, err = tx.CustomerByReference(ctx, p.Env, reference)
	} else {
		customer, ok, err = tx.Customer(ctx, p.Env, p.Customer)
	}
	if err != nil || !ok || !p.SeesCustomer(customer.ID) {
		return nil, err
	}
	return []licensing.Customer{customer}, nil
}

// Customer returns one customer that p may see.
func (c *Catalog) Customer(ctx context.Context, p access.Principal, id licensing.CustomerID) (licensing.Customer, error) {
	var found licensing.Customer
	if err := request.Require(p, access.CustomerRead); err != nil {
		return found, err
	}
	err := c.ledger.DB.View(ctx, func(tx *store.Tx) (err error) {
		found, err = SeenCustomer(ctx, tx, p, id)
		return err
	})
	return found, err
}

// SeenCustomer returns a customer that p may see. The error is NotFound if it does not exist or p
// may not see it.
func SeenCustomer(ctx context.Context, tx *store.Tx, p access.Principal, id licensing.CustomerID) (licensing.Customer, error) {
	customer, ok, err := tx.Customer(ctx, p.Env, id)
	if err == nil && (!ok || !p.SeesCustomer(id)) {
		err = request.NotFound("customer", id)
	}
	return customer, err
}

// ownCustomer returns a customer that p may change. All products share the customers. A token for
// one product therefore sees every customer, but may change only those that have no licenses of
// other products.
func ownCustomer(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.CustomerID) (licensing.Customer, error) {
	customer, err := SeenCustomer(ctx, tx.Tx, p, id)
	if err != nil || p.Product == "" {
		return customer, err
	}
	others, err := tx.Licenses(ctx, p.Env, store.LicenseFilter{Customer: id, NotProduct: p.Product}, "", 1)
	if err == nil && len(others) > 0 {
		err = licensing.Errorf(licensing.Forbidden, "customer %s has licenses of other products: use a token that is not limited to product %s", id, p.Product)
	}
	return customer, err
}

// referenceFree refuses a reference that belongs to another customer.
func referenceFree(ctx context.Context, tx *store.Tx, customer licensing.Customer) error {
	other, ok, err := tx.CustomerByReference(ctx, customer.Env, customer.Reference)
	if err == nil && ok && other.ID != customer.ID {
		return licensing.Errorf(licensing.Exists, "reference %q belongs to another customer", customer.Reference).At("reference")
	}
	return err
}
