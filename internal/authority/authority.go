package authority

import (
	"context"
	"sync"

	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/credentials"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/jobs"
	"copyhold.dev/internal/authority/keys"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
)

// A Config holds the dependencies and settings of an Authority.
type Config = ledger.Config

// An Authority makes the decisions and changes the licensing state. It is safe for concurrent use.
type Authority struct {
	*catalog.Catalog
	*keys.Keychain
	*credentials.Credentials
	*documents.Documents
	*granting.Granting
	*recovery.Recovery
	Jobs *jobs.Jobs

	ledger *ledger.Ledger
}

// New returns an authority for a database. Call Start before anything else.
func New(c Config) *Authority {
	a := &Authority{ledger: ledger.New(c)}
	a.Keychain = keys.New(a.ledger)
	a.Catalog = catalog.New(a.ledger, a.Keychain.Create)
	a.Credentials = credentials.New(a.ledger)
	a.Jobs = jobs.New(a.ledger, a.Catalog)
	a.Documents = documents.New(a.ledger, a.Catalog)
	a.Granting = granting.New(a.ledger, a.Documents)
	a.Recovery = recovery.New(a.ledger, a.Granting)
	return a
}

// Run does the background work until ctx ends or a final backup closes the database.
func (a *Authority) Run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() {
		select {
		case <-ctx.Done():
		case <-a.ledger.DB.Closing():
			stop()
			a.EndWaits()
		}
	})
	tasks := []ledger.Task{{Name: "measure", Run: a.runMeasure}}
	for _, room := range []interface{ Tasks() []ledger.Task }{a.ledger, a.Catalog, a.Jobs, a.Keychain, a.Credentials, a.Documents, a.Granting} {
		tasks = append(tasks, room.Tasks()...)
	}
	for _, t := range tasks {
		a.ledger.Metrics.Task(t.Name, nil)
		running.Go(func() { t.Run(ctx) })
	}
	running.Wait()
}
