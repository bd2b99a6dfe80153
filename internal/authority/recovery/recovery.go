// Package recovery saves and restores a database, and mends one whose clock or counters
// were wrong. Backup runs beside a server; all else needs the database for itself.
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

// opened returns a recovery for a database that no server runs on. Close its granting.
func opened(c ledger.Config) *Recovery {
	l := ledger.New(c)
	return New(l, granting.New(l, documents.New(l, catalog.New(l, keys.New(l).Create))))
}
