package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A Fence records since when an environment's record of leases may be incomplete.
type Fence struct {
	Env    licensing.Env
	Since  time.Time // zero means from the next start on
	Epoch  int64
	Reason string
	Ending bool // only leases with an end can be missing
}

// PutFence stores the latest fence of an environment.
func (tx *Tx) PutFence(ctx context.Context, f Fence) error {
	_, err := tx.exec(ctx, `
		INSERT INTO fence (env, since, epoch, reason, ending) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (env) DO UPDATE SET since = excluded.since, epoch = excluded.epoch, reason = excluded.reason, ending = excluded.ending`,
		f.Env, micros(f.Since), f.Epoch, f.Reason, flag(f.Ending))
	return err
}

// Fences returns the latest fence of each environment that has ever had one.
func (tx *Tx) Fences(ctx context.Context) ([]Fence, error) {
	rows, err := tx.query(ctx, `SELECT env, since, epoch, reason, ending FROM fence ORDER BY env`)
	if err != nil {
		return nil, err
	}
	var list []Fence
	return list, each(rows, func(rows Row) error {
		var f Fence
		var since, ending int64
		err := rows.Scan(&f.Env, &since, &f.Epoch, &f.Reason, &ending)
		f.Since, f.Ending = instant(since), ending != 0
		list = append(list, f)
		return err
	})
}

// A FenceDeclaration states that a loss affected no lease. It ends the fence of its environment and
// epoch when a second person agrees.
type FenceDeclaration struct {
	Env        licensing.Env
	Epoch      int64
	DeclaredBy string // an actor
	DeclaredAt time.Time
	Reason     string
	AgreedBy   string    // an actor; empty until someone has agreed
	EndedAt    time.Time // zero while the fence is in place
}

// PutFenceDeclaration stores the declaration about a fence and replaces an earlier one.
func (tx *Tx) PutFenceDeclaration(ctx context.Context, d FenceDeclaration) error {
	_, err := tx.exec(ctx, `
		INSERT INTO fence_declaration (env, epoch, declared_by, declared_at, reason, agreed_by, ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (env, epoch) DO UPDATE SET declared_by = excluded.declared_by, declared_at = excluded.declared_at,
			reason = excluded.reason, agreed_by = excluded.agreed_by, ended_at = excluded.ended_at`,
		d.Env, d.Epoch, d.DeclaredBy, micros(d.DeclaredAt), d.Reason, d.AgreedBy, micros(d.EndedAt))
	return err
}

// FenceDeclaration returns the declaration about the fence of an environment and epoch, and whether
// there is one. The row stays locked until the commit.
func (tx *Tx) FenceDeclaration(ctx context.Context, env licensing.Env, epoch int64) (FenceDeclaration, bool, error) {
	d := FenceDeclaration{Env: env, Epoch: epoch}
	var declared, ended int64
	text := `SELECT declared_by, declared_at, reason, agreed_by, ended_at FROM fence_declaration WHERE env = $1 AND epoch = $2`
	if tx.writes {
		text += tx.ForUpdate()
	}
	found, err := tx.row(ctx, text, []any{env, epoch}, &d.DeclaredBy, &declared, &d.Reason, &d.AgreedBy, &ended)
	d.DeclaredAt, d.EndedAt = instant(declared), instant(ended)
	return d, found, err
}
