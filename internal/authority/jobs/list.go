package jobs

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// shown returns a job in the form of the API. open has the jobs that it may have to wait for.
func shown(job store.Job, open []store.Job) v1.Job {
	s := v1.Job{
		ID: job.ID, Kind: job.Kind, Status: job.Status, DryRun: job.DryRun, Total: job.Total, Done: job.Done, Failed: job.Failed,
		Canceling: job.CanceledBy != "" && !job.Status.Ended(), By: job.Actor, CreatedAt: job.Created, StartedAt: job.Started, EndedAt: job.Ended,
	}
	if job.Code != "" {
		s.Error = &v1.JobError{Code: job.Code, Message: job.Message}
	}
	if !job.Status.Ended() {
		s.WaitsFor = waitsFor(job, open)
	}
	if at, err := decoded[position](job.Position); err == nil {
		s.Phase = at.Phase
	}
	return s
}

// visible returns the filter of the jobs that p may see. It returns false if p may see none.
func (j *Jobs) visible(p access.Principal) (store.JobFilter, bool) {
	f := store.JobFilter{Customer: p.Customer, Product: p.Product}
	for _, name := range slices.Sorted(maps.Keys(j.kinds)) {
		if p.May(j.kinds[name].sees) {
			f.Kinds = append(f.Kinds, name)
		}
	}
	return f, len(f.Kinds) > 0
}

// seen returns a job that p may see, found by read. Otherwise the error is NotFound.
func (j *Jobs) seen(ctx context.Context, tx *store.Tx, p access.Principal, id licensing.JobID,
	read func(*store.Tx, context.Context, licensing.Env, licensing.JobID) (store.Job, bool, error)) (store.Job, error) {
	job, ok, err := read(tx, ctx, p.Env, id)
	if err != nil {
		return job, err
	}
	f, _ := j.visible(p)
	if !ok || f.Customer != "" && f.Customer != job.Customer || f.Product != "" && f.Product != job.Product || !slices.Contains(f.Kinds, job.Kind) {
		return store.Job{}, request.NotFound("job", id)
	}
	return job, nil
}

// List returns the jobs that p may see, latest first. With open, it returns only jobs that have not
// ended.
func (j *Jobs) List(ctx context.Context, p access.Principal, open bool, of request.PageOf) (found request.Page[v1.Job], err error) {
	if err := request.Require(p, access.JobRead); err != nil {
		return found, err
	}
	before, rows, err := of.After("job")
	f, any := j.visible(p)
	if err != nil || !any {
		return found, err
	}
	f.Open = open
	err = j.ledger.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Jobs(ctx, p.Env, f, before, rows)
		if err != nil {
			return err
		}
		waiting, err := tx.OpenJobs(ctx)
		list := make([]v1.Job, len(all))
		for i, job := range all {
			list[i] = shown(job, waiting)
		}
		found = request.NewPage("job", list, rows, func(job v1.Job) string { return string(job.ID) })
		return err
	})
	return found, err
}

// Show returns one job that p may see.
func (j *Jobs) Show(ctx context.Context, p access.Principal, id licensing.JobID) (found v1.Job, err error) {
	if err := request.Require(p, access.JobRead); err != nil {
		return found, err
	}
	err = j.ledger.View(ctx, func(tx *store.Tx) error {
		job, err := j.seen(ctx, tx, p, id, (*store.Tx).Job)
		if err != nil {
			return err
		}
		open, err := tx.OpenJobs(ctx)
		if found = shown(job, open); err != nil {
			return err
		}
		result, err := decoded[outcome](job.Result)
		found.Impact, found.Reconciliation = result.Impact, result.Reconciliation
		return err
	})
	return found, err
}

// Results returns what became of the items of a job that p may see, in their order. With failed, it
// returns only items that failed.
func (j *Jobs) Results(ctx context.Context, p access.Principal, id licensing.JobID, failed bool, of request.PageOf) (found request.Page[v1.JobResult], err error) {
	if err := request.Require(p, access.JobRead); err != nil {
		return found, err
	}
	after, rows, err := of.After("result")
	if err != nil {
		return found, err
	}
	from := int64(0)
	if after != "" {
		if from, err = strconv.ParseInt(after, 10, 64); err != nil || from < 0 {
			return found, licensing.Errorf(licensing.Invalid, "the cursor does not belong to this list").At("cursor")
		}
	}
	err = j.ledger.View(ctx, func(tx *store.Tx) error {
		if _, err := j.seen(ctx, tx, p, id, (*store.Tx).Job); err != nil {
			return err
		}
		for len(found.Items) < rows {
			groups, err := tx.JobResults(ctx, p.Env, id, from, failed, 1+rows/groupSize)
			if err != nil {
				return err
			}
			was := from
			for _, group := range groups {
				list, err := decoded[[]v1.JobResult](group.List)
				if err != nil {
					return err
				}
				for i, one := range list {
					n := group.First + int64(i)
					if n < from || failed && one.Error == nil {
						continue
					}
					if len(found.Items) == rows-1 {
						found.Next = request.Cursor("result", strconv.FormatInt(n, 10))
						return nil
					}
					found.Items = append(found.Items, one)
				}
				from = max(from, group.First+int64(len(list)))
			}
			if from == was {
				return nil
			}
		}
		return nil
	})
	return found, err
}

// Cancel stops a job. A job that runs stops at its next transaction; what it has done so far stays
// done. A caller needs the permission to create such a job.
func (j *Jobs) Cancel(ctx context.Context, p access.Principal, id licensing.JobID) (v1.Job, error) {
	if err := request.Require(p, access.JobCancel); err != nil {
		return v1.Job{}, err
	}
	err := j.ledger.View(ctx, func(tx *store.Tx) error {
		job, err := j.seen(ctx, tx, p, id, (*store.Tx).Job)
		if err != nil {
			return err
		}
		if err := request.Require(p, j.kinds[job.Kind].needs); err != nil {
			return err
		}
		if job.Status.Ended() {
			return licensing.Errorf(licensing.Conflict, "job %s has already ended: it is %s", id, job.Status)
		}
		return nil
	})
	if err == nil {
		err = j.cancel(ctx, p.Env, id, p.Actor)
	}
	if err != nil {
		return v1.Job{}, err
	}
	return j.Show(ctx, p, id)
}

// cancel records that actor cancels a job. A job that no server runs ends at once.
func (j *Jobs) cancel(ctx context.Context, env licensing.Env, id licensing.JobID, actor string) error {
	err := j.ledger.Update(ctx, env, actor, func(tx *ledger.Tx) error {
		job, ok, err := tx.LockJob(ctx, env, id)
		if err != nil || !ok || job.Status.Ended() || job.CanceledBy != "" {
			return err
		}
		job.CanceledBy = actor
		if err := tx.Note(licensing.JobCanceled, about(job), entry.Job{Kind: job.Kind, DryRun: job.DryRun}); err != nil {
			return err
		}
		if job.Status != licensing.JobRunning {
			if err := endJob(tx, &job, licensing.JobStopped); err != nil {
				return err
			}
		}
		return tx.UpdateJob(ctx, job)
	})
	if err == nil {
		j.awaken()
	}
	return err
}
