package catalog

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// maxEffects limits how many licenses of each kind an impact lists. It counts all of them.
const maxEffects = 1000

// An Assessment is the impact of plan files, with the data that it was computed from.
type Assessment struct {
	v1.Impact
	plans []weighedPlan
	pools map[licensing.LicenseID]map[string]licensing.Pool // the pools after the change, for licenses with shortages
}

// A weighedPlan is the effect on one plan, with the data that it was computed from.
type weighedPlan struct {
	v1.PlanImpact
	source policy.Source
	text   string
	equal  []licensing.RevisionID // stored revisions with this content
	faulty bool
}

// ApplyPlans stores plan files as revisions, points their channels to the revisions and moves the
// licenses that should follow. It applies all files or none: if a file has an error, if a license
// does not fit, or if a license would have less than it uses and Below does not permit that,
// nothing changes. Revisions, channels and moves are stored together. The licenses then move in
// batches, and a server that starts continues an interrupted move. A dry run changes nothing.
func (c *Catalog) ApplyPlans(ctx context.Context, p access.Principal, req v1.ApplyRequest) (v1.Impact, error) {
	needed := access.PlanApply
	if req.DryRun {
		needed = access.PlanRead
	}
	if err := request.Require(p, needed); err != nil {
		return v1.Impact{}, err
	}
	who, err := ParseWho(req.Licenses)
	if err != nil {
		return v1.Impact{}, err
	}
	if !req.DryRun {
		// Licenses that are being moved are assessed as they will be after the move.
		if err := c.FinishMoves(ctx, p.Env); err != nil {
			return v1.Impact{}, err
		}
	}
	found, err := c.WeighPlans(ctx, p, req, who, nil)
	impact := found.Impact
	if err != nil || req.DryRun {
		return impact, err
	}
	if err := found.Refusal(req.Below); err != nil {
		return impact, err
	}
	moves, err := c.StorePlans(ctx, p, found, who, req.Below)
	if err != nil {
		return impact, err
	}
	for _, m := range moves {
		if m, err = c.finishMove(ctx, p.Env, m.ID); err != nil {
			return impact, err
		}
		impact.Moves = append(impact.Moves, MoveOf(m))
	}
	impact.Applied = true
	return impact, nil
}

// maxNamed is how many items a refusal names; the impact lists all.
const maxNamed = 10

// Refusal returns the reasons why the changes cannot be applied, or nil.
func (a Assessment) Refusal(below licensing.Below) error {
	var faults, misfits, short []string
	for _, f := range a.Findings {
		if f.Severity == policy.SevError {
			faults = append(faults, f.String())
		}
	}
	for _, m := range a.Misfits {
		misfits = append(misfits, string(m.License)+": "+m.Reason)
	}
	for _, l := range a.Licenses {
		if err := refusedBelow(l, a.pools[l.License], below); err != nil {
			short = append(short, string(l.License)+": "+err.Error())
		}
	}
	switch {
	case len(faults) > 0:
		return licensing.Errorf(licensing.Invalid, "%s", named(faults)).At("files")
	case len(misfits) > 0:
		return licensing.Errorf(licensing.Conflict, "%s not fit the plan; nothing was changed: %s", doVerb(len(misfits)), named(misfits))
	case len(short) > 0 && below == licensing.BelowOverdraft:
		return licensing.Errorf(licensing.Conflict, "%s would use more than the overdraft allows; nothing was changed; with below=drain they keep their leases: %s",
			licensing.Counted(len(short), "license"), named(short))
	case len(short) > 0:
		return licensing.Errorf(licensing.Conflict, "%s would use more than the new capacity; nothing was changed; with below=drain they keep their leases, with below=overdraft the excess counts as overdraft: %s",
			licensing.Counted(len(short), "license"), named(short))
	}
	return nil
}

func doVerb(n int) string {
	if n == 1 {
		return "1 license does"
	}
	return licensing.Counted(n, "license") + " do"
}

// named joins the first items and counts the rest.
func named(all []string) string {
	if len(all) > maxNamed {
		return strings.Join(all[:maxNamed], "; ") + "; and " + strconv.Itoa(len(all)-maxNamed) + " more"
	}
	return strings.Join(all, "; ")
}

// refusedBelow returns why below does not permit the shortages of a license.
func refusedBelow(l v1.LicenseImpact, pools map[string]licensing.Pool, below licensing.Below) error {
	for _, s := range l.Shortages {
		if _, err := below.Allow(s, pools[s.Pool], time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// ParseWho parses which licenses get a revision; nil means only new licenses.
func ParseWho(text string) (*store.LicenseFilter, error) {
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
			return nil, licensing.Errorf(licensing.Invalid, "licenses contains %q; it must be new, all or NAME=VALUE", part).At("licenses")
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
			return nil, licensing.Errorf(licensing.Invalid, "licenses contains %q; it must be license, customer, product, plan, status, reference or revision", name).At("licenses")
		}
	}
	return &f, nil
}

// followers narrows who to the licenses that follow a plan's channel and are not yet granted by its
// new revision. It returns false if there can be none.
func (plan weighedPlan) followers(p access.Principal, who store.LicenseFilter) (store.LicenseFilter, bool) {
	if who.Plan != "" && who.Plan != plan.Plan {
		return who, false
	}
	who.Plan, who.Channel, who.NotGranted = plan.Plan, plan.Channel, append(slices.Clone(plan.equal), plan.Revision)
	return Scoped(p, who)
}

// WeighPlans reads plan files and returns the effect of applying them. It changes nothing. It reads
// the licenses in many short transactions: a license that changes in the meantime is assessed again
// when it moves. report, if not nil, is called with the number of licenses assessed so far, and with
// their number in all.
func (c *Catalog) WeighPlans(ctx context.Context, p access.Principal, req v1.ApplyRequest, who *store.LicenseFilter, report func(done, total int64)) (Assessment, error) {
	sources, read, err := c.readPlans(ctx, p, req.Files)
	if err != nil {
		return Assessment{}, err
	}
	found := Assessment{pools: map[licensing.LicenseID]map[string]licensing.Pool{}, Impact: v1.Impact{
		Plans: []v1.PlanImpact{}, Licenses: []v1.LicenseImpact{}, Misfits: []v1.Misfit{}, Keeping: []v1.PinnedLicense{}, Findings: slices.Clone(read),
	}}
	var total int64
	err = c.ledger.View(ctx, func(tx *store.Tx) error {
		if who != nil {
			if *who, err = grantedBy(ctx, tx, p, *who); err != nil {
				return err
			}
		}
		for _, s := range sources {
			plan, faults, err := weighPlan(ctx, tx, p, s)
			if err != nil {
				return err
			}
			found.Findings = append(found.Findings, faults...)
			plan.Bounds = s.Plan.Bounds(c.ledger.Skew)
			plan.faulty = len(faults) > 0
			plan.describe(s, req.Files, read)
			found.Plans, found.plans = append(found.Plans, plan.PlanImpact), append(found.plans, plan)
			if report == nil || who == nil || plan.faulty {
				continue
			}
			if filter, possible := plan.followers(p, *who); possible {
				n, err := countLicenses(ctx, tx, p.Env, filter)
				if err != nil {
					return err
				}
				total += n
			}
		}
		return nil
	})
	if err != nil || who == nil {
		return found, err
	}
	for _, plan := range found.plans {
		if plan.faulty {
			continue
		}
		if err := c.weighLicenses(ctx, p, plan, *who, &found, func() {
			if report != nil {
				report(int64(found.Moving), total)
			}
		}); err != nil {
			return found, err
		}
	}
	return found, nil
}

// countLicenses returns how many licenses match a filter.
func countLicenses(ctx context.Context, tx *store.Tx, env licensing.Env, f store.LicenseFilter) (total int64, err error) {
	counts, err := tx.CountLicenses(ctx, env, f, tx.Now())
	for _, n := range counts {
		total += n.Count
	}
	return total, err
}

// weighPlan returns the effect on one plan, and the reasons why it cannot be applied.
func weighPlan(ctx context.Context, tx *store.Tx, p access.Principal, s policy.Source) (weighedPlan, []policy.Finding, error) {
	plan := weighedPlan{source: s, PlanImpact: v1.PlanImpact{
		Product: s.Plan.Product, Plan: s.Plan.Name, Channel: s.Plan.Channel, Status: "new",
		Changes: []string{}, Warnings: []string{},
	}}
	var faults []policy.Finding
	fault := func(code, path, message string) {
		faults = append(faults, s.Finding(policy.SevError, code, path, message))
	}
	if !p.SeesProduct(s.Plan.Product) { // do not reveal whether the product exists
		return plan, nil, request.NotFound("product", s.Plan.Product)
	}
	_, err := SeenProduct(ctx, tx, p, s.Plan.Product)
	if licensing.CodeOf(err) == licensing.NotFound {
		fault("unknown-product", "product", err.Error()+"; create the product first, with its owner")
		return plan, faults, nil
	}
	if err != nil {
		return plan, nil, err
	}
	rev, err := licensing.NewRevision(s.Plan)
	if err != nil {
		return plan, nil, err
	}
	plan.Revision = rev.ID
	row, exists, err := tx.Plan(ctx, p.Env, s.Plan.Name)
	if err != nil || !exists {
		return plan, faults, err
	}
	if row.Product != s.Plan.Product {
		fault("plan-taken", "plan", "another product has a plan named "+string(s.Plan.Name)+": plan names are unique in an environment")
		return plan, faults, nil
	}
	return plan, faults, plan.compare(ctx, tx, p.Env, rev, fault)
}

// compare compares a plan with the stored revisions. Content that was applied before keeps its
// earlier revision name.
func (plan *weighedPlan) compare(ctx context.Context, tx *store.Tx, env licensing.Env, rev licensing.Revision, fault func(code, path, message string)) error {
	stored, err := tx.Revisions(ctx, env, plan.Plan)
	if err != nil {
		return err
	}
	for _, r := range stored {
		same, err := r.Equal(rev)
		if err != nil {
			return err
		}
		if same {
			plan.equal = append(plan.equal, r.ID)
		}
	}
	if len(plan.equal) > 0 {
		plan.Revision = plan.equal[0]
	}
	old, ok, err := tx.RevisionOf(ctx, licensing.License{Env: env, Plan: plan.Plan, Channel: plan.Channel})
	if err != nil || !ok {
		return err
	}
	plan.From, plan.Status = old.ID, "changed"
	if slices.Contains(plan.equal, old.ID) {
		plan.Revision, plan.Status = old.ID, "unchanged"
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(rev.Plan.Meters)) {
		was, had := old.Plan.Meters[name]
		if err := licensing.CheckScale(name, was.Scale, rev.Plan.Meters[name].Scale); had && err != nil {
			fault("scale-falls", "meters."+name+".scale", err.Error())
		}
	}
	old.Plan.Channel = rev.Plan.Channel // the channel points to a revision and is not part of it
	changes, err := policy.Diff(old.Plan, rev.Plan)
	for _, c := range changes {
		plan.Changes = append(plan.Changes, c.Words)
	}
	return err
}

// describe adds the text and the warnings of the file that contains the plan.
func (plan *weighedPlan) describe(s policy.Source, files []policy.File, findings []policy.Finding) {
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

// weighLicenses adds to found the effect on each license that follows a plan, and the pinned
// licenses, which do not move. It calls progress after each page.
func (c *Catalog) weighLicenses(ctx context.Context, p access.Principal, plan weighedPlan, who store.LicenseFilter, found *Assessment, progress func()) error {
	filter, possible := plan.followers(p, who)
	if !possible {
		return nil
	}
	rev := licensing.Revision{ID: plan.Revision, Plan: plan.source.Plan}
	if prepared, err := rev.Prepared(); err == nil { // otherwise each license reports the fault
		rev = prepared
	}
	err := c.eachPage(ctx, p.Env, filter, func(tx *store.Tx, page []licensing.License) error {
		held, err := tx.HeldOf(ctx, p.Env, page)
		if err != nil {
			return err
		}
		for _, l := range page {
			w, err := weighLicense(ctx, tx, l, rev, c.ledger.Skew, held[l.ID])
			if err != nil {
				return err
			}
			found.add(l, w)
		}
		progress()
		return nil
	})
	if err != nil {
		return err
	}
	filter.Channel, filter.Pinned = "", true
	return c.eachPage(ctx, p.Env, filter, func(_ *store.Tx, page []licensing.License) error {
		for _, l := range page {
			if found.Pinned++; len(found.Keeping) < maxEffects {
				found.Keeping = append(found.Keeping, v1.PinnedLicense{License: l.ID, Customer: l.Customer, Plan: l.Plan, Revision: l.Revision})
			}
		}
		return nil
	})
}

// eachPage calls fn with the licenses that match f, in the order of their ids. Each page has a
// transaction of its own, so that none lasts long.
func (c *Catalog) eachPage(ctx context.Context, env licensing.Env, f store.LicenseFilter, fn func(*store.Tx, []licensing.License) error) error {
	for last, more := "", true; more; {
		err := c.ledger.View(ctx, func(tx *store.Tx) error {
			page, err := tx.Licenses(ctx, env, f, last, weighPage)
			if more = len(page) == weighPage; err != nil || len(page) == 0 {
				return err
			}
			last = string(page[len(page)-1].ID)
			return fn(tx, page)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds the effect of moving a license.
func (a *Assessment) add(of licensing.License, w weighed) {
	a.Moving++
	if w.misfit != nil {
		a.Misfits = append(a.Misfits, v1.Misfit{License: of.ID, Customer: of.Customer, Plan: of.Plan, Reason: w.misfit.Error()})
		return
	}
	e := w.effect
	if e.Gains() {
		a.Gaining++
	}
	if e.Loses() {
		a.Losing++
	}
	if len(e.Shortages) > 0 {
		a.Short++
	}
	// Licenses that require a decision are always listed.
	if len(a.Licenses) >= maxEffects && len(e.Shortages) == 0 {
		return
	}
	l := v1.LicenseImpact{
		License: of.ID, Customer: of.Customer, Plan: of.Plan, Shortages: e.Shortages,
		Gains: []string{}, Loses: []string{}, Changes: []string{},
	}
	if len(e.Shortages) > 0 {
		a.pools[of.ID] = w.after.Pools
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
	a.Licenses = append(a.Licenses, l)
}

// StorePlans stores the revisions, points the channels to them and begins the moves, in one
// transaction. It refuses if another apply has changed a plan since the assessment.
func (c *Catalog) StorePlans(ctx context.Context, p access.Principal, found Assessment, who *store.LicenseFilter, below licensing.Below) (moves []store.PlanMove, err error) {
	err = c.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		moves, err = StorePlansIn(ctx, tx, p, found, who, below, "")
		return err
	})
	return moves, err
}

// StorePlansIn is StorePlans in a transaction of the caller. job is the job that will make the moves;
// if it is empty, a background task will.
func StorePlansIn(ctx context.Context, tx *ledger.Tx, p access.Principal, found Assessment, who *store.LicenseFilter, below licensing.Below, job licensing.JobID) (moves []store.PlanMove, err error) {
	if err := tx.LockEnvironment(ctx, p.Env); err != nil {
		return nil, err
	}
	open, err := tx.OpenMoves(ctx, p.Env)
	if err != nil {
		return nil, err
	}
	for _, plan := range found.plans {
		now, _, err := tx.RevisionOf(ctx, licensing.License{Env: p.Env, Plan: plan.Plan, Channel: plan.Channel})
		if err != nil {
			return nil, err
		}
		if now.ID != plan.From || slices.ContainsFunc(open, func(m store.PlanMove) bool { return m.Plan == plan.Plan && m.Channel == plan.Channel }) {
			return nil, licensing.Errorf(licensing.Conflict, "plan %s has been applied by someone else in the meantime: review the changes again", plan.Plan)
		}
		if plan.Status != "unchanged" {
			if err := storePlan(ctx, tx, p, plan); err != nil {
				return nil, err
			}
		}
		if who == nil {
			continue
		}
		m, err := beginMove(ctx, tx, p, plan, *who, below, job)
		if err != nil {
			return nil, err
		}
		if m.Total > 0 {
			moves = append(moves, m)
		}
	}
	return moves, nil
}

func storePlan(ctx context.Context, tx *ledger.Tx, p access.Principal, plan weighedPlan) error {
	if err := tx.InsertPlan(ctx, p.Env, store.Plan{Name: plan.Plan, Product: plan.Product, Created: tx.Now()}); err != nil {
		return err
	}
	added, err := tx.InsertRevision(ctx, p.Env, store.Revision{
		Revision: licensing.Revision{ID: plan.Revision, Plan: plan.source.Plan},
		Source:   plan.text, AppliedAt: tx.Now(), AppliedBy: p.Actor,
	})
	if err != nil {
		return err
	}
	if err := tx.MoveChannel(ctx, p.Env, store.Channel{Plan: plan.Plan, Name: plan.Channel, Revision: plan.Revision, MovedAt: tx.Now()}); err != nil {
		return err
	}
	kind := licensing.PlanApplied
	if !added && plan.From != "" {
		kind = licensing.PlanRolledBack
	}
	return tx.Note(kind, licensing.Event{Product: plan.Product, Subject: string(plan.Plan)},
		entry.Applied{Plan: plan.Plan, Channel: plan.Channel, From: plan.From, Revision: plan.Revision, Changes: plan.Changes})
}

// beginMove stores that the licenses on a plan's channel move to its new revision, if there are
// any.
func beginMove(ctx context.Context, tx *ledger.Tx, p access.Principal, plan weighedPlan, who store.LicenseFilter, below licensing.Below, job licensing.JobID) (store.PlanMove, error) {
	m := store.PlanMove{Env: p.Env, Plan: plan.Plan, Channel: plan.Channel, Revision: plan.Revision, Below: below, Actor: p.Actor, Created: tx.Now(), Job: job}
	var possible bool
	if m.Licenses, possible = plan.followers(p, who); !possible {
		return m, nil
	}
	var err error
	m.Total, err = countLicenses(ctx, tx.Tx, p.Env, m.Licenses)
	if err != nil || m.Total == 0 {
		return m, err
	}
	m.ID = licensing.MoveID(ledger.NewID(licensing.MovePrefix, tx.Now()))
	if err := tx.InsertMove(ctx, m); err != nil {
		return m, err
	}
	return m, noteMove(tx, licensing.PlanMoving, m, plan.Product)
}
