// Package granting leases units of pools and counts usage of meters. It decides requests that
// arrive together in one transaction. A batch loads their data, applies the rules in package
// licensing, and stores the results in one round of statements.
package granting

import (
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting/commit"
	"copyhold.dev/internal/authority/ledger"
)

// maxWaiting limits how many requests wait for a transaction.
const maxWaiting = 16_384

// maxCommitters limits how many transactions batches run at once, if the database supports several.
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

// New returns a Granting for a ledger. Call Close when done.
func New(l *ledger.Ledger, docs *documents.Documents) *Granting {
	g := &Granting{ledger: l, documents: docs, cache: newTermsCache(l.Cache.Share(termsShare))}
	g.commits = commit.New(min(l.DB.Writers(), maxCommitters), maxWaiting, g.Apply)
	l.OnCommit(g.waitersCommitted)
	l.Metrics.Cache("terms", g.cache.Usage)
	return g
}

// Tasks returns the background tasks of granting.
func (g *Granting) Tasks() []ledger.Task {
	return []ledger.Task{{Name: "sweep", Run: g.runSweep}, {Name: "waiters", Run: g.runWaiters}, {Name: "forget", Run: g.runForget}}
}

// Close ends requests that wait for a transaction, and returns when none is running.
func (g *Granting) Close() { g.commits.Close() }
