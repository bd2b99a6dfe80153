// Package jobs does long work in the background: it imports, changes and compares many licenses. A
// job runs in many short transactions, so that requests for leases hardly notice it. Each
// transaction stores its changes together with the job's new position. If a server fails, it or
// another server continues the job there, and does nothing twice.
package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// Jobs creates, shows and runs jobs. It is safe for concurrent use.
type Jobs struct {
	ledger  *ledger.Ledger
	catalog *catalog.Catalog
	runner  string // identifies this process in claims
	kinds   map[licensing.JobKind]kind
	wake    chan struct{}

	mu      sync.Mutex
	running map[key]bool
}

type key struct {
	env licensing.Env
	id  licensing.JobID
}

// A kind says how the jobs of one kind work.
type kind struct {
	needs   access.Permission                                     // to create or cancel one
	sees    access.Permission                                     // to see one
	changes bool                                                  // it changes licenses, so it waits for earlier jobs that do
	rows    func(csv string, firstLine int) ([]storedItem, error) // reads the rows of a file, or nil
	run     func(context.Context, *run) error
}

// New returns the jobs of a ledger.
func New(l *ledger.Ledger, c *catalog.Catalog) *Jobs {
	j := &Jobs{ledger: l, catalog: c, runner: ledger.NewID("run", l.Now()), wake: make(chan struct{}, 1), running: map[key]bool{}}
	j.kinds = map[licensing.JobKind]kind{
		licensing.JobImport:    {needs: access.LicenseIssue, sees: access.LicenseRead, changes: true, rows: importItems, run: j.runImport},
		licensing.JobPlanDiff:  {needs: access.PlanRead, sees: access.PlanRead, run: j.runPlans},
		licensing.JobPlanApply: {needs: access.PlanApply, sees: access.PlanRead, changes: true, run: j.runPlans},
		licensing.JobReconcile: {needs: access.AuditRead, sees: access.AuditRead, run: j.runReconcile},
	}
	j.addLicenseKinds()
	return j
}

// pollEvery is how often a server of several checks for jobs that others have created or left.
const pollEvery = 2 * time.Second

// Tasks returns the background tasks of the jobs.
func (j *Jobs) Tasks() []ledger.Task {
	return []ledger.Task{{Name: "jobs", Run: j.run}, {Name: "old_jobs", Run: j.runOld}}
}

// awaken makes the server check for jobs to run.
func (j *Jobs) awaken() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *Jobs) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	var poll <-chan time.Time // nil if no other server can create jobs
	if j.ledger.DB.Shared() {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		poll = tick.C
	}
	for {
		err := j.begin(ctx, &running)
		if ctx.Err() != nil {
			return
		}
		j.ledger.Task("jobs", err)
		retry := poll
		if err != nil {
			retry = time.After(pollEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-j.wake:
		case <-retry:
		}
	}
}

// begin starts the jobs that can run and that no server runs.
func (j *Jobs) begin(ctx context.Context, running *sync.WaitGroup) error {
	var open []store.Job
	var now time.Time
	err := j.ledger.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now()
		open, err = tx.OpenJobs(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, job := range runnable(open) {
		if _, known := j.kinds[job.Kind]; !known {
			continue // a job of a later version, which a server of that version runs
		}
		if j.ledger.DB.Shared() && job.Runner != j.runner && job.Claimed.After(now) {
			continue
		}
		k := key{job.Env, job.ID}
		j.mu.Lock()
		begun := j.running[k]
		j.running[k] = true
		j.mu.Unlock()
		if begun {
			continue
		}
		running.Go(func() {
			j.finish(ctx, job)
			j.mu.Lock()
			delete(j.running, k)
			j.mu.Unlock()
			j.awaken()
		})
	}
	return nil
}

// runnable returns the jobs that need not wait for another one. open is sorted by environment and
// id.
func runnable(open []store.Job) []store.Job {
	var all []store.Job
	for _, job := range open {
		if job.Status != licensing.JobReceiving && waitsFor(job, open) == "" {
			all = append(all, job)
		}
	}
	return all
}

// waitsFor returns the job that must end before job can run, or "". open is sorted by id. Jobs that
// change licenses run one after another in each environment; other jobs wait for none.
func waitsFor(job store.Job, open []store.Job) licensing.JobID {
	if !job.Changes || job.Status == licensing.JobReceiving {
		return ""
	}
	for _, other := range open {
		if other.Env == job.Env && other.Changes && other.Status != licensing.JobReceiving && other.ID < job.ID {
			return other.ID
		}
	}
	return ""
}

// principal returns the caller that created a job, with the rights that it had then.
func principal(job store.Job) (p access.Principal, err error) {
	if err := json.Unmarshal([]byte(job.Caller), &p); err != nil {
		return p, fmt.Errorf("decoding the caller of job %s: %w", job.ID, err)
	}
	return p, nil
}
