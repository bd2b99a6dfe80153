// Package documents signs what programs may rely on: license documents, answers, license
// files and revocation lists. It remembers the licenses that are in force and tells those who
// listen when a document is out of date.
package documents

import (
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
)

// Documents signs and publishes. It is safe for concurrent use.
type Documents struct {
	Denials denials // told apart in this minute

	ledger      *ledger.Ledger
	catalog     *catalog.Catalog
	licenses    *licensesInForce
	revocations *revocationLists
	streams     *streams
	Seen        *sightings
	repeats     repeats
}

// New returns the documents of a catalog.
func New(l *ledger.Ledger, c *catalog.Catalog) *Documents {
	docs := &Documents{
		ledger: l, catalog: c, licenses: newLicensesInForce(), revocations: newRevocationLists(),
		streams: newStreams(), Seen: newSightings(),
	}
	l.OnCommit(docs.changesCommitted)
	return docs
}

// Tasks returns what is done for documents in the background.
func (docs *Documents) Tasks() []ledger.Task {
	return []ledger.Task{{Name: "changes", Run: docs.runChanges}}
}
