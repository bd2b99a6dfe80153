// Package credentials identifies callers. It authenticates tokens and license keys, and creates and
// deletes tokens.
package credentials

import (
	"context"
	"time"

	"copyhold.dev/internal/authority/ledger"
)

// Credentials authenticate requests. They are safe for concurrent use.
type Credentials struct {
	ledger *ledger.Ledger
	auth   *authentication
}

// New returns the credentials of a ledger.
func New(l *ledger.Ledger) *Credentials {
	c := &Credentials{l, newAuthentication(l.Cache.Share(identityShare))}
	l.OnCommit(c.keysCommitted)
	l.Metrics.Cache("credentials", c.auth.known.Usage)
	return c
}

// Tasks returns the background tasks for credentials.
func (c *Credentials) Tasks() []ledger.Task {
	return []ledger.Task{{Name: "credentials", Run: c.runCredentials}}
}

// credentialsEvery is how often the last uses of tokens are stored.
const credentialsEvery = time.Minute

func (c *Credentials) runCredentials(ctx context.Context) {
	c.ledger.Every(ctx, credentialsEvery, "credentials", c.SaveTokenUses)
}
