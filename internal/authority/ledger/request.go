package ledger

import (
	"copyhold.dev/internal/authority/request"
)

// NewCall returns the id of a request that begins now. The id holds this time, so
// what the request left is found without an index of ids. It is safe for concurrent use.
func (l *Ledger) NewCall() string { return NewID(request.CallPrefix, l.DB.Latest()) }
