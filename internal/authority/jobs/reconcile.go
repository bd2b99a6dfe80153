package jobs

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// Reconcile creates a job that compares the stored rows with the log.
func (j *Jobs) Reconcile(ctx context.Context, p access.Principal) (v1.Job, error) {
	if err := ledger.RequireWholeLog(p); err != nil {
		return v1.Job{}, err
	}
	return j.create(ctx, p, submission{kind: licensing.JobReconcile, request: licensing.JobReconcile, dry: true})
}

func (j *Jobs) runReconcile(ctx context.Context, r *run) error {
	err := r.watch(ctx, phaseCheck, func(ctx context.Context, _ func(done, total int64)) error {
		found, err := j.ledger.ReconcileLog(ctx, r.p)
		r.outcome.Reconciliation = &found
		return err
	})
	if err != nil {
		return err
	}
	return r.end(ctx, licensing.JobSucceeded, nil)
}
