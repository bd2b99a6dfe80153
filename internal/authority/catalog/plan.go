package catalog

import (
	"cmp"
	"context"
	"slices"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// LintPlans returns the problems in plan files, for the environment of p.
func (c *Catalog) LintPlans(ctx context.Context, p access.Principal, files []policy.File) ([]policy.Finding, error) {
	if err := request.Require(p, access.PlanRead); err != nil {
		return nil, err
	}
	_, findings, err := c.readPlans(ctx, p, files)
	return findings, err
}

func (c *Catalog) readPlans(ctx context.Context, p access.Principal, files []policy.File) ([]policy.Source, []policy.Finding, error) {
	if len(files) == 0 {
		return nil, nil, licensing.Errorf(licensing.Invalid, "at least one plan file is required").At("files")
	}
	kind := licensing.Production
	err := c.ledger.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Environments(ctx)
		for _, e := range all {
			if e.Name == p.Env {
				kind = e.Kind
			}
		}
		return err
	})
	sources, findings := policy.Check(files, kind)
	return sources, findings, err
}

// Plans returns the plans that p may see, by name. Each has the revision of its default channel:
// the channel named stable, or else the first.
func (c *Catalog) Plans(ctx context.Context, p access.Principal, product licensing.ProductName, of request.PageOf) (request.Page[v1.PlanSummary], error) {
	var found request.Page[v1.PlanSummary]
	if err := request.Require(p, access.PlanRead); err != nil {
		return found, err
	}
	after, rows, err := of.After("plan")
	if err != nil || product != "" && !p.SeesProduct(product) {
		return found, err
	}
	err = c.ledger.View(ctx, func(tx *store.Tx) error {
		plans, err := tx.Plans(ctx, p.Env, cmp.Or(product, p.Product), after, rows)
		if err != nil {
			return err
		}
		all := make([]v1.PlanSummary, len(plans))
		for i, row := range plans {
			if all[i], err = PlanInForce(ctx, tx, p.Env, row); err != nil {
				return err
			}
		}
		found = request.NewPage("plan", all, rows, func(p v1.PlanSummary) string { return string(p.Name) })
		return nil
	})
	return found, err
}

// PlanInForce returns a plan with the revision of its default channel.
func PlanInForce(ctx context.Context, tx *store.Tx, env licensing.Env, row store.Plan) (v1.PlanSummary, error) {
	channels, err := tx.Channels(ctx, env, row.Name)
	if err != nil || len(channels) == 0 {
		return v1.PlanSummary{Product: row.Product, Name: row.Name}, err
	}
	at := channels[0]
	for _, c := range channels {
		if c.Name == DefaultChannel {
			at = c
		}
	}
	rev, _, err := tx.Revision(ctx, env, row.Name, at.Revision)
	if err != nil {
		return v1.PlanSummary{}, err
	}
	plan, err := planAs(ctx, tx, env, row, rev)
	plan.Channel = at.Name
	return plan, err
}

func planAs(ctx context.Context, tx *store.Tx, env licensing.Env, row store.Plan, rev store.Revision) (v1.PlanSummary, error) {
	plan := v1.PlanSummary{Product: row.Product, Name: row.Name, Revision: rev.ID, AppliedAt: rev.AppliedAt, AppliedBy: rev.AppliedBy}
	counts, err := tx.CountLicenses(ctx, env, store.LicenseFilter{Plan: row.Name, Revision: rev.ID}, tx.Now())
	for _, n := range counts {
		plan.Licenses += n.Count
	}
	return plan, err
}

// Plan returns a plan that p may see, with the current revision or a named one.
func (c *Catalog) Plan(ctx context.Context, p access.Principal, name licensing.PlanName, revision licensing.RevisionID) (v1.PlanDetail, error) {
	var found v1.PlanDetail
	if err := request.Require(p, access.PlanRead); err != nil {
		return found, err
	}
	err := c.ledger.View(ctx, func(tx *store.Tx) (err error) {
		found, err = planDetail(ctx, tx, p, name, revision)
		found.Bounds = found.Content.Bounds(c.ledger.Skew)
		return err
	})
	return found, err
}

func planDetail(ctx context.Context, tx *store.Tx, p access.Principal, name licensing.PlanName, revision licensing.RevisionID) (v1.PlanDetail, error) {
	var d v1.PlanDetail
	row, ok, err := tx.Plan(ctx, p.Env, name)
	if err != nil {
		return d, err
	}
	if !ok || !p.SeesProduct(row.Product) {
		return d, request.NotFound("plan", name)
	}
	if d.PlanSummary, err = PlanInForce(ctx, tx, p.Env, row); err != nil {
		return d, err
	}
	rev, err := namedRevision(ctx, tx, p.Env, name, cmp.Or(revision, d.Revision))
	if err != nil {
		return d, err
	}
	if rev.ID != d.Revision {
		if d.PlanSummary, err = planAs(ctx, tx, p.Env, row, rev); err != nil {
			return d, err
		}
	}
	d.Text, d.Content = rev.Source, rev.Plan
	return d, addHistory(ctx, &d, tx, p.Env, name)
}

// shownMoves is how many moves of a plan are shown.
const shownMoves = 10

// addHistory adds the channels, revisions and moves of a plan.
func addHistory(ctx context.Context, d *v1.PlanDetail, tx *store.Tx, env licensing.Env, name licensing.PlanName) error {
	channels, err := tx.Channels(ctx, env, name)
	if err != nil {
		return err
	}
	d.Channels = []v1.PlanChannel{}
	for _, c := range channels {
		d.Channels = append(d.Channels, v1.PlanChannel{Name: c.Name, Revision: c.Revision, MovedAt: c.MovedAt})
	}
	revisions, err := tx.Revisions(ctx, env, name)
	d.Revisions = []v1.PlanRevision{}
	for _, r := range revisions {
		d.Revisions = append(d.Revisions, v1.PlanRevision{Revision: r.ID, AppliedAt: r.AppliedAt, AppliedBy: r.AppliedBy})
	}
	if err != nil {
		return err
	}
	moves, err := tx.Moves(ctx, env, name, shownMoves)
	d.Moves = []v1.PlanMove{}
	for _, m := range moves {
		d.Moves = append(d.Moves, MoveOf(m))
	}
	return err
}

// namedRevision returns the revision of a plan that has the given name. The name can be complete, a
// prefix, or the name that another version of Copyhold gave the revision.
func namedRevision(ctx context.Context, tx *store.Tx, env licensing.Env, plan licensing.PlanName, name licensing.RevisionID) (store.Revision, error) {
	rev, ok, err := tx.Revision(ctx, env, plan, name)
	if err != nil || ok {
		return rev, err
	}
	stored, err := tx.Revisions(ctx, env, plan)
	if err != nil {
		return rev, err
	}
	all := make([]licensing.Revision, len(stored))
	for i, r := range stored {
		all[i] = r.Revision
	}
	found, err := licensing.FindRevision(all, name)
	if err != nil {
		return rev, err
	}
	return stored[slices.IndexFunc(stored, func(r store.Revision) bool { return r.ID == found.ID })], nil
}

// seenRevision returns a revision of a plan that p may see: the named one, or the one that a
// channel points to.
func seenRevision(ctx context.Context, tx *store.Tx, p access.Principal, plan licensing.PlanName, channel string, revision licensing.RevisionID) (licensing.Revision, error) {
	if revision != "" {
		rev, err := namedRevision(ctx, tx, p.Env, plan, revision)
		if licensing.CodeOf(err) == licensing.NotFound || err == nil && !p.SeesProduct(rev.Plan.Product) {
			err = request.NotFound("plan", string(plan)+" with revision "+string(revision))
		}
		return rev.Revision, err
	}
	rev, ok, err := tx.RevisionOf(ctx, licensing.License{Env: p.Env, Plan: plan, Channel: channel})
	if err == nil && (!ok || !p.SeesProduct(rev.Plan.Product)) {
		err = request.NotFound("plan", string(plan)+" with channel "+channel)
	}
	return rev, err
}

// RevisionOf returns the revision that grants a stored license.
func RevisionOf(ctx context.Context, tx *store.Tx, l licensing.License) (licensing.Revision, error) {
	rev, ok, err := tx.RevisionOf(ctx, l)
	if err == nil && !ok {
		err = licensing.Errorf(licensing.Conflict, "plan %s has no channel %s or revision %s", l.Plan, l.Channel, l.Revision)
	}
	return rev, err
}
