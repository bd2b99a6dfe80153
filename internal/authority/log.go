package authority

import (
	"context"
	"io"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	v1 "copyhold.dev/internal/v1"
)

// LogEntries returns entries from the log of p's environment, newest first.
func (a *Authority) LogEntries(ctx context.Context, p access.Principal, f ledger.LogFilter, of request.PageOf) (request.Page[v1.LogEntry], error) {
	return a.ledger.LogEntries(ctx, p, f, of)
}

// LogEntry returns one entry of the log.
func (a *Authority) LogEntry(ctx context.Context, p access.Principal, index int64) (v1.LogEntry, error) {
	return a.ledger.LogEntry(ctx, p, index)
}

// LogHead returns the signed head of the log.
func (a *Authority) LogHead(ctx context.Context, p access.Principal) (v1.LogHead, error) {
	return a.ledger.LogHead(ctx, p)
}

// ProveLogEntry proves that an entry is in the log.
func (a *Authority) ProveLogEntry(ctx context.Context, p access.Principal, index int64) (v1.LogProof, error) {
	return a.ledger.ProveLogEntry(ctx, p, index)
}

// ProveLogConsistency proves that the log at one size is a prefix of the log at another.
func (a *Authority) ProveLogConsistency(ctx context.Context, p access.Principal, from, to int64) (audit.Consistency, error) {
	return a.ledger.ProveLogConsistency(ctx, p, from, to)
}

// ExportLog writes the whole log in a form that anyone can verify.
func (a *Authority) ExportLog(ctx context.Context, p access.Principal, w io.Writer) error {
	return a.ledger.ExportLog(ctx, p, w)
}

// Followers returns the followers of the log.
func (a *Authority) Followers(ctx context.Context, p access.Principal) ([]v1.Follower, error) {
	return a.ledger.Followers(ctx, p)
}

// Follow returns entries that a follower has not read yet.
func (a *Authority) Follow(ctx context.Context, p access.Principal, name string, limit int) (v1.FollowedPage, error) {
	return a.ledger.Follow(ctx, p, name, limit)
}

// MoveFollower moves a follower past entries that its program has processed.
func (a *Authority) MoveFollower(ctx context.Context, p access.Principal, name string, move v1.FollowerMove) error {
	return a.ledger.MoveFollower(ctx, p, name, move)
}

// DeleteFollower deletes a follower.
func (a *Authority) DeleteFollower(ctx context.Context, p access.Principal, name string) error {
	return a.ledger.DeleteFollower(ctx, p, name)
}

// EraseLogPayload removes the payload of an entry but keeps its place and its hash.
func (a *Authority) EraseLogPayload(ctx context.Context, p access.Principal, index int64, reason string) error {
	return a.ledger.EraseLogPayload(ctx, p, index, reason)
}

// ReconcileLog compares the stored state with the log.
func (a *Authority) ReconcileLog(ctx context.Context, p access.Principal) (audit.Reconciliation, error) {
	return a.ledger.ReconcileLog(ctx, p)
}

// Sequence gives every waiting entry its place in the log. The background task does the same every
// 200 ms.
func (a *Authority) Sequence(ctx context.Context) error { return a.ledger.Sequence(ctx) }

// Fence returns the fence status of p's environment.
func (a *Authority) Fence(ctx context.Context, p access.Principal) (v1.FenceStatus, error) {
	return a.ledger.Fence(ctx, p)
}

// DeclareNothingLost records p's statement that no lease is missing since the loss that raised the
// fence. The same statement by a second person ends the fence.
func (a *Authority) DeclareNothingLost(ctx context.Context, p access.Principal, reason string) (v1.FenceStatus, bool, error) {
	return a.ledger.DeclareNothingLost(ctx, p, reason)
}

// NewCall returns an id for a request that begins now.
func (a *Authority) NewCall() string { return a.ledger.NewCall() }
