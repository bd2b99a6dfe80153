package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// An item is one thing that a job does something to.
type item struct {
	n       int64               // its number in the job
	line    int                 // of the file that it comes from, or 0
	license licensing.LicenseID // or empty
	body    json.RawMessage     // as it was stored, or nil
}

// A work is what a job does to each of its items.
type work struct {
	partial bool // change the items that can be changed, even if others cannot
	next    func(ctx context.Context, tx *store.Tx, at position) ([]item, error)
	do      func(ctx context.Context, tx *ledger.Tx, it item, result *v1.JobResult) error
}

// A position is how far a job has come.
type position struct {
	Phase   string              `json:"phase,omitempty"`
	Next    int64               `json:"next,omitempty"`    // number of the next item
	After   licensing.LicenseID `json:"after,omitempty"`   // the last license stored as an item, while a filter selects licenses
	Results int64               `json:"results,omitempty"` // results stored so far
}

// The phases of a job that changes items.
const (
	phaseCheck  = "check"
	phaseChange = "change"
)

const (
	// groupSize is how many items are stored together.
	groupSize = 100
	// storeAfter is how long items are checked before the results are stored.
	storeAfter = 250 * time.Millisecond
)

// each does w to all items of a job. Unless w is partial, it first checks all of them in transactions
// that it rolls back, and changes nothing if one has a fault. A dry run only checks.
func (r *run) each(ctx context.Context, w work) error {
	at, err := decoded[position](r.job.Position)
	if err != nil {
		return err
	}
	if at.Phase == "" {
		at.Phase = r.firstPhase(w.partial)
	}
	for over := false; !over; {
		if at.Phase == phaseChange {
			at, over, err = r.change(ctx, w)
		} else {
			at, over, err = r.check(ctx, w, at)
		}
		if err != nil {
			return err
		}
	}
	return r.end(ctx, licensing.JobSucceeded, nil)
}

// firstPhase returns the phase in which the job begins with its items.
func (r *run) firstPhase(partial bool) string {
	if partial && !r.job.DryRun {
		return phaseChange
	}
	return phaseCheck
}

// check checks items for a while and stores the results. It returns the new position, and whether
// the job is over.
func (r *run) check(ctx context.Context, w work, at position) (position, bool, error) {
	var results []v1.JobResult
	var checked, failed int64
	to, last := at, false
	for began := r.now(); !last && r.now().Sub(began) < storeAfter; {
		var some []v1.JobResult
		err := r.try(func(known map[int64]error) error {
			return r.jobs.ledger.Update(ctx, r.job.Env, r.job.Actor, func(tx *ledger.Tx) (err error) {
				if some, to, last, err = r.chunk(ctx, tx, w, to, known); err != nil {
					return err
				}
				return errNoop
			})
		})
		if err != nil && !errors.Is(err, errNoop) {
			return at, false, err
		}
		for _, one := range some {
			checked++
			if one.Error != nil {
				failed++
			}
			if one.Error != nil || r.job.DryRun {
				results = append(results, one)
			}
		}
	}
	var all int64
	var next position // set again if the transaction is repeated
	err := r.step(ctx, func(tx *ledger.Tx, job *store.Job) error {
		stored, err := decoded[position](job.Position)
		if err != nil {
			return err
		}
		if stored.Phase == "" {
			stored.Phase = phaseCheck
		}
		if stored != at {
			return errLost
		}
		job.Done, job.Failed = job.Done+checked, job.Failed+failed
		all = job.Failed
		next = to
		if last && all == 0 && !job.DryRun {
			job.Done, next = 0, position{Phase: phaseChange}
		}
		if job.Total < job.Done {
			job.Total = job.Done
		}
		return r.store(ctx, tx, job, &next, results)
	})
	if err == nil && last && all > 0 && !r.job.DryRun {
		err = licensing.Errorf(licensing.Invalid, "%s; nothing was changed", haveFaults(all))
	}
	return next, last && r.job.DryRun, err
}

func haveFaults(n int64) string {
	if n == 1 {
		return "1 item has an error"
	}
	return licensing.Counted(n, "item") + " have errors"
}

// change changes the next items and stores the results, in one transaction. It returns the new
// position, and whether the job is over.
func (r *run) change(ctx context.Context, w work) (to position, last bool, err error) {
	err = r.try(func(known map[int64]error) error {
		return r.step(ctx, func(tx *ledger.Tx, job *store.Job) error {
			at, err := decoded[position](job.Position) // what an attempt has stored whose outcome was unknown
			if err != nil {
				return err
			}
			at.Phase = phaseChange
			var results []v1.JobResult
			if results, to, last, err = r.chunk(ctx, tx, w, at, known); err != nil {
				return err
			}
			for _, one := range results {
				job.Done++
				if one.Error != nil {
					job.Failed++
				}
			}
			if job.Total < job.Done {
				job.Total = job.Done
			}
			return r.store(ctx, tx, job, &to, results)
		})
	})
	return to, last, err
}

// errItem rolls back a transaction in which an item failed, because the item may have left changes.
var errItem = errors.New("an item failed; the transaction is repeated without it")

// try calls fn until no further item fails. known has the errors of the items that have failed.
func (r *run) try(fn func(known map[int64]error) error) error {
	for known := map[int64]error{}; ; {
		if err := fn(known); !errors.Is(err, errItem) {
			return err
		}
	}
}

// chunk does w to the next items, for about licensing.JobChunk. It returns the results, the position
// after them, and whether no items are left. If an item fails, chunk adds it to known and returns
// errItem.
func (r *run) chunk(ctx context.Context, tx *ledger.Tx, w work, at position, known map[int64]error) (results []v1.JobResult, to position, last bool, err error) {
	to = at
	items, err := w.next(ctx, tx.Tx, at)
	if err != nil || len(items) == 0 {
		return nil, at, true, err
	}
	began := r.now()
	for _, it := range items {
		result := v1.JobResult{Line: it.line, License: it.license}
		if cause, failed := known[to.Next]; failed {
			result.Error = &v1.JobError{Code: licensing.CodeOf(cause), Message: cause.Error()}
		} else if err := w.do(ctx, tx, it, &result); err != nil {
			if !isItems(err) || ctx.Err() != nil {
				return nil, at, false, err
			}
			known[to.Next] = err
			return nil, at, false, errItem
		}
		results = append(results, result)
		to.Next++
		if r.now().Sub(began) > licensing.JobChunk {
			break
		}
	}
	return results, to, false, nil
}

// isItems reports whether err is about an item and not about the server.
func isItems(err error) bool {
	switch licensing.CodeOf(err) {
	case licensing.Internal, licensing.Unavailable, licensing.OutcomeUnknown:
		return false
	}
	return true
}

// store stores results and the position after them.
func (r *run) store(ctx context.Context, tx *ledger.Tx, job *store.Job, to *position, results []v1.JobResult) error {
	first := to.Results
	to.Results += int64(len(results))
	var err error
	if job.Position, err = encoded(*to); err != nil {
		return err
	}
	for len(results) > 0 {
		some := results[:min(len(results), groupSize)]
		results = results[len(some):]
		group := store.JobItems{First: first}
		for _, one := range some {
			if one.Error != nil {
				group.Failed++
			}
		}
		if group.List, err = encoded(some); err != nil {
			return err
		}
		if err := tx.InsertJobResults(ctx, job.Env, job.ID, group); err != nil {
			return err
		}
		first += int64(len(some))
	}
	return nil
}

func (r *run) now() time.Time { return r.jobs.ledger.Now() }

// stored returns the stored items of the job from a position on.
func (r *run) stored(ctx context.Context, tx *store.Tx, at position) ([]item, error) {
	group, found, err := tx.JobItems(ctx, r.job.Env, r.job.ID, at.Next)
	if err != nil || !found {
		return nil, err
	}
	list, err := decoded[[]storedItem](group.List)
	if err != nil {
		return nil, err
	}
	skip := min(at.Next-group.First, int64(len(list)))
	items := make([]item, 0, len(list))
	for i, s := range list[skip:] {
		items = append(items, item{n: at.Next + int64(i), line: s.Line, license: s.License, body: s.Body})
	}
	return items, nil
}

// A storedItem is an item in the form in which it is stored.
type storedItem struct {
	Line    int                 `json:"line,omitempty"`
	License licensing.LicenseID `json:"license,omitempty"`
	Body    json.RawMessage     `json:"body,omitempty"`
}
