package granting

import (
	"crypto/sha256"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// An Op is one request on its way through a batch: what a program asks for, and what
// was decided. The batch's goroutine writes the answer, and the requester
// reads it once the commit is durable.
type Op struct {
	Kind    OpKind
	Env     licensing.Env
	License licensing.LicenseID // empty when only the lease names it
	Actor   string
	Call    string // the server's own id of the request, "" until it is needed
	by      licensing.Caller
	sees    bool // may know who holds

	Acquire AcquireRequest
	// instance is who of the holder will have the lease, by the pool's rule: none
	// in a pool without end.
	instance string
	Renew    RenewalRequest
	Release  ReleaseRequest
	shown    *license.Lease // the lease's document, verified, when the record may have lost it
	Ticket   licensing.TicketID
	Events   []UsageEvent
	Pool     store.PoolKey // to sweep
	ask      int           // of an acquire, where the batch knows what was looked up for it
	body     int64         // of an acquire, a hash of what it asks for

	Answer answer

	// ready is told when the op is decided and not yet committed; early is a
	// copy of the answer as it was then. Nil if nothing is done in the meantime.
	ready chan struct{}
	early *answer
}

// foretell lets the requester prepare its answer while the batch commits. A
// batch that is tried again does not tell it twice.
func (o *Op) foretell() {
	an := &o.Answer
	if o.ready == nil || o.early != nil || an.Err != nil || an.Lease == nil || an.Decision.Outcome != license.Allowed {
		return
	}
	early := o.Answer
	o.early = &early
	o.ready <- struct{}{}
}

// An answer is what became of an op.
type answer struct {
	Err      error // a refusal; nothing of this op was done
	now      time.Time
	Decision license.Decision
	terms    *Compiled
	Lease    *licensing.Lease
	dates    licensing.LeaseDates
	Entry    [sha256.Size]byte
	Entered  bool
	Queued   *licensing.Ticket
	FreeAt   time.Time
	Usage    []UsageResult
	Retried  bool // denied, and not for the first time in its session
}

// An OpKind is what an Op asks for. Kinds are in the order in which a batch decides them.
type OpKind int

const (
	OpRelease OpKind = iota
	OpRenew
	OpUsage
	OpTicket   // look at a place in the queue, and keep it
	OpWithdraw // give it up
	OpSweep    // do what is due in a pool
	OpAcquire
)

// Class returns what requests of the kind are in a crowd.
func (k OpKind) Class() licensing.Class {
	switch k {
	case OpRelease, OpWithdraw, OpSweep:
		return licensing.ClassRelease
	case OpRenew, OpTicket:
		return licensing.ClassRenew
	case OpUsage:
		return licensing.ClassUsage
	}
	return licensing.ClassAcquire
}

func (o *Op) key() store.LicenseRef { return store.LicenseRef{Env: o.Env, ID: o.License} }

func (o *Op) poolKey(name string) store.PoolKey {
	return store.PoolKey{Env: o.Env, License: o.License, Name: name}
}

// deny refuses the op by decision.
func (o *Op) refuse(err error) { o.Answer.Err = err }

// part spreads licenses over the committers.
func (o *Op) part() uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for i := range len(o.License) {
		h = (h ^ uint64(o.License[i])) * prime
	}
	return h
}
