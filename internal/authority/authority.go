// Package authority is the only code that changes licensing state. It opens a
// transaction, loads what a rule needs, asks the rule in package licensing,
// and stores the change together with its entry in the log. Faces and services
// call it; it knows nothing of HTTP. A file holds one noun.
package authority

import (
	"log/slog"
	"time"

	"copyhold.dev/internal/store"
)

// A Config is what an Authority works with.
type Config struct {
	DB  *store.DB
	Log *slog.Logger
	// Now reads the process's clock; nil is time.Now. Decisions take their time
	// from the database, see store.Tx.Now.
	Now func() time.Time
}

// An Authority decides and changes. It is safe for concurrent use.
type Authority struct {
	db  *store.DB
	log *slog.Logger
	now func() time.Time
}

// New returns an authority over a database.
func New(c Config) *Authority {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Authority{db: c.DB, log: c.Log, now: c.Now}
}
