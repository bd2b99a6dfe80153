// Package recovery backs up and restores a database, and repairs one with a wrong clock or wrong
// counters. A backup can run beside a server; everything else needs exclusive access to the
// database.
package recovery

import (
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/keys"
	"copyhold.dev/internal/authority/ledger"
)

// Recovery backs up a running server's database. It is safe for concurrent use.
type Recovery struct {
	ledger   *ledger.Ledger
	granting *granting.Granting
}

// New returns the recovery of a ledger.
func New(l *ledger.Ledger, g *granting.Granting) *Recovery { return &Recovery{l, g} }

// opened returns a recovery for a database without a running server. The caller must close its
// granting.
func opened(c ledger.Config) *Recovery {
	l := ledger.New(c)
	return New(l, granting.New(l, documents.New(l, catalog.New(l, keys.New(l).Create))))
}
