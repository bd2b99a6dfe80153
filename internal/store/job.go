package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Job is long work that a server does in the background.
type Job struct {
	Env        licensing.Env
	ID         licensing.JobID
	Kind       licensing.JobKind
	Status     licensing.JobStatus
	Customer   licensing.CustomerID  // the scope of the caller; empty means no limit
	Product    licensing.ProductName // the scope of the caller; empty means no limit
	Changes    bool                  // it changes licenses and must wait for earlier jobs that do
	Caller     string                // the principal, as JSON
	Actor      string
	Call       string // the request that created it
	Request    string // JSON
	DryRun     bool
	Total      int64  // items; 0 until it is known
	Done       int64  // items processed, including failed ones
	Failed     int64  // items that failed
	Position   string // JSON of the kind
	Result     string // JSON of the kind, at the end
	Code       licensing.Code
	Message    string // of the error, if the job failed
	Created    time.Time
	Started    time.Time // zero until it runs
	Ended      time.Time // zero until it has ended
	CanceledBy string    // the actor that canceled it; it ends at its next transaction
	Runner     string    // the server that runs it
	Claimed    time.Time // until when the runner has it for itself
}

// A JobFilter selects jobs. Empty fields match every job.
type JobFilter struct {
	Customer licensing.CustomerID  // the scope of the caller
	Product  licensing.ProductName // the scope of the caller
	Kinds    []licensing.JobKind   // at least one
	Open     bool                  // only jobs that have not ended
}

const jobColumns = `env, id, kind, status, customer, product, changes, caller, actor, call, request, dry_run,
	total, done, failed, position, result, code, message, created_at, started_at, ended_at, canceled_by, runner, claimed`

// InsertJob stores a new job.
func (tx *Tx) InsertJob(ctx context.Context, j Job) error {
	_, err := tx.exec(ctx, `INSERT INTO job (`+jobColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)`,
		j.Env, j.ID, j.Kind, j.Status, j.Customer, j.Product, flag(j.Changes), j.Caller, j.Actor, j.Call, j.Request, flag(j.DryRun),
		j.Total, j.Done, j.Failed, j.Position, j.Result, j.Code, j.Message, micros(j.Created), micros(j.Started), micros(j.Ended),
		j.CanceledBy, j.Runner, micros(j.Claimed))
	return err
}

// UpdateJob stores what changes while a job runs.
func (tx *Tx) UpdateJob(ctx context.Context, j Job) error {
	_, err := tx.exec(ctx, `
		UPDATE job SET status = $3, total = $4, done = $5, failed = $6, position = $7, result = $8, code = $9, message = $10,
			started_at = $11, ended_at = $12, canceled_by = $13, runner = $14, claimed = $15
		WHERE env = $1 AND id = $2`,
		j.Env, j.ID, j.Status, j.Total, j.Done, j.Failed, j.Position, j.Result, j.Code, j.Message,
		micros(j.Started), micros(j.Ended), j.CanceledBy, j.Runner, micros(j.Claimed))
	return err
}

// Job returns a job and whether it exists.
func (tx *Tx) Job(ctx context.Context, env licensing.Env, id licensing.JobID) (Job, bool, error) {
	return tx.job(ctx, env, id, "")
}

// LockJob is Job, and prevents changes by other transactions until this one ends.
func (tx *Tx) LockJob(ctx context.Context, env licensing.Env, id licensing.JobID) (Job, bool, error) {
	return tx.job(ctx, env, id, tx.ForUpdate())
}

func (tx *Tx) job(ctx context.Context, env licensing.Env, id licensing.JobID, lock string) (Job, bool, error) {
	rows, err := tx.query(ctx, `SELECT `+jobColumns+` FROM job WHERE env = $1 AND id = $2`+lock, env, id)
	return only(collect(rows, err, scanJob))
}

// Jobs returns up to limit jobs that match f with ids before the given one, latest first. An empty
// id means the latest.
func (tx *Tx) Jobs(ctx context.Context, env licensing.Env, f JobFilter, before string, limit int) ([]Job, error) {
	c := &conditions{}
	c.add("env = $%d", env)
	if before != "" {
		c.add("id < $%d", before)
	}
	if f.Customer != "" {
		c.add("customer = $%d", f.Customer)
	}
	if f.Product != "" {
		c.add("product = $%d", f.Product)
	}
	if f.Open {
		c.add("ended_at = 0")
	}
	kinds := make([]any, len(f.Kinds))
	for i, k := range f.Kinds {
		kinds[i] = k
	}
	c.add("kind IN ("+strings.TrimSuffix(strings.Repeat("$%d, ", len(kinds)), ", ")+")", kinds...)
	rows, err := tx.query(ctx, `SELECT `+jobColumns+` FROM job WHERE `+c.String()+` ORDER BY id DESC LIMIT `+strconv.Itoa(limit), c.args...)
	return collect(rows, err, scanJob)
}

// OpenJobs returns the jobs of all environments that have not ended, by environment, oldest first.
func (tx *Tx) OpenJobs(ctx context.Context) ([]Job, error) {
	rows, err := tx.query(ctx, `SELECT `+jobColumns+` FROM job WHERE ended_at = 0 ORDER BY env, id`)
	return collect(rows, err, scanJob)
}

func scanJob(r Row) (j Job, err error) {
	var changes, dry, created, started, ended, claimed int64
	err = r.Scan(&j.Env, &j.ID, &j.Kind, &j.Status, &j.Customer, &j.Product, &changes, &j.Caller, &j.Actor, &j.Call, &j.Request, &dry,
		&j.Total, &j.Done, &j.Failed, &j.Position, &j.Result, &j.Code, &j.Message, &created, &started, &ended, &j.CanceledBy, &j.Runner, &claimed)
	j.Changes, j.DryRun = changes != 0, dry != 0
	j.Created, j.Started, j.Ended, j.Claimed = instant(created), instant(started), instant(ended), instant(claimed)
	return j, err
}

// JobItems are consecutive items of a job, or consecutive results.
type JobItems struct {
	First  int64  // number of the first one
	List   string // JSON list
	Failed int64  // for results: how many of them failed
}

// InsertJobItems stores items of a new job.
func (tx *Tx) InsertJobItems(ctx context.Context, env licensing.Env, id licensing.JobID, items JobItems) error {
	return tx.later(ctx, &Statement{Text: `INSERT INTO job_item (env, job, first, items) VALUES ($1, $2, $3, $4)`,
		Args: []any{string(env), string(id), items.First, items.List}})
}

// JobItems returns the stored group of items that contains item n, and whether there is one. The
// group can end before n if the job has no such item.
func (tx *Tx) JobItems(ctx context.Context, env licensing.Env, id licensing.JobID, n int64) (items JobItems, found bool, err error) {
	found, err = tx.row(ctx, `SELECT first, items FROM job_item WHERE env = $1 AND job = $2 AND first <= $3 ORDER BY first DESC LIMIT 1`,
		[]any{env, id, n}, &items.First, &items.List)
	return items, found, err
}

// InsertJobResults stores results of a job.
func (tx *Tx) InsertJobResults(ctx context.Context, env licensing.Env, id licensing.JobID, results JobItems) error {
	return tx.later(ctx, &Statement{Text: `INSERT INTO job_result (env, job, first, results, failed) VALUES ($1, $2, $3, $4, $5)`,
		Args: []any{string(env), string(id), results.First, results.List, results.Failed}})
}

// JobResults returns up to limit stored groups of results, beginning with the group that contains
// result n. With failed, it returns only groups in which a result failed.
func (tx *Tx) JobResults(ctx context.Context, env licensing.Env, id licensing.JobID, n int64, failed bool, limit int) ([]JobItems, error) {
	only := ""
	if failed {
		only = " AND failed > 0"
	}
	rows, err := tx.query(ctx, `
		SELECT first, results, failed FROM job_result
		WHERE env = $1 AND job = $2 AND first >= COALESCE((SELECT MAX(first) FROM job_result WHERE env = $1 AND job = $2 AND first <= $3), 0)`+only+`
		ORDER BY first LIMIT $4`, env, id, n, limit)
	return collect(rows, err, func(r Row) (items JobItems, err error) {
		return items, r.Scan(&items.First, &items.List, &items.Failed)
	})
}

// ClearJobItems deletes up to limit groups of a job's items and reports whether none are left.
func (tx *Tx) ClearJobItems(ctx context.Context, env licensing.Env, id licensing.JobID, limit int) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM job_item WHERE env = $1 AND job = $2 AND first IN (
		SELECT first FROM job_item WHERE env = $1 AND job = $2 ORDER BY first LIMIT $3)`, env, id, limit)
	return n < int64(limit), err
}

// ClearJobResults deletes up to limit groups of a job's results and reports whether none are left.
func (tx *Tx) ClearJobResults(ctx context.Context, env licensing.Env, id licensing.JobID, limit int) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM job_result WHERE env = $1 AND job = $2 AND first IN (
		SELECT first FROM job_result WHERE env = $1 AND job = $2 ORDER BY first LIMIT $3)`, env, id, limit)
	return n < int64(limit), err
}

// OldJobs returns up to limit jobs of all environments that ended before a time, oldest first.
func (tx *Tx) OldJobs(ctx context.Context, before time.Time, limit int) ([]Job, error) {
	rows, err := tx.query(ctx, `SELECT `+jobColumns+` FROM job WHERE ended_at <> 0 AND ended_at < $1 ORDER BY ended_at LIMIT $2`, micros(before), limit)
	return collect(rows, err, scanJob)
}

// DeleteJob deletes a job, whose items and results must be gone.
func (tx *Tx) DeleteJob(ctx context.Context, env licensing.Env, id licensing.JobID) error {
	_, err := tx.exec(ctx, `DELETE FROM job WHERE env = $1 AND id = $2`, env, id)
	return err
}
