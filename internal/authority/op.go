package authority

import (
	"crypto/sha256"
	"time"

	"copyhold.dev/internal/authority/commit"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// An op is one request on its way through a batch: who asks for what, and what
// was decided. The batch's goroutine writes the answer, and the requester
// reads it once the commit is durable.
type op struct {
	kind    opKind
	env     licensing.Env
	license licensing.LicenseID // empty when only the lease names it
	actor   string
	call    string // the server's own id of the request, "" until it is needed
	by      licensing.Caller
	sees    bool // may know who holds

	acquire AcquireRequest
	// instance is who of the holder will have the lease, by the pool's rule: none
	// in a pool without end.
	instance string
	renew    RenewalRequest
	release  ReleaseRequest
	shown    *license.Lease // the lease's document, verified, when the record may have lost it
	ticket   licensing.TicketID
	events   []UsageEvent
	pool     store.PoolKey // to sweep
	ask      int           // of an acquire, where the batch knows what was looked up for it
	body     int64         // of an acquire, a hash of what it asks for

	answer answer

	// ready is told when the op is decided and not yet committed; early is a
	// copy of the answer as it was then. Nil for who has nothing to do with it.
	ready chan struct{}
	early *answer
}

// foretell lets the requester prepare its answer while the batch commits. A
// batch that is tried again does not tell it twice.
func (o *op) foretell() {
	an := &o.answer
	if o.ready == nil || o.early != nil || an.err != nil || an.lease == nil || an.decision.Outcome != license.Allowed {
		return
	}
	early := o.answer
	o.early = &early
	o.ready <- struct{}{}
}

// An answer is what became of an op.
type answer struct {
	err      error // a refusal; nothing of this op was done
	now      time.Time
	decision license.Decision
	terms    *compiled
	lease    *licensing.Lease
	dates    licensing.LeaseDates
	entry    [sha256.Size]byte
	entered  bool
	queued   *licensing.Ticket
	freeAt   time.Time
	usage    []UsageResult
	retried  bool // denied, and not for the first time in its session
}

type opKind int

const (
	opRelease opKind = iota
	opRenew
	opUsage
	opTicket   // look at a place in the queue, and keep it
	opWithdraw // give it up
	opSweep    // do what is due in a pool
	opAcquire
)

func (k opKind) class() commit.Class {
	switch k {
	case opRelease, opWithdraw, opSweep:
		return commit.Release
	case opRenew, opTicket:
		return commit.Renew
	case opUsage:
		return commit.Usage
	}
	return commit.Acquire
}

func classOf(o *op) commit.Class { return o.kind.class() }

func (o *op) key() store.LicenseKey { return store.LicenseKey{Env: o.env, ID: o.license} }

func (o *op) poolKey(name string) store.PoolKey {
	return store.PoolKey{Env: o.env, License: o.license, Name: name}
}

// deny refuses the op by decision.
func (o *op) refuse(err error) { o.answer.err = err }

// part spreads licenses over the committers.
func (o *op) part() uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for i := range len(o.license) {
		h = (h ^ uint64(o.license[i])) * prime
	}
	return h
}
