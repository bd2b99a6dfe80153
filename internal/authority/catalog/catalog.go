// Package catalog manages what is sold and to whom: products, plans with their revisions,
// customers, environments, and licenses with their keys. If a program repeats a change with the
// same Idempotency-Key, the change is made only once.
package catalog

import (
	"context"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
)

// A Catalog shows and changes what is sold. It is safe for concurrent use.
type Catalog struct {
	ledger  *ledger.Ledger
	newKeys func(context.Context, *ledger.Tx, licensing.Env) error
}

// New returns the catalog of a ledger. newKeys creates the signing keys of a new environment, in
// the transaction that creates the environment.
func New(l *ledger.Ledger, newKeys func(context.Context, *ledger.Tx, licensing.Env) error) *Catalog {
	return &Catalog{l, newKeys}
}

// Tasks returns the background tasks of the catalog.
func (c *Catalog) Tasks() []ledger.Task {
	return []ledger.Task{{Name: "terms", Run: c.runTerms}, {Name: "moves", Run: c.runMoves}, {Name: "answers", Run: c.runAnswers}}
}
