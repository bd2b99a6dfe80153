package licensing

import (
	"encoding/json"
	"time"
)

// An Event records that something happened. It becomes an entry in the log and
// drives streams. Data contains the type's own members as JSON and must not contain
// secrets. Subject names the thing that the event is about: a lease, key or token. Request
// is the name that a program gave its request, and Call the server's own id for it.
type Event struct {
	Type     string          `json:"type"`
	Version  int             `json:"version"`
	Env      Env             `json:"environment"`
	At       time.Time       `json:"at"`
	Actor    string          `json:"actor"`
	Product  ProductName     `json:"product,omitempty"`
	Customer CustomerID      `json:"customer,omitempty"`
	License  LicenseID       `json:"license,omitempty"`
	Pool     string          `json:"pool,omitempty"`
	Meter    string          `json:"meter,omitempty"`
	Subject  string          `json:"subject,omitempty"`
	Request  string          `json:"request,omitempty"`
	Call     string          `json:"call,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
}

// The types of events. A type keeps its meaning forever. If its data
// changes, its version is raised.
const (
	EnvironmentCreated = "environment.created"
	EnvironmentChanged = "environment.changed"
	ProductCreated     = "product.created"
	ProductChanged     = "product.changed"
	ProductDeleted     = "product.deleted"
	CustomerCreated    = "customer.created"
	CustomerChanged    = "customer.changed"
	CustomerDeleted    = "customer.deleted"

	PlanApplied    = "plan.applied"
	PlanRolledBack = "plan.rolled_back"
	PlanMoving     = "plan.moving" // licenses begin to move to a revision
	PlanMoved      = "plan.moved"  // all of them have

	LicenseIssued      = "license.issued"
	LicenseStarted     = "license.started"
	LicenseChanged     = "license.changed"
	LicenseScheduled   = "license.scheduled"
	LicenseMoved       = "license.moved"
	LicenseLeft        = "license.left" // not moved with the others because it no longer fits
	LicenseExtended    = "license.extended"
	LicenseRenewed     = "license.renewed"
	LicenseSuspended   = "license.suspended"
	LicenseReinstated  = "license.reinstated"
	LicenseRevoked     = "license.revoked"
	LicenseTransferred = "license.transferred"
	LicenseImported    = "license.imported"
	LicenseExported    = "license.exported"
	KeyAdded           = "key.added"
	KeyRotated         = "key.rotated"
	KeyRevoked         = "key.revoked"

	LeaseBegun     = "lease.begun"
	LeaseEnded     = "lease.ended"
	LeaseReclaimed = "lease.reclaimed"
	LeaseForced    = "lease.forced"
	LeaseRecalled  = "lease.recalled"
	LeasePresented = "lease.presented" // put back from its document after the record had lost it
	LeaseBorrowed  = "lease.borrowed"
	LeaseHeldOver  = "lease.held_over" // above the capacity, by overdraft or after a change
	TicketQueued   = "ticket.queued"
	TicketOffered  = "ticket.offered"
	TicketEnded    = "ticket.ended"

	UsageRecorded  = "usage.recorded" // totals, not every event
	UsageSoftLimit = "usage.soft_limit"
	UsageSpent     = "usage.spent"
	UsageOverage   = "usage.overage"

	DenialFirst       = "denial.first"   // the first of a session, see SessionGap
	DenialsCounted    = "denial.counted" // all others, per pool, code and minute
	OverdraftBegun    = "overdraft.begun"
	OverdraftEnded    = "overdraft.ended"
	ViolationClone    = "violation.clone"
	ViolationClock    = "violation.clock"
	ViolationBinding  = "violation.binding"
	ViolationRecall   = "violation.recall"   // a holder continues after the grace of a recall
	ViolationRollback = "violation.rollback" // the database is older than it was before

	JobCreated  = "job.created"
	JobCanceled = "job.canceled" // by a caller; the entry about its end follows
	JobEnded    = "job.ended"

	TokenCreated        = "token.created"
	TokenRevoked        = "token.revoked"
	SigningKeyCreated   = "signing_key.created"
	SigningKeyRotated   = "signing_key.rotated"
	SigningKeyWithdrawn = "signing_key.withdrawn"
	RootSetCreated      = "root_set.created"
	RootSetProposed     = "root_set.proposed"
	RootSetInstalled    = "root_set.installed"
	RootSetExported     = "root_set.exported"
	RootSetRemoved      = "root_set.removed"
	RootSetImported     = "root_set.imported"
	KeySetSigned        = "key_set.signed"

	PayloadErased  = "payload.erased"
	LogQuarantined = "log.quarantined" // rows cannot get a place in the tree
	LogAdopted     = "log.adopted"     // quarantined rows have got their places
	ClockSetBack   = "clock.set_back"
	ClockAccepted  = "clock.accepted"    // by an operator, without a proof
	CountersFixed  = "counters.repaired" // of a pool or a meter's total, by an operator
	EpochRaised    = "epoch.raised"      // the record may be older than what holders were told
	BackupTaken    = "backup.taken"
	BackupFinal    = "backup.final" // it closed the database
	FenceDeclared  = "fence.declared"
	FenceEnded     = "fence.ended"    // because two people declared it
	ViolationCopy  = "violation.copy" // another server signs in the same epoch
	BackupRestored = "backup.restored"
)

// eventVersion is the current version of every type's data.
const eventVersion = 1

// NewEvent returns an event of a type in its current version, with its data
// encoded. Data that cannot be encoded is a fault in the program: Internal.
func NewEvent(kind string, env Env, at time.Time, actor string, data any) (Event, error) {
	e := Event{Type: kind, Version: eventVersion, Env: env, At: at, Actor: actor}
	if data == nil {
		return e, nil
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return Event{}, Errorf(Internal, "encoding the data of event %s: %w", kind, err)
	}
	e.Data = raw
	return e, nil
}
