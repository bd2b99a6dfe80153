package authority

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// seenRevision returns a revision of a plan that p sees: the named one, or the
// one a channel points to.
func seenRevision(ctx context.Context, tx *store.Tx, p access.Principal, plan licensing.PlanName, channel string, revision licensing.RevisionID) (licensing.Revision, error) {
	rev, ok, err := tx.RevisionOf(ctx, licensing.License{Env: p.Env, Plan: plan, Channel: channel, Revision: revision})
	switch {
	case err != nil:
		return rev, err
	case ok && p.SeesProduct(rev.Plan.Product):
		return rev, nil
	case revision != "":
		return rev, notFound("plan", string(plan)+" with revision "+string(revision))
	}
	return rev, notFound("plan", string(plan)+" with channel "+channel)
}

// revisionOf returns the revision that a stored license is granted by.
func revisionOf(ctx context.Context, tx *store.Tx, l licensing.License) (licensing.Revision, error) {
	rev, ok, err := tx.RevisionOf(ctx, l)
	if err == nil && !ok {
		err = licensing.Errorf(licensing.Conflict, "plan %s has no channel %s or revision %s", l.Plan, l.Channel, l.Revision)
	}
	return rev, err
}
