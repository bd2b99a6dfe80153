// Package keys makes, rotates and publishes the signing keys of environments, and replaces their
// root sets.
package keys

import "copyhold.dev/internal/authority/ledger"

// A Keychain contains the signing keys of every environment. It is safe for concurrent use.
type Keychain struct {
	ledger *ledger.Ledger
}

// New returns the signing keys of a ledger.
func New(l *ledger.Ledger) *Keychain { return &Keychain{l} }

// Tasks returns the background tasks for keys.
func (k *Keychain) Tasks() []ledger.Task {
	return []ledger.Task{{Name: "signing keys", Run: k.runSigningKeys}}
}
