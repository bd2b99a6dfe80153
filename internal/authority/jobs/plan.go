package jobs

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// An outcome is what a job that has no results for single items returns.
type outcome struct {
	Impact         *v1.Impact            `json:"impact,omitempty"`
	Reconciliation *audit.Reconciliation `json:"reconciliation,omitempty"`
}

// DiffPlans creates a job that shows what applying plan files would change. It changes nothing.
func (j *Jobs) DiffPlans(ctx context.Context, p access.Principal, req v1.ApplyRequest) (v1.Job, error) {
	req.DryRun = true
	return j.plans(ctx, p, licensing.JobPlanDiff, req)
}

// ApplyPlans creates a job that applies plan files and moves the licenses that should follow. It
// assesses all licenses first, and changes nothing if one does not fit.
func (j *Jobs) ApplyPlans(ctx context.Context, p access.Principal, req v1.ApplyRequest) (v1.Job, error) {
	return j.plans(ctx, p, licensing.JobPlanApply, req)
}

func (j *Jobs) plans(ctx context.Context, p access.Principal, kind licensing.JobKind, req v1.ApplyRequest) (v1.Job, error) {
	if _, err := catalog.ParseWho(req.Licenses); err != nil {
		return v1.Job{}, err
	}
	body, err := encoded(req)
	if err != nil {
		return v1.Job{}, err
	}
	return j.create(ctx, p, submission{kind: kind, request: req, dry: req.DryRun, body: body})
}

// planPosition is how far a job has come that applies plans. It has an assessment while Moves is
// nil.
type planPosition struct {
	position
	Moves []licensing.MoveID `json:"moves,omitempty"`
}

func (j *Jobs) runPlans(ctx context.Context, r *run) error {
	body, err := r.body(ctx, 0)
	if err != nil {
		return err
	}
	req, err := decoded[v1.ApplyRequest](body)
	if err != nil {
		return err
	}
	at, err := decoded[planPosition](r.job.Position)
	if err != nil {
		return err
	}
	if at.Phase == phaseChange {
		return r.move(ctx, at)
	}
	who, err := catalog.ParseWho(req.Licenses)
	if err != nil {
		return err
	}
	var found catalog.Assessment
	err = r.watch(ctx, phaseCheck, func(ctx context.Context, report func(done, total int64)) (err error) {
		found, err = j.catalog.WeighPlans(ctx, r.p, req, who, report)
		return err
	})
	if err != nil {
		return err
	}
	r.outcome.Impact = &found.Impact
	if r.job.DryRun {
		return r.end(ctx, licensing.JobSucceeded, nil)
	}
	if err := found.Refusal(req.Below); err != nil {
		return err
	}
	at = planPosition{position: position{Phase: phaseChange}}
	err = r.step(ctx, func(tx *ledger.Tx, job *store.Job) error {
		if err := notChanging(job); err != nil {
			return err
		}
		moves, err := catalog.StorePlansIn(ctx, tx, r.p, found, who, req.Below, job.ID)
		if err != nil {
			return err
		}
		at.Moves, job.Done, job.Total = nil, 0, 0
		for _, m := range moves {
			at.Moves, job.Total = append(at.Moves, m.ID), job.Total+m.Total
		}
		found.Applied = true
		impact, err := encoded(found.Impact)
		if err != nil {
			return err
		}
		if err := tx.InsertJobItems(ctx, job.Env, job.ID, store.JobItems{First: 1, List: impact}); err != nil {
			return err
		}
		job.Position, err = encoded(at)
		return err
	})
	if err != nil {
		return err
	}
	return r.move(ctx, at)
}

// move makes the moves of the job. If the job is canceled, the licenses that have not moved keep
// their revision.
func (r *run) move(ctx context.Context, at planPosition) error {
	r.stopping = func(ctx context.Context, tx *ledger.Tx) error {
		for _, id := range at.Moves {
			if err := catalog.StopMove(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	}
	text, err := r.body(ctx, 1)
	if err != nil {
		return err
	}
	impact, err := decoded[v1.Impact](text)
	if err != nil {
		return err
	}
	r.outcome.Impact = &impact
	var done, failed int64 // of the moves that are done
	for _, id := range at.Moves {
		var m store.PlanMove
		for m.Done.IsZero() {
			err := r.step(ctx, func(tx *ledger.Tx, job *store.Job) (err error) {
				if m, err = catalog.StepMove(ctx, tx, id, r.jobs.catalog.Chunk()); err != nil {
					return err
				}
				job.Done, job.Failed = done+m.Moved+m.Refused, failed+m.Refused
				job.Total = max(job.Total, job.Done)
				return nil
			})
			if err != nil {
				return err
			}
		}
		done, failed = done+m.Moved+m.Refused, failed+m.Refused
		impact.Moves = append(impact.Moves, catalog.MoveOf(m))
	}
	return r.end(ctx, licensing.JobSucceeded, nil)
}
