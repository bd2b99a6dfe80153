package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A PlanMove is a move of licenses to a revision of their plan.
type PlanMove struct {
	Env      licensing.Env
	ID       licensing.MoveID
	Plan     licensing.PlanName
	Channel  string
	Revision licensing.RevisionID
	Licenses LicenseFilter // the licenses to move
	Below    licensing.Below
	Total    int64  // licenses to move, at the start
	Moved    int64  // so far
	Refused  int64  // not moved, because they no longer fit
	Last     string // the last license handled, by id
	Actor    string
	Created  time.Time
	Done     time.Time       // zero until the move is done
	Job      licensing.JobID // the job that moves the licenses; empty if a background task does
}

const moveColumns = `env, id, plan, channel, revision, licenses, below, total, moved, refused, last, actor, created_at, done_at, job`

// InsertMove stores a new move.
func (tx *Tx) InsertMove(ctx context.Context, m PlanMove) error {
	filter, err := encode(m.Licenses)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `INSERT INTO plan_move (`+moveColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		m.Env, m.ID, m.Plan, m.Channel, m.Revision, filter, m.Below, m.Total, m.Moved, m.Refused, m.Last, m.Actor, micros(m.Created), micros(m.Done), m.Job)
	return err
}

// LockMove returns a move and whether it exists. No other transaction can continue it until this
// one ends.
func (tx *Tx) LockMove(ctx context.Context, env licensing.Env, id licensing.MoveID) (PlanMove, bool, error) {
	rows, err := tx.query(ctx, `SELECT `+moveColumns+` FROM plan_move WHERE env = $1 AND id = $2`+tx.ForUpdate(), env, id)
	return only(collect(rows, err, scanMove))
}

// UpdateMove stores the progress of a move.
func (tx *Tx) UpdateMove(ctx context.Context, m PlanMove) error {
	_, err := tx.exec(ctx, `UPDATE plan_move SET moved = $3, refused = $4, last = $5, done_at = $6 WHERE env = $1 AND id = $2`,
		m.Env, m.ID, m.Moved, m.Refused, m.Last, micros(m.Done))
	return err
}

// OpenMoves returns the unfinished moves of an environment, or of all environments if env is empty,
// oldest first.
func (tx *Tx) OpenMoves(ctx context.Context, env licensing.Env) ([]PlanMove, error) {
	rows, err := tx.query(ctx, `SELECT `+moveColumns+` FROM plan_move WHERE done_at = 0 AND ($1 = '' OR env = $1) ORDER BY id`, env)
	return collect(rows, err, scanMove)
}

// Moves returns up to limit moves of a plan, latest first.
func (tx *Tx) Moves(ctx context.Context, env licensing.Env, plan licensing.PlanName, limit int) ([]PlanMove, error) {
	rows, err := tx.query(ctx, `SELECT `+moveColumns+` FROM plan_move WHERE env = $1 AND plan = $2 ORDER BY id DESC LIMIT $3`, env, plan, limit)
	return collect(rows, err, scanMove)
}

func scanMove(r Row) (m PlanMove, err error) {
	var filter string
	var created, done int64
	if err := r.Scan(&m.Env, &m.ID, &m.Plan, &m.Channel, &m.Revision, &filter, &m.Below, &m.Total, &m.Moved, &m.Refused, &m.Last, &m.Actor, &created, &done, &m.Job); err != nil {
		return m, err
	}
	m.Created, m.Done = instant(created), instant(done)
	return m, decode(filter, &m.Licenses)
}
