// Package entry contains the payloads of log entries, one type for each kind of payload. The
// payloads are frozen: an entry is signed once and read for as long as the log exists, so a
// member never changes its name, its type or its meaning. A golden file contains every member.
// If a payload needs new contents, it gets a new member that old entries lack, and the
// golden file is updated deliberately.
package entry

import (
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// A Product is the log's record of a product that was created or changed.
type Product struct {
	Env     licensing.Env         `json:"environment"`
	Name    licensing.ProductName `json:"name"`
	Title   string                `json:"title"`
	Owner   licensing.Owner       `json:"owner"`
	Salt    []byte                `json:"salt"`
	Created time.Time             `json:"created"`
}

// An Environment is the log's record of an environment that was created or changed.
type Environment struct {
	Name    licensing.Env  `json:"name"`
	Kind    licensing.Kind `json:"kind"`
	Created time.Time      `json:"created"`
}

// An Installed is the log's record of a root set that was installed.
type Installed struct {
	Number  int64     `json:"number"`
	Expires time.Time `json:"expires"`
	Roots   []string  `json:"roots"`
	Gone    []string  `json:"gone"`
	KeySet  int64     `json:"keyset"`
}

// A License is the log's record of a license that was issued or imported.
type License struct {
	Env         licensing.Env         `json:"environment"`
	ID          licensing.LicenseID   `json:"id"`
	Product     licensing.ProductName `json:"product"`
	Customer    licensing.CustomerID  `json:"customer"`
	Plan        licensing.PlanName    `json:"plan"`
	Revision    licensing.RevisionID  `json:"revision,omitempty"`
	Channel     string                `json:"channel,omitempty"`
	Granted     licensing.RevisionID  `json:"granted,omitempty"`
	Edition     string                `json:"edition,omitempty"`
	Status      licensing.Status      `json:"status"`
	Payment     licensing.Payment     `json:"payment"`
	Reference   string                `json:"reference,omitempty"`
	Issued      time.Time             `json:"issued"`
	Start       time.Time             `json:"start,omitzero"`
	End         time.Time             `json:"end,omitzero"`
	TermEnd     time.Time             `json:"term_end,omitzero"`
	Renewed     []time.Time           `json:"renewed,omitempty"`
	Ended       []time.Time           `json:"ended,omitempty"`
	Maintenance time.Time             `json:"maintenance,omitzero"`
	Addons      []licensing.Grant     `json:"addons,omitempty"`
	Exceptions  []licensing.Exception `json:"exceptions,omitempty"`
	Scheduled   []licensing.Change    `json:"scheduled,omitempty"`
	ChangeAt    time.Time             `json:"change_at,omitzero"`
	Metadata    map[string]string     `json:"metadata,omitempty"`
	Seq         license.Seq           `json:"seq"`
}

// Of returns empty payloads for decoding, one for each kind that events of a type can have. There
// are none if such events contain nothing in addition to their subject. It returns false if
// there is no such type.
//
// An event that changes a license also has the member "stands", the license's state after
// the change: see licensing.Snapshot.
func Of(kind string) (payloads []any, known bool) {
	made, known := kinds[kind]
	for _, one := range made {
		payloads = append(payloads, one())
	}
	return payloads, known
}

// Types returns every type of event, in no particular order.
func Types() []string {
	all := make([]string, 0, len(kinds))
	for kind := range kinds {
		all = append(all, kind)
	}
	return all
}

func of[T any]() any { return new(T) }

var kinds = map[string][]func() any{
	licensing.EnvironmentCreated:  {of[Environment]},
	licensing.EnvironmentChanged:  {of[Environment]},
	licensing.ProductCreated:      {of[Product]},
	licensing.ProductChanged:      {of[Product]},
	licensing.ProductDeleted:      nil,
	licensing.CustomerCreated:     {of[Customer]},
	licensing.CustomerChanged:     {of[Customer]},
	licensing.CustomerDeleted:     nil,
	licensing.PlanApplied:         {of[Applied]},
	licensing.PlanRolledBack:      {of[Applied]},
	licensing.PlanMoving:          {of[Moving]},
	licensing.PlanMoved:           {of[Moving]},
	licensing.LicenseIssued:       {of[License]},
	licensing.LicenseStarted:      {of[Started]},
	licensing.LicenseChanged:      {of[Change], of[TermBegun]},
	licensing.LicenseScheduled:    {of[Change]},
	licensing.LicenseMoved:        {of[Moved]},
	licensing.LicenseLeft:         {of[Left]},
	licensing.LicenseExtended:     {of[Term]},
	licensing.LicenseRenewed:      {of[Term]},
	licensing.LicenseSuspended:    {of[Reason]},
	licensing.LicenseReinstated:   {of[Reason]},
	licensing.LicenseRevoked:      {of[Reason]},
	licensing.LicenseTransferred:  {of[Transfer]},
	licensing.LicenseImported:     {of[License]},
	licensing.LicenseExported:     {of[Export]},
	licensing.KeyAdded:            {of[LicenseKey]},
	licensing.KeyRotated:          {of[LicenseKey]},
	licensing.KeyRevoked:          nil,
	licensing.LeaseBegun:          {of[Begin]},
	licensing.LeaseEnded:          {of[End]},
	licensing.LeaseReclaimed:      {of[End]},
	licensing.LeaseForced:         {of[End]},
	licensing.LeaseRecalled:       {of[Recall]},
	licensing.LeasePresented:      {of[Presented]},
	licensing.LeaseBorrowed:       {of[Begin], of[Prolong]},
	licensing.LeaseHeldOver:       {of[Begin]},
	licensing.TicketQueued:        {of[Ticket]},
	licensing.TicketOffered:       {of[Ticket]},
	licensing.TicketEnded:         {of[Ticket]},
	licensing.UsageRecorded:       {of[Meter]},
	licensing.UsageSoftLimit:      {of[Meter]},
	licensing.UsageSpent:          {of[Meter]},
	licensing.UsageOverage:        {of[Meter]},
	licensing.DenialFirst:         {of[Denial]},
	licensing.DenialsCounted:      {of[Count]},
	licensing.OverdraftBegun:      {of[Stock]},
	licensing.OverdraftEnded:      {of[Stock]},
	licensing.ViolationClone:      {of[Clone]},
	licensing.ViolationClock:      {of[Clock]},
	licensing.ViolationBinding:    {of[End]},
	licensing.ViolationRecall:     {of[End]},
	licensing.ViolationRollback:   {of[Epoch]},
	licensing.JobCreated:          {of[Job]},
	licensing.JobCanceled:         {of[Job]},
	licensing.JobEnded:            {of[JobEnd]},
	licensing.TokenCreated:        {of[Token]},
	licensing.TokenRevoked:        {of[Token]},
	licensing.SigningKeyCreated:   {of[Key]},
	licensing.SigningKeyRotated:   {of[Rotate]},
	licensing.SigningKeyWithdrawn: {of[Withdraw]},
	licensing.RootSetCreated:      {of[Set]},
	licensing.RootSetProposed:     {of[Proposed]},
	licensing.RootSetInstalled:    {of[Installed]},
	licensing.RootSetExported:     nil,
	licensing.RootSetRemoved:      nil,
	licensing.RootSetImported:     nil,
	licensing.KeySetSigned:        {of[Set]},
	licensing.PayloadErased:       {of[Erase]},
	licensing.LogQuarantined:      {of[Quarantine]},
	licensing.LogAdopted:          {of[Quarantine]},
	licensing.ClockSetBack:        {of[SetBack]},
	licensing.ClockAccepted:       {of[Accept]},
	licensing.CountersFixed:       {of[Repair]},
	licensing.EpochRaised:         {of[Epoch]},
	licensing.BackupTaken:         {of[Backup]},
	licensing.BackupFinal:         {of[Backup]},
	licensing.FenceDeclared:       {of[Fence]},
	licensing.FenceEnded:          {of[Fence]},
	licensing.ViolationCopy:       {of[Copy]},
	licensing.BackupRestored:      {of[Epoch]},
}
