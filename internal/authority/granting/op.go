package granting

import (
	"crypto/sha256"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// An Op is one request on its way through a batch: the request of a program, and the decision. The
// batch's goroutine writes the answer, and the requester reads it after the commit is durable.
type Op struct {
	Kind    OpKind
	Env     licensing.Env
	License licensing.LicenseID // empty if only the lease identifies it
	Actor   string
	Call    string // the server's own id of the request, "" until needed
	by      licensing.Caller
	sees    bool // may see the holders

	Acquire AcquireRequest
	// instance is the instance of the holder that will have the lease. It is empty if the pool's
	// leases have no end.
	instance string
	Renew    RenewalRequest
	Release  ReleaseRequest
	shown    *license.Lease // the lease's verified document, if the record may have lost the lease
	Ticket   licensing.TicketID
	Events   []UsageEvent
	Pool     store.PoolKey // the pool to sweep
	ask      int           // of an acquire: the index of its lookup in the batch
	body     int64         // of an acquire: a hash of the request

	Answer answer

	// ready receives a value when the op has been decided but not yet committed. early is a copy of
	// the answer at that moment. ready is nil if the requester does nothing in the meantime.
	ready chan struct{}
	early *answer
}

// foretell lets the requester prepare its answer while the batch commits. If the batch is tried
// again, foretell does not signal twice.
func (o *Op) foretell() {
	an := &o.Answer
	if o.ready == nil || o.early != nil || an.Err != nil || an.Lease == nil || an.Decision.Outcome != license.Allowed {
		return
	}
	early := o.Answer
	o.early = &early
	o.ready <- struct{}{}
}

// An answer is the result of an op.
type answer struct {
	Err      error // a refusal; this op had no effect
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

// An OpKind is the kind of an Op. A batch decides ops in the order of their kinds.
type OpKind int

const (
	OpRelease OpKind = iota
	OpRenew
	OpUsage
	OpTicket   // read a place in the queue, and keep it
	OpWithdraw // give up a place
	OpSweep    // do all work that is due in a pool
	OpAcquire
)

// Class returns the priority class of the kind under load.
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

// refuse answers the op with an error.
func (o *Op) refuse(err error) { o.Answer.Err = err }

// part distributes licenses over the committers.
func (o *Op) part() uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for i := range len(o.License) {
		h = (h ^ uint64(o.License[i])) * prime
	}
	return h
}
