package jobs

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// maxOpen limits how many jobs of an environment can wait or run at once.
const maxOpen = 100

// A submission is a job that a caller wants to create.
type submission struct {
	kind    licensing.JobKind
	request any // what an Idempotency-Key compares
	kept    any // what the job needs besides its items
	dry     bool
	more    bool // further items will be sent
	items   []storedItem
	body    string // kept like items, if it is large
}

// create stores a job, which then runs in the background.
func (j *Jobs) create(ctx context.Context, p access.Principal, s submission) (v1.Job, error) {
	kind := j.kinds[s.kind]
	if err := request.Require(p, kind.needs); err != nil {
		return v1.Job{}, err
	}
	created, err := catalog.Once(ctx, j.ledger, p, s.request, func(tx *ledger.Tx) (v1.Job, error) {
		open, err := tx.OpenJobs(ctx)
		if err != nil {
			return v1.Job{}, err
		}
		if n := openIn(p.Env, open); n >= maxOpen {
			return v1.Job{}, licensing.Errorf(licensing.Conflict, "%s wait or run already, the maximum: wait until one has ended, or cancel one", licensing.Counted(int64(n), "job"))
		}
		caller := p
		caller.Answers, caller.Once = access.Digest{}, access.Once{} // a key and its use, which end with the request
		job := store.Job{
			Env: p.Env, ID: licensing.JobID(ledger.NewID(licensing.JobPrefix, tx.Now())), Kind: s.kind, Status: licensing.JobQueued,
			Customer: p.Customer, Product: p.Product, Changes: kind.changes && !s.dry, Actor: p.Actor, Call: tx.Call,
			DryRun: s.dry, Created: tx.Now(),
		}
		if job.Caller, err = encoded(caller); err != nil {
			return v1.Job{}, err
		}
		if job.Request, err = encoded(s.kept); err != nil {
			return v1.Job{}, err
		}
		if err := receive(ctx, tx, &job, s.items, s.more); err != nil {
			return v1.Job{}, err
		}
		if s.body != "" {
			if err := tx.InsertJobItems(ctx, job.Env, job.ID, store.JobItems{List: s.body}); err != nil {
				return v1.Job{}, err
			}
		}
		if err := tx.InsertJob(ctx, job); err != nil {
			return v1.Job{}, err
		}
		return shown(job, append(open, job)), tx.Note(licensing.JobCreated, about(job), entry.Job{Kind: job.Kind, DryRun: job.DryRun})
	})
	if err == nil {
		j.awaken()
	}
	return created, err
}

func openIn(env licensing.Env, open []store.Job) (n int) {
	for _, job := range open {
		if job.Env == env {
			n++
		}
	}
	return n
}

// receive stores items of a job in tx. Without more, the job can run.
func receive(ctx context.Context, tx *ledger.Tx, job *store.Job, items []storedItem, more bool) error {
	job.Status = licensing.JobQueued
	if more {
		job.Status, job.Claimed = licensing.JobReceiving, tx.Now().Add(licensing.JobReceives)
	}
	if err := add(ctx, tx, job, items); err != nil {
		return err
	}
	if !more {
		job.Claimed = job.Created // no server has it
	}
	return nil
}

// add stores items of a job in tx.
func add(ctx context.Context, tx *ledger.Tx, job *store.Job, items []storedItem) error {
	for len(items) > 0 {
		some := items[:min(len(items), groupSize)]
		items = items[len(some):]
		list, err := encoded(some)
		if err != nil {
			return err
		}
		if err := tx.InsertJobItems(ctx, job.Env, job.ID, store.JobItems{First: job.Total, List: list}); err != nil {
			return err
		}
		job.Total += int64(len(some))
	}
	return nil
}

// AddRows sends further rows to a job that p created.
func (j *Jobs) AddRows(ctx context.Context, p access.Principal, id licensing.JobID, req v1.JobRowsRequest) (v1.Job, error) {
	var of kind
	err := j.ledger.View(ctx, func(tx *store.Tx) error {
		job, err := j.seen(ctx, tx, p, id, (*store.Tx).Job)
		if err != nil {
			return err
		}
		if of = j.kinds[job.Kind]; of.rows == nil {
			return licensing.Errorf(licensing.Conflict, "job %s has the kind %s, which takes no rows", id, job.Kind)
		}
		return request.Require(p, of.needs)
	})
	if err != nil {
		return v1.Job{}, err
	}
	items, err := of.rows(req.CSV, req.FirstLine)
	if err != nil {
		return v1.Job{}, err
	}
	return j.resume(ctx, p, id, struct {
		Job licensing.JobID
		v1.JobRowsRequest
	}{id, req}, items, req.More)
}

// resume stores further items of a job that p created.
func (j *Jobs) resume(ctx context.Context, p access.Principal, id licensing.JobID, req any, items []storedItem, more bool) (v1.Job, error) {
	stored, err := catalog.Once(ctx, j.ledger, p, req, func(tx *ledger.Tx) (v1.Job, error) {
		job, err := j.seen(ctx, tx.Tx, p, id, (*store.Tx).LockJob)
		if err != nil {
			return v1.Job{}, err
		}
		if job.Actor != p.Actor || job.Status != licensing.JobReceiving {
			return v1.Job{}, licensing.Errorf(licensing.Conflict, "job %s is %s and takes no further items from this caller", id, job.Status)
		}
		if err := receive(ctx, tx, &job, items, more); err != nil {
			return v1.Job{}, err
		}
		if err := tx.UpdateJob(ctx, job); err != nil {
			return v1.Job{}, err
		}
		return shown(job, nil), nil
	})
	if err == nil && !more {
		j.awaken()
	}
	return stored, err
}
