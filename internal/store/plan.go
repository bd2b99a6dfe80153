package store

import (
	"cmp"
	"context"
	"time"

	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/licensing"
)

// A Plan is the row of a plan. Its name belongs to one product permanently.
type Plan struct {
	Name    licensing.PlanName
	Product licensing.ProductName
	Created time.Time
}

// A Revision is an applied version of a plan. It never changes.
type Revision struct {
	licensing.Revision
	Source    string // the plan file that it was read from
	AppliedAt time.Time
	AppliedBy string

	size int // of the plan, in bytes of JSON
}

// A Channel is a name that points to a revision of a plan.
type Channel struct {
	Plan     licensing.PlanName
	Name     string
	Revision licensing.RevisionID
	MovedAt  time.Time
}

// InsertPlan stores p unless a plan with its name exists.
func (tx *Tx) InsertPlan(ctx context.Context, env licensing.Env, p Plan) error {
	_, err := tx.exec(ctx, `
		INSERT INTO plan (env, name, product, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (env, name) DO NOTHING`,
		env, p.Name, p.Product, micros(p.Created))
	return err
}

// Plans returns up to limit plans with names after the given one, sorted by name. An empty product
// matches all products.
func (tx *Tx) Plans(ctx context.Context, env licensing.Env, product licensing.ProductName, after string, limit int) ([]Plan, error) {
	rows, err := tx.query(ctx, `
		SELECT name, product, created_at FROM plan
		WHERE env = $1 AND ($2 = '' OR product = $2) AND name > $3 ORDER BY name LIMIT $4`, env, product, after, limit)
	return collect(rows, err, scanPlan)
}

// Plan returns the plan with the given name, and whether it exists.
func (tx *Tx) Plan(ctx context.Context, env licensing.Env, name licensing.PlanName) (Plan, bool, error) {
	rows, err := tx.query(ctx, `SELECT name, product, created_at FROM plan WHERE env = $1 AND name = $2`, env, name)
	return only(collect(rows, err, scanPlan))
}

func scanPlan(r Row) (p Plan, err error) {
	var created int64
	err = r.Scan(&p.Name, &p.Product, &created)
	p.Created = instant(created)
	return p, err
}

// InsertRevision stores r and reports whether it is new.
func (tx *Tx) InsertRevision(ctx context.Context, env licensing.Env, r Revision) (bool, error) {
	body, err := encode(r.Plan)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(ctx, `
		INSERT INTO revision (env, plan, hash, body, source, applied_at, applied_by) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (env, plan, hash) DO NOTHING`,
		env, r.Plan.Name, r.ID, body, r.Source, micros(r.AppliedAt), r.AppliedBy)
	return n == 1, err
}

// Revision returns a revision of a plan, and whether it exists.
func (tx *Tx) Revision(ctx context.Context, env licensing.Env, plan licensing.PlanName, id licensing.RevisionID) (Revision, bool, error) {
	rows, err := tx.query(ctx, `
		SELECT hash, body, source, applied_at, applied_by FROM revision WHERE env = $1 AND plan = $2 AND hash = $3`, env, plan, id)
	return only(collect(rows, err, scanRevision))
}

// Revisions returns the revisions of a plan, latest first.
func (tx *Tx) Revisions(ctx context.Context, env licensing.Env, plan licensing.PlanName) ([]Revision, error) {
	rows, err := tx.query(ctx, `
		SELECT hash, body, source, applied_at, applied_by FROM revision WHERE env = $1 AND plan = $2 ORDER BY applied_at DESC, hash`, env, plan)
	return collect(rows, err, scanRevision)
}

// CountRevisions returns the number of revisions of all plans in an environment.
func (tx *Tx) CountRevisions(ctx context.Context, env licensing.Env) (n int64, err error) {
	_, err = tx.row(ctx, `SELECT COUNT(*) FROM revision WHERE env = $1`, []any{env}, &n)
	return n, err
}

// A revisionKey names a revision. Its content never changes, because the hash is that of the content,
// so a revision that was read in a transaction which then failed may be kept.
type revisionKey struct {
	env  licensing.Env
	plan licensing.PlanName
	id   licensing.RevisionID
}

// A keptRevision is decoded; its size is that of its JSON, in bytes.
type keptRevision struct {
	licensing.Revision
	size int
}

// revisionBytes is the memory for decoded revisions, which the licenses in other caches share.
const revisionBytes = 8 << 20

func newRevisions() *cache.Cache[revisionKey, *keptRevision] {
	return cache.New(revisionBytes, func(_ revisionKey, r *keptRevision) int { return 4096 + 4*r.size })
}

func scanRevision(r Row) (v Revision, err error) {
	var body string
	var applied int64
	if err := r.Scan(&v.ID, &body, &v.Source, &applied, &v.AppliedBy); err != nil {
		return v, err
	}
	v.AppliedAt, v.size = instant(applied), len(body)
	return v, decode(body, &v.Plan)
}

// MoveChannel points a channel of a plan to a revision.
func (tx *Tx) MoveChannel(ctx context.Context, env licensing.Env, c Channel) error {
	_, err := tx.exec(ctx, `
		INSERT INTO channel (env, plan, name, revision, moved_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (env, plan, name) DO UPDATE SET revision = excluded.revision, moved_at = excluded.moved_at`,
		env, c.Plan, c.Name, c.Revision, micros(c.MovedAt))
	return err
}

// Channels returns the channels of a plan, sorted by name.
func (tx *Tx) Channels(ctx context.Context, env licensing.Env, plan licensing.PlanName) ([]Channel, error) {
	rows, err := tx.query(ctx, `
		SELECT plan, name, revision, moved_at FROM channel WHERE env = $1 AND plan = $2 ORDER BY name`, env, plan)
	return collect(rows, err, func(r Row) (c Channel, err error) {
		var moved int64
		err = r.Scan(&c.Plan, &c.Name, &c.Revision, &moved)
		c.MovedAt = instant(moved)
		return c, err
	})
}

// RevisionOf returns the revision in force for l. If none is set, it returns the one that l is
// pinned to or that its channel points to. It reports whether there is one.
func (tx *Tx) RevisionOf(ctx context.Context, l licensing.License) (licensing.Revision, bool, error) {
	id := cmp.Or(l.Granted, l.Revision)
	if id == "" {
		found, err := tx.row(ctx, `SELECT revision FROM channel WHERE env = $1 AND plan = $2 AND name = $3`,
			[]any{l.Env, l.Plan, l.Channel}, &id)
		if err != nil || !found {
			return licensing.Revision{}, false, err
		}
	}
	key := revisionKey{l.Env, l.Plan, id}
	if kept, known := tx.db.revisions.Get(key); known {
		return kept.Revision, true, nil
	}
	r, ok, err := tx.Revision(ctx, l.Env, l.Plan, id)
	if err != nil || !ok {
		return licensing.Revision{}, false, err
	}
	prepared, err := r.Prepared()
	if err != nil {
		return r.Revision, true, nil //nolint:nilerr // Compile reports it, and only to those who need the zone
	}
	tx.db.revisions.Put(key, &keptRevision{prepared, r.size})
	return prepared, true, nil
}
