package store

import (
	"context"
	"time"

	"copyhold.dev/internal/licensing"
)

// A FollowerKey identifies a follower of a log. Each scope has its own names.
type FollowerKey struct {
	Env      licensing.Env
	Customer licensing.CustomerID  // the customer whose entries it sees; empty means all
	Product  licensing.ProductName // the product whose entries it sees; empty means all
	Name     string
}

// A LogFollower records how far a program has read the log of an environment.
type LogFollower struct {
	FollowerKey
	Position int64 // index of the next entry
	MovedAt  time.Time
}

const followerColumns = `env, customer, product, name, position, moved_at`

// LogFollowers returns the followers in the scope of k, by name.
func (tx *Tx) LogFollowers(ctx context.Context, k FollowerKey) ([]LogFollower, error) {
	rows, err := tx.query(ctx, `
		SELECT `+followerColumns+` FROM log_follower WHERE env = $1 AND customer = $2 AND product = $3 ORDER BY name`, k.Env, k.Customer, k.Product)
	return collect(rows, err, func(r Row) (f LogFollower, err error) {
		var moved int64
		err = r.Scan(&f.Env, &f.Customer, &f.Product, &f.Name, &f.Position, &moved)
		f.MovedAt = instant(moved)
		return f, err
	})
}

// LogPosition returns the position of a follower, or 0 if it does not exist.
func (tx *Tx) LogPosition(ctx context.Context, k FollowerKey) (position int64, err error) {
	_, err = tx.row(ctx, `SELECT position FROM log_follower WHERE env = $1 AND customer = $2 AND product = $3 AND name = $4`,
		[]any{k.Env, k.Customer, k.Product, k.Name}, &position)
	return position, err
}

// MoveLogFollower moves a follower from a position to that of f. If from is 0, it creates a missing
// follower. It returns false if the follower is at another position.
func (tx *Tx) MoveLogFollower(ctx context.Context, f LogFollower, from int64) (bool, error) {
	args := []any{f.Env, f.Customer, f.Product, f.Name, f.Position, micros(f.MovedAt)}
	n, err := tx.exec(ctx, `
		UPDATE log_follower SET position = $5, moved_at = $6
		WHERE env = $1 AND customer = $2 AND product = $3 AND name = $4 AND position = $7`, append(args, from)...)
	if err != nil || n > 0 || from != 0 {
		return n > 0, err
	}
	n, err = tx.exec(ctx, `
		INSERT INTO log_follower (`+followerColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (env, customer, product, name) DO NOTHING`, args...)
	return n > 0, err
}

// DeleteLogFollower deletes a follower and reports whether it existed.
func (tx *Tx) DeleteLogFollower(ctx context.Context, k FollowerKey) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM log_follower WHERE env = $1 AND customer = $2 AND product = $3 AND name = $4`,
		k.Env, k.Customer, k.Product, k.Name)
	return n > 0, err
}

// LogRowsFrom returns up to scanRows rows whose first index is at least from, oldest first.
func (tx *Tx) LogRowsFrom(ctx context.Context, env licensing.Env, from int64) ([]PlacedRow, error) {
	return tx.placed(ctx, `
		SELECT p.row_id, p.first, p.entries, r.at, r.body, r.packed
		FROM log_place p JOIN log_row r ON r.env = p.env AND r.id = p.row_id
		WHERE p.env = $1 AND p.first >= $2 ORDER BY p.first LIMIT $3`, env, from, scanRows)
}
