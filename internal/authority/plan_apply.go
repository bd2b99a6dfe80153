package authority

import (
	"context"
	"strings"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
)

const (
	// moveBatch is how many licenses one transaction moves: few enough that
	// leases go on between them.
	moveBatch = 200
	// maxEffects bounds how many licenses an impact lists. It counts all.
	maxEffects = 1000
)

// An ApplyRequest makes plan files the revisions in force on their channels.
// Licenses says who gets them: "new" (licenses issued from now on), "all"
// (also those that follow the channel), or a filter of those, such as
// customer=cus_…,status=active. Below says what to do where less would be
// granted than is held.
type ApplyRequest struct {
	Files    []policy.File   `json:"files" minItems:"1" maxItems:"500"`
	Licenses string          `json:"licenses,omitempty" doc:"new, all, or a filter such as customer=ID,status=active. Default: new."`
	Below    licensing.Below `json:"below,omitempty" enum:"refuse,drain,overdraft" doc:"Where less would be left than is held. Default: refuse."`
	DryRun   bool            `json:"dry_run,omitempty"`
}

// An Impact is what applying plan files does, or would do.
type Impact struct {
	Applied  bool             `json:"applied"`
	Plans    []PlanImpact     `json:"plans"`
	Licenses []LicenseImpact  `json:"licenses" doc:"Whom it touches; at most 1000 are listed, all are counted."`
	Gaining  int              `json:"gaining"`
	Losing   int              `json:"losing"`
	Moving   int              `json:"moving"`
	Findings []policy.Finding `json:"findings,omitempty"`
}

// A PlanImpact is what becomes of one plan.
type PlanImpact struct {
	Product  licensing.ProductName `json:"product"`
	Plan     licensing.PlanName    `json:"plan"`
	Channel  string                `json:"channel"`
	Revision licensing.RevisionID  `json:"revision"`
	From     licensing.RevisionID  `json:"from,omitempty" doc:"Where the channel points before."`
	Status   string                `json:"status" enum:"new,changed,unchanged"`
	Changes  []string              `json:"changes"`
	Warnings []string              `json:"warnings"`
	Bounds   licensing.Bounds      `json:"bounds"`
	source   policy.Source
	text     string
}

// A LicenseImpact is what a license gains and loses.
type LicenseImpact struct {
	License   licensing.LicenseID  `json:"license"`
	Customer  licensing.CustomerID `json:"customer"`
	Plan      licensing.PlanName   `json:"plan"`
	Gains     []string             `json:"gains"`
	Loses     []string             `json:"loses"`
	Changes   []string             `json:"changes" doc:"What is neither more nor less."`
	Shortages []licensing.Shortage `json:"shortages,omitempty" doc:"Pools of which more is held than would be left."`
}

// ApplyPlans stores plan files as revisions, points their channels to them, and
// moves the licenses that are to follow. What nobody may lose is refused
// before anything is changed. A dry run, and a file with a fault, change
// nothing. Licenses move in several transactions: applying again goes on where
// an interruption left off.
func (a *Authority) ApplyPlans(ctx context.Context, p access.Principal, req ApplyRequest) (Impact, error) {
	needed := access.PlanApply
	if req.DryRun {
		needed = access.PlanRead
	}
	if err := require(p, needed); err != nil {
		return Impact{}, err
	}
	who, err := parseWho(req.Licenses)
	if err != nil {
		return Impact{}, err
	}
	impact, err := a.weighPlans(ctx, p, req, who)
	if err != nil || req.DryRun {
		return impact, err
	}
	if policy.HasErrors(impact.Findings) {
		return impact, licensing.Errorf(licensing.Invalid, "%s", firstError(impact.Findings)).At("files")
	}
	for _, l := range impact.Licenses {
		if len(l.Shortages) > 0 && (req.Below == "" || req.Below == licensing.BelowRefuse) {
			return impact, licensing.Errorf(licensing.Conflict,
				"license %s holds %d of pool %s and %d would be left: say below=drain or below=overdraft",
				l.License, l.Shortages[0].Held, l.Shortages[0].Pool, l.Shortages[0].Capacity)
		}
	}
	if err := a.storePlans(ctx, p, impact.Plans); err != nil {
		return impact, err
	}
	if who != nil {
		for _, plan := range impact.Plans {
			if err := a.movePlan(ctx, p, plan, *who, req.Below); err != nil {
				return impact, err
			}
		}
	}
	impact.Applied = true
	return impact, nil
}

func firstError(all []policy.Finding) string {
	for _, f := range all {
		if f.Severity == policy.SevError {
			return f.String()
		}
	}
	return ""
}

// parseWho reads who gets a revision; nil stands for new licenses only.
func parseWho(text string) (*store.LicenseFilter, error) {
	switch text {
	case "", "new":
		return nil, nil
	case "all":
		return &store.LicenseFilter{}, nil
	}
	var f store.LicenseFilter
	for _, part := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok || value == "" {
			return nil, licensing.Errorf(licensing.Invalid, "licenses: %q is not new, all or NAME=VALUE", part).At("licenses")
		}
		switch name {
		case "license", "id":
			f.ID = licensing.LicenseID(value)
		case "customer":
			f.Customer = licensing.CustomerID(value)
		case "product":
			f.Product = licensing.ProductName(value)
		case "plan":
			f.Plan = licensing.PlanName(value)
		case "status":
			f.Status = licensing.Status(value)
		case "reference":
			f.Reference = value
		case "revision":
			f.Revision = licensing.RevisionID(value)
		default:
			return nil, licensing.Errorf(licensing.Invalid, "licenses: %q is not license, customer, product, plan, status, reference or revision", name).At("licenses")
		}
	}
	return &f, nil
}

// followers narrows who to the licenses that follow a plan's channel and are
// not granted by its new revision yet; false when there can be none.
func (plan PlanImpact) followers(p access.Principal, who store.LicenseFilter) (store.LicenseFilter, bool) {
	if who.Plan != "" && who.Plan != plan.Plan {
		return who, false
	}
	who.Plan, who.Channel, who.NotGranted = plan.Plan, plan.Channel, plan.Revision
	return scoped(p, who)
}

// weighPlans reads plan files and says what applying them does. It changes nothing.
func (a *Authority) weighPlans(ctx context.Context, p access.Principal, req ApplyRequest, who *store.LicenseFilter) (Impact, error) {
	impact := Impact{Plans: []PlanImpact{}, Licenses: []LicenseImpact{}}
	sources, findings, err := a.readPlans(ctx, p, req.Files)
	if err != nil {
		return impact, err
	}
	impact.Findings = findings
	err = a.view(ctx, func(tx *store.Tx) error {
		impact.Plans, impact.Licenses = impact.Plans[:0], impact.Licenses[:0]
		impact.Gaining, impact.Losing, impact.Moving = 0, 0, 0
		for _, s := range sources {
			plan, err := weighPlan(ctx, tx, p, s)
			if err != nil {
				return err
			}
			plan.describe(s, req.Files, findings)
			impact.Plans = append(impact.Plans, plan)
			if who == nil {
				continue
			}
			if err := a.weighLicenses(ctx, tx, p, plan, *who, &impact); err != nil {
				return err
			}
		}
		return nil
	})
	return impact, err
}

func weighPlan(ctx context.Context, tx *store.Tx, p access.Principal, s policy.Source) (PlanImpact, error) {
	plan := PlanImpact{
		Product: s.Plan.Product, Plan: s.Plan.Name, Channel: s.Plan.Channel, Status: "new",
		Changes: []string{}, Warnings: []string{}, Bounds: s.Plan.Bounds(), source: s,
	}
	if _, err := seenProduct(ctx, tx, p, s.Plan.Product); err != nil {
		return plan, licensing.Errorf(licensing.CodeOf(err), "plan %s: %w; create the product first, with its owner", s.Plan.Name, err)
	}
	row, exists, err := tx.Plan(ctx, p.Env, s.Plan.Name)
	if err != nil {
		return plan, err
	}
	if exists && row.Product != s.Plan.Product {
		return plan, licensing.Errorf(licensing.Conflict, "another product has a plan %s: the name of a plan is unique in its environment", s.Plan.Name)
	}
	rev, err := licensing.NewRevision(s.Plan)
	if err != nil {
		return plan, err
	}
	plan.Revision = rev.ID
	old, ok, err := tx.RevisionOf(ctx, licensing.License{Env: p.Env, Plan: s.Plan.Name, Channel: s.Plan.Channel})
	if err != nil || !ok {
		return plan, err
	}
	plan.From, plan.Status = old.ID, "changed"
	if old.ID == rev.ID {
		plan.Status = "unchanged"
	}
	if err := licensing.CheckScales(old.Plan.Meters, s.Plan.Meters); err != nil {
		return plan, licensing.Errorf(licensing.CodeOf(err), "plan %s: %w", s.Plan.Name, err)
	}
	changes, err := policy.Diff(old.Plan, s.Plan)
	for _, c := range changes {
		plan.Changes = append(plan.Changes, c.Words)
	}
	return plan, err
}

// describe adds the text and the warnings of the file that plan was read from.
func (plan *PlanImpact) describe(s policy.Source, files []policy.File, findings []policy.Finding) {
	for _, f := range files {
		if f.Name == s.File {
			plan.text = f.Text
		}
	}
	for _, f := range findings {
		if f.Plan == plan.Plan && f.Severity == policy.SevWarning {
			plan.Warnings = append(plan.Warnings, f.String())
		}
	}
}

// weighLicenses adds to impact what moving the followers of a plan does to each.
func (a *Authority) weighLicenses(ctx context.Context, tx *store.Tx, p access.Principal, plan PlanImpact, who store.LicenseFilter, impact *Impact) error {
	filter, possible := plan.followers(p, who)
	if !possible {
		return nil
	}
	rev := licensing.Revision{ID: plan.Revision, Plan: plan.source.Plan}
	for last := ""; ; {
		licenses, err := tx.Licenses(ctx, p.Env, filter, last, moveBatch)
		if err != nil || len(licenses) == 0 {
			return err
		}
		for _, l := range licenses {
			held, err := tx.Held(ctx, l.Env, l.ID)
			if err != nil {
				return err
			}
			before, after, err := termsAround(ctx, tx, l, rev)
			if err != nil {
				return err
			}
			if err := countShared(ctx, tx, before, after, a.skew, held); err != nil {
				return err
			}
			impact.add(weighLicense(before, after, held, tx.Now()), plan.Plan)
		}
		last = string(licenses[len(licenses)-1].ID)
	}
}

// termsAround returns the terms of l as they are and as they would be were rev
// granted instead.
func termsAround(ctx context.Context, tx *store.Tx, l licensing.License, rev licensing.Revision) (before, after licensing.Terms, err error) {
	was, err := revisionOf(ctx, tx, l)
	if err != nil {
		return before, after, err
	}
	if before, err = licensing.Compile(was, l, tx.Now()); err != nil {
		return before, after, err
	}
	if after, err = licensing.Compile(rev, before.Scaled(l), tx.Now()); err != nil {
		err = licensing.Errorf(licensing.CodeOf(err), "license %s does not fit the new revision: %w", l.ID, err)
	}
	return before, after, err
}

// weighLicense says what granting after instead of before does to a license of
// which held is counted.
func weighLicense(before, after licensing.Terms, held map[string]int64, now time.Time) licensing.Effect {
	effect := licensing.Compare(before, after, held, now)
	effect.Shortages = lowered(effect.Shortages, before, after)
	return effect
}

// lowered leaves out the pools that a change takes nothing away from: what is
// over its capacity in them was so before.
func lowered(all []licensing.Shortage, before, after licensing.Terms) []licensing.Shortage {
	var kept []licensing.Shortage
	for _, s := range all {
		if s.Capacity < before.Pools[s.Pool].Capacity || sharingEnds(before, after, s.Pool) {
			kept = append(kept, s)
		}
	}
	return kept
}

func (i *Impact) add(e licensing.Effect, plan licensing.PlanName) {
	i.Moving++
	if e.Gains() {
		i.Gaining++
	}
	if e.Loses() {
		i.Losing++
	}
	// Who has to be asked about is listed in any case.
	if len(i.Licenses) >= maxEffects && len(e.Shortages) == 0 {
		return
	}
	l := LicenseImpact{
		License: e.License, Customer: e.Customer, Plan: plan, Shortages: e.Shortages,
		Gains: []string{}, Loses: []string{}, Changes: []string{},
	}
	for _, d := range e.Changes {
		switch d.Trend {
		case licensing.Gain:
			l.Gains = append(l.Gains, d.String())
		case licensing.Loss:
			l.Loses = append(l.Loses, d.String())
		default:
			l.Changes = append(l.Changes, d.String())
		}
	}
	i.Licenses = append(i.Licenses, l)
}

type appliedEvent struct {
	Plan     licensing.PlanName   `json:"plan"`
	Channel  string               `json:"channel"`
	From     licensing.RevisionID `json:"from,omitempty"`
	Revision licensing.RevisionID `json:"revision"`
	Changes  []string             `json:"changes,omitempty"`
}

// storePlans stores the revisions and points the channels to them, together.
func (a *Authority) storePlans(ctx context.Context, p access.Principal, plans []PlanImpact) error {
	return a.update(ctx, p.Env, p.Actor, func(c *change) error {
		if err := c.LockEnvironment(ctx, p.Env); err != nil {
			return err
		}
		for _, plan := range plans {
			if plan.Status == "unchanged" {
				continue
			}
			if err := c.storePlan(ctx, p, plan); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *change) storePlan(ctx context.Context, p access.Principal, plan PlanImpact) error {
	if err := c.InsertPlan(ctx, p.Env, store.Plan{Name: plan.Plan, Product: plan.Product, Created: c.Now()}); err != nil {
		return err
	}
	added, err := c.InsertRevision(ctx, p.Env, store.Revision{
		Revision: licensing.Revision{ID: plan.Revision, Plan: plan.source.Plan},
		Source:   plan.text, AppliedAt: c.Now(), AppliedBy: p.Actor,
	})
	if err != nil {
		return err
	}
	if err := c.MoveChannel(ctx, p.Env, store.Channel{Plan: plan.Plan, Name: plan.Channel, Revision: plan.Revision, MovedAt: c.Now()}); err != nil {
		return err
	}
	kind := licensing.PlanApplied
	if !added {
		kind = licensing.PlanRolledBack
	}
	return c.note(kind, licensing.Event{Product: plan.Product, Subject: string(plan.Plan)},
		appliedEvent{plan.Plan, plan.Channel, plan.From, plan.Revision, plan.Changes})
}

// movePlan moves the followers of a plan's channel to its new revision.
func (a *Authority) movePlan(ctx context.Context, p access.Principal, plan PlanImpact, who store.LicenseFilter, below licensing.Below) error {
	filter, possible := plan.followers(p, who)
	if !possible {
		return nil
	}
	for after := ""; ; {
		var moved []licensing.License
		err := a.update(ctx, p.Env, p.Actor, func(c *change) (err error) {
			if moved, err = c.Licenses(ctx, p.Env, filter, after, moveBatch); err != nil {
				return err
			}
			for _, l := range moved {
				if err := c.moveLicense(ctx, l.ID, plan, below); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(moved) == 0 {
			return err
		}
		after = string(moved[len(moved)-1].ID)
	}
}

type movedEvent struct {
	From    licensing.RevisionID   `json:"from"`
	To      licensing.RevisionID   `json:"to"`
	Changes []licensing.Difference `json:"changes,omitempty"`
}

// moveLicense grants a license by a plan's new revision, if it still follows.
func (c *change) moveLicense(ctx context.Context, id licensing.LicenseID, plan PlanImpact, below licensing.Below) error {
	l, ok, err := c.LockLicense(ctx, c.env, id)
	if err != nil || !ok || l.Plan != plan.Plan || l.Channel != plan.Channel || l.Revision != "" || l.Granted == plan.Revision {
		return err
	}
	held, err := c.LockHeld(ctx, l.Env, l.ID)
	if err != nil {
		return err
	}
	rev := licensing.Revision{ID: plan.Revision, Plan: plan.source.Plan}
	before, after, err := termsAround(ctx, c.Tx, l, rev)
	if err != nil {
		return err
	}
	if err := c.rescale(ctx, before, after); err != nil {
		return err
	}
	l = after.Scaled(before.Scaled(l))
	if err := c.recount(ctx, before, after, held); err != nil {
		return err
	}
	effect := weighLicense(before, after, held, c.Now())
	if err := c.allowShort(ctx, after, effect.Shortages, below); err != nil {
		return err
	}
	from := l.Granted
	l.Granted = plan.Revision
	_, err = c.storeLicense(ctx, l, licensing.LicenseMoved, movedEvent{from, plan.Revision, effect.Changes})
	return err
}
