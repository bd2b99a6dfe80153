package ledger

import (
	"copyhold.dev/internal/authority/request"
)

// NewCall returns an id for a request that begins now. The id contains the time, so the records of
// the request can be found without an index of ids. NewCall is safe for concurrent use.
func (l *Ledger) NewCall() string { return NewID(request.CallPrefix, l.DB.Latest()) }
