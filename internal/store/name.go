package store

import (
	"context"

	"copyhold.dev/internal/licensing"
)

// A LicenseName is the name by which people know a license.
type LicenseName struct {
	Product      licensing.ProductName
	Plan         licensing.PlanName
	Customer     licensing.CustomerID
	CustomerName string
}

var (
	licenseNames = newMultirow(`SELECT l.env, l.id, l.product, l.plan, l.customer, COALESCE(c.name, '') FROM (VALUES `, 2, "tt", `) v
		CROSS JOIN license l LEFT JOIN customer c ON c.env = l.env AND c.id = l.customer WHERE l.env = v.column1 AND l.id = v.column2`)
	customerNames = newMultirow(`SELECT c.env, c.id, c.name FROM (VALUES `, 2, "tt", `) v
		CROSS JOIN customer c WHERE c.env = v.column1 AND c.id = v.column2`)
)

// LicenseNames returns the names of licenses. Licenses that do not exist are not in the map.
func (tx *Tx) LicenseNames(ctx context.Context, keys []LicenseRef) (map[LicenseRef]LicenseName, error) {
	names := make(map[LicenseRef]LicenseName, len(keys))
	args := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, string(k.Env), string(k.ID))
	}
	err := tx.queryMany(ctx, &licenseNames, args, func(r Row) error {
		var k LicenseRef
		var n LicenseName
		err := r.Scan(&k.Env, &k.ID, &n.Product, &n.Plan, &n.Customer, &n.CustomerName)
		names[k] = n
		return err
	})
	return names, err
}

// A CustomerKey identifies a customer.
type CustomerKey struct {
	Env licensing.Env
	ID  licensing.CustomerID
}

// CustomerNames returns the names of customers. Customers that do not exist are not in the map.
func (tx *Tx) CustomerNames(ctx context.Context, keys []CustomerKey) (map[CustomerKey]string, error) {
	names := make(map[CustomerKey]string, len(keys))
	args := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, string(k.Env), string(k.ID))
	}
	err := tx.queryMany(ctx, &customerNames, args, func(r Row) error {
		var k CustomerKey
		var name string
		err := r.Scan(&k.Env, &k.ID, &name)
		names[k] = name
		return err
	})
	return names, err
}
