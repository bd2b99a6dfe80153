package store

import (
	"context"
	"time"
)

// Forgettable reports whether a table has rows to forget: tickets that ended before the first time,
// sessions of denials that ended before the second, usage events recorded before the third, denials
// and refusals of usage before the fourth, and trials and recalls that are no longer needed. It
// lets a task without work leave the writers alone.
func (tx *Tx) Forgettable(ctx context.Context, ticket, session, usage, denial time.Time) (bool, error) {
	var some int64
	_, err := tx.row(ctx, `SELECT CASE WHEN
		EXISTS (SELECT 1 FROM ticket WHERE ended_at > 0 AND ended_at < $1)
		OR EXISTS (SELECT 1 FROM denial_session WHERE last_at < $2)
		OR EXISTS (SELECT 1 FROM usage_event WHERE recorded < $3)
		OR EXISTS (SELECT 1 FROM denial WHERE minute < $4)
		OR EXISTS (SELECT 1 FROM usage_refusal WHERE at < $4)
		OR EXISTS (SELECT 1 FROM trial WHERE forget_at > 0 AND forget_at <= $5)
		OR EXISTS (SELECT 1 FROM recall r WHERE NOT EXISTS (SELECT 1 FROM lease l WHERE l.env = r.env AND l.id = r.lease AND l.ended_at = 0))
		THEN 1 ELSE 0 END`, []any{micros(ticket), micros(session), micros(usage), micros(denial), micros(tx.now)}, &some)
	return some != 0, err
}
