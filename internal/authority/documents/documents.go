// Package documents signs the data that programs may rely on: license documents, replies, license
// files and revocation lists. It caches the licenses in force and notifies listeners when a
// document is out of date.
package documents

import (
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
)

// Documents signs and publishes documents. It is safe for concurrent use.
type Documents struct {
	Denials denials // recorded separately in the current minute

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
		ledger: l, catalog: c, licenses: newLicensesInForce(l.Cache.Share(licenseShare)), revocations: newRevocationLists(),
		streams: newStreams(), Seen: newSightings(),
	}
	l.OnCommit(docs.changesCommitted)
	l.Metrics.Cache("licenses", docs.licenses.Usage)
	return docs
}

// licenseShare is the percentage of the cache budget for licenses. Documents need most of it.
const licenseShare = 70

// Tasks returns the background tasks for documents.
func (docs *Documents) Tasks() []ledger.Task {
	return []ledger.Task{{Name: "changes", Run: docs.runChanges}}
}
