// Package granting gives units of pools and counts usage of meters. Requests that arrive
// together are decided in one transaction: a batch loads what they concern, asks the rules in
// package licensing, and stores the outcome in one round of statements.
package granting

import (
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting/commit"
	"copyhold.dev/internal/authority/ledger"
)

// maxWaiting bounds how many requests wait for a transaction.
const maxWaiting = 16_384

// maxCommitters bounds the transactions that batches run at once, where the
// database runs several.
const maxCommitters = 2

// Granting decides about leases and usage. It is safe for concurrent use.
type Granting struct {
	ledger    *ledger.Ledger
	documents *documents.Documents
	cache     termsCache
	commits   *commit.Group[*Op]
	waiters   waiters
	copies    copies
}

// New returns what grants on a ledger. Close it when done.
func New(l *ledger.Ledger, docs *documents.Documents) *Granting {
	g := &Granting{ledger: l, documents: docs}
	g.commits = commit.New(min(l.DB.Writers(), maxCommitters), maxWaiting, g.Apply)
	l.OnCommit(g.waitersCommitted)
	return g
}

// Tasks returns what granting does in the background.
func (g *Granting) Tasks() []ledger.Task {
	return []ledger.Task{{Name: "sweep", Run: g.runSweep}, {Name: "waiters", Run: g.runWaiters}, {Name: "forget", Run: g.runForget}}
}

// Close ends what waits for a transaction and returns once none runs.
func (g *Granting) Close() { g.commits.Close() }
