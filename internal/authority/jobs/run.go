package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

var (
	errCanceled = errors.New("a caller canceled the job")
	errLost     = errors.New("another server runs the job, or it has ended")
	errNoop     = errors.New("the transaction was only a trial") // rolls it back
)

// A run is one attempt to bring a job to its end.
type run struct {
	jobs *Jobs
	job  store.Job // as it was at the start of the attempt
	p    access.Principal

	outcome  outcome                                 // stored at the end
	stopping func(context.Context, *ledger.Tx) error // if not nil, what a cancellation must do besides
}

// retryAfter is how long a job waits after the database has failed.
const retryAfter = time.Second

// finish runs a job until it ends, until ctx ends, or until another server has taken it over.
func (j *Jobs) finish(ctx context.Context, job store.Job) {
	for {
		err := j.attempt(ctx, job)
		if ctx.Err() != nil {
			j.release(context.WithoutCancel(ctx), job)
			return
		}
		if errors.Is(err, errLost) {
			return
		}
		j.ledger.Task("jobs", err)
		if err == nil {
			return
		}
		wait := time.NewTimer(retryAfter)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

// releaseLimit is how long a server that stops tries to give up its jobs.
const releaseLimit = 5 * time.Second

// release lets another server continue a job at once. Without it, that server waits for the claim
// to end.
func (j *Jobs) release(ctx context.Context, job store.Job) {
	if !j.ledger.DB.Shared() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, releaseLimit)
	defer cancel()
	err := j.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		now, ok, err := tx.LockJob(ctx, job.Env, job.ID)
		if err != nil || !ok || now.Runner != j.runner || now.Status.Ended() {
			return err
		}
		now.Claimed = tx.Now()
		return tx.UpdateJob(ctx, now)
	})
	j.ledger.Task("jobs", err)
}

// attempt runs a job from its stored position. A failure of the job itself is stored as its result
// and is no error.
func (j *Jobs) attempt(ctx context.Context, job store.Job) error {
	r := &run{jobs: j, job: job}
	// The job may have moved on since job was read, in an attempt whose outcome was unknown or on
	// another server.
	err := r.update(ctx, func(_ *ledger.Tx, now *store.Job) error {
		r.job = *now
		return nil
	})
	if err == nil {
		r.p, err = principal(r.job)
	}
	if err == nil {
		err = j.kinds[job.Kind].run(ctx, r)
	}
	switch code := licensing.CodeOf(err); {
	case err == nil || errors.Is(err, errLost) || ctx.Err() != nil:
		return err
	case errors.Is(err, errCanceled):
		return r.end(ctx, licensing.JobStopped, nil)
	case code == licensing.Unavailable || code == licensing.OutcomeUnknown:
		return err
	default:
		return r.end(ctx, licensing.JobFailed, err)
	}
}

// step runs fn in a transaction that also stores job, which fn may change. It fails with errCanceled
// if a caller has canceled the job, and with errLost if this server may not continue it.
func (r *run) step(ctx context.Context, fn func(tx *ledger.Tx, job *store.Job) error) error {
	return r.update(ctx, func(tx *ledger.Tx, job *store.Job) error {
		if job.CanceledBy != "" {
			return errCanceled
		}
		return fn(tx, job)
	})
}

func (r *run) update(ctx context.Context, fn func(tx *ledger.Tx, job *store.Job) error) error {
	l := r.jobs.ledger
	return l.Update(ctx, r.job.Env, r.job.Actor, func(tx *ledger.Tx) error {
		tx.Call = r.job.Call
		job, ok, err := tx.LockJob(ctx, r.job.Env, r.job.ID)
		if err != nil {
			return err
		}
		if !ok || job.Status.Ended() || l.DB.Shared() && job.Runner != r.jobs.runner && job.Claimed.After(tx.Now()) {
			return errLost
		}
		if job.Started.IsZero() {
			job.Started = tx.Now()
		}
		job.Status, job.Runner, job.Claimed = licensing.JobRunning, r.jobs.runner, tx.Now().Add(licensing.JobClaim)
		if err := fn(tx, &job); err != nil {
			return err
		}
		return tx.UpdateJob(ctx, job)
	})
}

// reportEvery is how often the progress of a job is stored while it only reads.
const reportEvery = time.Second

// watch runs fn, which only reads, and stores its progress meanwhile, with the phase. It ends fn if a
// caller cancels the job or if this server may not continue it.
func (r *run) watch(ctx context.Context, phase string, fn func(ctx context.Context, report func(done, total int64)) error) error {
	var done, total atomic.Int64
	text, err := encoded(position{Phase: phase})
	if err != nil {
		return err
	}
	store := func() error {
		return r.step(ctx, func(_ *ledger.Tx, job *store.Job) error {
			if err := notChanging(job); err != nil {
				return err
			}
			job.Done, job.Total, job.Position = done.Load(), total.Load(), text
			return nil
		})
	}
	if err := store(); err != nil {
		return err
	}
	within, stop := context.WithCancel(ctx)
	defer stop()
	result := make(chan error, 1)
	go func() {
		result <- fn(within, func(d, t int64) { done.Store(d); total.Store(t) })
	}()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-result:
			if err != nil {
				return err
			}
			return store()
		case <-tick.C:
		}
		if err := store(); err != nil {
			stop()
			<-result
			return err
		}
	}
}

// notChanging returns errLost if another server has begun with the changes of a job.
func notChanging(job *store.Job) error {
	at, err := decoded[position](job.Position)
	if err == nil && at.Phase == phaseChange {
		err = errLost
	}
	return err
}

// body returns the text that was stored with the job under a number.
func (r *run) body(ctx context.Context, n int64) (text string, err error) {
	err = r.jobs.ledger.View(ctx, func(tx *store.Tx) error {
		group, found, err := tx.JobItems(ctx, r.job.Env, r.job.ID, n)
		if err == nil && (!found || group.First != n) {
			err = licensing.Errorf(licensing.Internal, "what job %s needs is missing", r.job.ID)
		}
		text = group.List
		return err
	})
	return text, err
}

// end stores that the job has ended, and why it failed. Its items are no longer needed.
func (r *run) end(ctx context.Context, status licensing.JobStatus, cause error) error {
	err := r.update(ctx, func(tx *ledger.Tx, job *store.Job) error {
		if status == licensing.JobStopped && r.stopping != nil {
			if err := r.stopping(ctx, tx); err != nil {
				return err
			}
		}
		if r.outcome != (outcome{}) {
			var err error
			if job.Result, err = encoded(r.outcome); err != nil {
				return err
			}
		}
		if cause != nil {
			job.Code, job.Message = licensing.CodeOf(cause), cause.Error()
		}
		return endJob(tx, job, status)
	})
	if err != nil {
		return err
	}
	return r.jobs.clear(ctx, r.job, (*store.Tx).ClearJobItems)
}

// endJob ends a job in tx. The caller stores it.
func endJob(tx *ledger.Tx, job *store.Job, status licensing.JobStatus) error {
	job.Status, job.Ended, job.Claimed = status, tx.Now(), time.Time{}
	return tx.Note(licensing.JobEnded, about(*job), entry.JobEnd{
		Kind: job.Kind, Status: status, DryRun: job.DryRun, Total: job.Total, Done: job.Done, Failed: job.Failed, Code: job.Code,
	})
}

// about names a job in log entries.
func about(job store.Job) licensing.Event {
	return licensing.Event{Env: job.Env, Customer: job.Customer, Product: job.Product, Subject: string(job.ID)}
}

// clearGroups is how many groups of items or results one transaction deletes.
const clearGroups = 50

// clear deletes all groups of a job's items or results.
func (j *Jobs) clear(ctx context.Context, job store.Job, some func(*store.Tx, context.Context, licensing.Env, licensing.JobID, int) (bool, error)) error {
	for done := false; !done; {
		err := j.ledger.DB.Update(ctx, func(tx *store.Tx) (err error) {
			done, err = some(tx, ctx, job.Env, job.ID, clearGroups)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// oldEvery is how often old jobs are deleted, and jobs whose items never came are canceled.
const oldEvery = 10 * time.Minute

func (j *Jobs) runOld(ctx context.Context) {
	j.ledger.Every(ctx, oldEvery, "old_jobs", j.ForgetOld)
}

// ForgetOld cancels the jobs that have waited too long for their items, and deletes jobs that ended
// long ago. The background task calls it.
func (j *Jobs) ForgetOld(ctx context.Context) error {
	var open, old []store.Job
	var now time.Time
	err := j.ledger.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now()
		if open, err = tx.OpenJobs(ctx); err == nil {
			old, err = tx.OldJobs(ctx, now.Add(-licensing.JobsKept), clearGroups)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, job := range open {
		if job.Status == licensing.JobReceiving && !job.Claimed.After(now) {
			if err := j.cancel(ctx, job.Env, job.ID, "system:jobs"); err != nil {
				return err
			}
		}
	}
	for _, job := range old {
		if err := j.clear(ctx, job, (*store.Tx).ClearJobItems); err != nil {
			return err
		}
		if err := j.clear(ctx, job, (*store.Tx).ClearJobResults); err != nil {
			return err
		}
		if err := j.ledger.DB.Update(ctx, func(tx *store.Tx) error { return tx.DeleteJob(ctx, job.Env, job.ID) }); err != nil {
			return err
		}
	}
	return nil
}

// decoded decodes JSON that this package has stored.
func decoded[T any](text string) (v T, err error) {
	if text == "" {
		return v, nil
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, fmt.Errorf("decoding a stored %T: %w", v, err)
	}
	return v, nil
}

// encoded encodes a value that is stored.
func encoded(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding %T to store it: %w", v, err)
	}
	return string(text), nil
}
