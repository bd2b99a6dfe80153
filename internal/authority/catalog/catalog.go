// Package catalog keeps what is sold and to whom: products, plans and their revisions,
// customers, environments, licenses with their keys, and the changes to all of them. A
// change that a program repeats under one Idempotency-Key is made once.
package catalog

import (
	"context"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
)

// A Catalog changes and shows what is sold. It is safe for concurrent use.
type Catalog struct {
	ledger  *ledger.Ledger
	newKeys func(context.Context, *ledger.Tx, licensing.Env) error
}

// New returns the catalog of a ledger. NewKeys makes the signing keys of a new
// environment in the transaction that creates it.
func New(l *ledger.Ledger, newKeys func(context.Context, *ledger.Tx, licensing.Env) error) *Catalog {
	return &Catalog{l, newKeys}
}

// Tasks returns what the catalog does in the background.
func (c *Catalog) Tasks() []ledger.Task {
	return []ledger.Task{{Name: "terms", Run: c.runTerms}, {Name: "moves", Run: c.runMoves}, {Name: "answers", Run: c.runAnswers}}
}
