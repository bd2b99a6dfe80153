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
)

// maxEffects bounds how many licenses of a kind an impact lists. It counts all.
const maxEffects = 1000

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
	Short    int              `json:"short" doc:"Licenses that hold more of a pool than would be left; all of them are listed."`
	Misfits  []Misfit         `json:"misfits" doc:"Licenses that cannot be granted by the new revision. With one of them nothing is applied."`
	Pinned   int              `json:"pinned" doc:"Licenses that keep the revision that they are pinned to."`
	Keeping  []PinnedLicense  `json:"keeping" doc:"Those; at most 1000 are listed."`
	Moves    []PlanMove       `json:"moves,omitempty" doc:"What has moved, by plan."`
	Findings []policy.Finding `json:"findings,omitempty"`
}

// A Misfit is a license that cannot be granted by a new revision, and why.
type Misfit struct {
	License  licensing.LicenseID  `json:"license"`
	Customer licensing.CustomerID `json:"customer"`
	Plan     licensing.PlanName   `json:"plan"`
	Reason   string               `json:"reason"`
}

// A PinnedLicense stays at its revision whatever its plan's channel points to.
type PinnedLicense struct {
	License  licensing.LicenseID  `json:"license"`
	Customer licensing.CustomerID `json:"customer"`
	Plan     licensing.PlanName   `json:"plan"`
	Revision licensing.RevisionID `json:"revision"`
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
	equal    []licensing.RevisionID // stored ones with this content
	faulty   bool
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
	pools     map[string]licensing.Pool
}

// ApplyPlans stores plan files as revisions, points their channels to them, and
// moves the licenses that are to follow. It is decided as a whole: with a file at fault,
// a license that does not fit, or one that would lose what it holds against Below,
// nothing is changed. Revisions, channels and the moves are stored together; licenses
// then move some at a time, and a server that starts goes on with what an interruption
// left. A dry run changes nothing.
func (c *Catalog) ApplyPlans(ctx context.Context, p access.Principal, req ApplyRequest) (Impact, error) {
	needed := access.PlanApply
	if req.DryRun {
		needed = access.PlanRead
	}
	if err := request.Require(p, needed); err != nil {
		return Impact{}, err
	}
	who, err := parseWho(req.Licenses)
	if err != nil {
		return Impact{}, err
	}
	if !req.DryRun {
		// What is under way is weighed as what it becomes.
		if err := c.FinishMoves(ctx, p.Env); err != nil {
			return Impact{}, err
		}
	}
	impact, err := c.WeighPlans(ctx, p, req, who)
	if err != nil || req.DryRun {
		return impact, err
	}
	if err := refusalOf(&impact, req.Below); err != nil {
		return impact, err
	}
	moves, err := c.StorePlans(ctx, p, impact.Plans, who, req.Below)
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

// maxNamed is how many things a refusal names; the impact lists all.
const maxNamed = 10

// refusalOf is why an impact cannot be, with all that is against it.
func refusalOf(i *Impact, below licensing.Below) error {
	var faults, misfits, short []string
	for _, f := range i.Findings {
		if f.Severity == policy.SevError {
			faults = append(faults, f.String())
		}
	}
	for _, m := range i.Misfits {
		misfits = append(misfits, string(m.License)+": "+m.Reason)
	}
	for _, l := range i.Licenses {
		if err := refusedBelow(l, below); err != nil {
			short = append(short, string(l.License)+": "+err.Error())
		}
	}
	switch {
	case len(faults) > 0:
		return licensing.Errorf(licensing.Invalid, "%s", named(faults)).At("files")
	case len(misfits) > 0:
		return licensing.Errorf(licensing.Conflict, "%s not fit, and nothing was changed: %s", doVerb(len(misfits)), named(misfits))
	case len(short) > 0 && below == licensing.BelowOverdraft:
		return licensing.Errorf(licensing.Conflict, "%s would hold more than the overdraft allows, and nothing was changed; below=drain lets them keep what they hold: %s",
			licensing.Counted(len(short), "license"), named(short))
	case len(short) > 0:
		return licensing.Errorf(licensing.Conflict, "%s would hold more than is left, and nothing was changed; below=drain lets them keep what they hold, below=overdraft counts it as overdraft: %s",
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

// named lists what is to be read, and how much more there is.
func named(all []string) string {
	if len(all) > maxNamed {
		return strings.Join(all[:maxNamed], "; ") + "; and " + strconv.Itoa(len(all)-maxNamed) + " more"
	}
	return strings.Join(all, "; ")
}

// refusedBelow is why below does not allow what a license would hold.
func refusedBelow(l LicenseImpact, below licensing.Below) error {
	for _, s := range l.Shortages {
		if _, err := below.Allow(s, l.pools[s.Pool], time.Time{}); err != nil {
			return err
		}
	}
	return nil
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

// followersOf narrows who to the licenses that follow a plan's channel and are
// not granted by its new revision yet; false when there can be none.
func followersOf(plan PlanImpact, p access.Principal, who store.LicenseFilter) (store.LicenseFilter, bool) {
	if who.Plan != "" && who.Plan != plan.Plan {
		return who, false
	}
	who.Plan, who.Channel, who.NotGranted = plan.Plan, plan.Channel, append(slices.Clone(plan.equal), plan.Revision)
	return Scoped(p, who)
}

// WeighPlans reads plan files and says what applying them does. It changes nothing.
func (c *Catalog) WeighPlans(ctx context.Context, p access.Principal, req ApplyRequest, who *store.LicenseFilter) (Impact, error) {
	sources, read, err := c.readPlans(ctx, p, req.Files)
	if err != nil {
		return Impact{}, err
	}
	var impact Impact
	err = c.ledger.View(ctx, func(tx *store.Tx) error {
		if who != nil {
			if *who, err = grantedBy(ctx, tx, p, *who); err != nil {
				return err
			}
		}
		impact = Impact{Plans: []PlanImpact{}, Licenses: []LicenseImpact{}, Misfits: []Misfit{}, Keeping: []PinnedLicense{}, Findings: slices.Clone(read)}
		for _, s := range sources {
			plan, faults, err := weighPlan(ctx, tx, p, s)
			if err != nil {
				return err
			}
			impact.Findings = append(impact.Findings, faults...)
			plan.faulty = len(faults) > 0
			describeIn(&plan, s, req.Files, read)
			impact.Plans = append(impact.Plans, plan)
			if who == nil || plan.faulty {
				continue
			}
			if err := c.weighLicenses(ctx, tx, p, plan, *who, &impact); err != nil {
				return err
			}
		}
		return nil
	})
	return impact, err
}

// weighPlan says what becomes of one plan, and why it cannot be.
func weighPlan(ctx context.Context, tx *store.Tx, p access.Principal, s policy.Source) (PlanImpact, []policy.Finding, error) {
	plan := PlanImpact{
		Product: s.Plan.Product, Plan: s.Plan.Name, Channel: s.Plan.Channel, Status: "new",
		Changes: []string{}, Warnings: []string{}, Bounds: s.Plan.Bounds(), source: s,
	}
	var faults []policy.Finding
	fault := func(code, path, message string) {
		faults = append(faults, s.Finding(policy.SevError, code, path, message))
	}
	if !p.SeesProduct(s.Plan.Product) { // whether it exists is not told
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
		fault("plan-taken", "plan", "another product has a plan "+string(s.Plan.Name)+": the name of a plan is unique in its environment")
		return plan, faults, nil
	}
	return plan, faults, compareWith(ctx, &plan, tx, p.Env, rev, fault)
}

// compareWith compares a plan with what is stored of it. Content that was applied before
// keeps the name that it got then.
func compareWith(ctx context.Context, plan *PlanImpact, tx *store.Tx, env licensing.Env, rev licensing.Revision, fault func(code, path, message string)) error {
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
	old.Plan.Channel = rev.Plan.Channel // it points to a revision and is no part of it
	changes, err := policy.Diff(old.Plan, rev.Plan)
	for _, c := range changes {
		plan.Changes = append(plan.Changes, c.Words)
	}
	return err
}

// describeIn adds the text and the warnings of the file that plan was read from.
func describeIn(plan *PlanImpact, s policy.Source, files []policy.File, findings []policy.Finding) {
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

// weighLicenses adds to impact what moving the followers of a plan does to each, and
// which licenses are pinned and stay.
func (c *Catalog) weighLicenses(ctx context.Context, tx *store.Tx, p access.Principal, plan PlanImpact, who store.LicenseFilter, impact *Impact) error {
	filter, possible := followersOf(plan, p, who)
	if !possible {
		return nil
	}
	rev := licensing.Revision{ID: plan.Revision, Plan: plan.source.Plan}
	err := eachLicense(ctx, tx, p.Env, filter, func(l licensing.License) error {
		held, err := tx.Held(ctx, l.Env, l.ID)
		if err != nil {
			return err
		}
		w, err := weighLicense(ctx, tx, l, rev, c.ledger.Skew, held)
		if err == nil {
			addLicense(impact, l, w)
		}
		return err
	})
	if err != nil {
		return err
	}
	filter.Channel, filter.Pinned = "", true
	return eachLicense(ctx, tx, p.Env, filter, func(l licensing.License) error {
		if impact.Pinned++; len(impact.Keeping) < maxEffects {
			impact.Keeping = append(impact.Keeping, PinnedLicense{l.ID, l.Customer, l.Plan, l.Revision})
		}
		return nil
	})
}

// eachLicense calls fn with the licenses that match f, by id.
func eachLicense(ctx context.Context, tx *store.Tx, env licensing.Env, f store.LicenseFilter, fn func(licensing.License) error) error {
	for last := ""; ; {
		licenses, err := tx.Licenses(ctx, env, f, last, MoveBatch)
		if err != nil {
			return err
		}
		for _, l := range licenses {
			if err := fn(l); err != nil {
				return err
			}
			last = string(l.ID)
		}
		if len(licenses) < MoveBatch {
			return nil
		}
	}
}

// addLicense adds what moving a license does.
func addLicense(i *Impact, of licensing.License, w weighed) {
	i.Moving++
	if w.misfit != nil {
		i.Misfits = append(i.Misfits, Misfit{of.ID, of.Customer, of.Plan, w.misfit.Error()})
		return
	}
	e := w.effect
	if e.Gains() {
		i.Gaining++
	}
	if e.Loses() {
		i.Losing++
	}
	if len(e.Shortages) > 0 {
		i.Short++
	}
	// Who has to be asked about is listed in any case.
	if len(i.Licenses) >= maxEffects && len(e.Shortages) == 0 {
		return
	}
	l := LicenseImpact{
		License: of.ID, Customer: of.Customer, Plan: of.Plan, Shortages: e.Shortages,
		Gains: []string{}, Loses: []string{}, Changes: []string{},
	}
	if len(e.Shortages) > 0 {
		l.pools = w.after.Pools
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

// StorePlans stores the revisions, points the channels to them and begins the moves,
// together. It refuses what was not weighed: another apply came between.
func (c *Catalog) StorePlans(ctx context.Context, p access.Principal, plans []PlanImpact, who *store.LicenseFilter, below licensing.Below) (moves []store.PlanMove, err error) {
	err = c.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		moves = nil
		if err := tx.LockEnvironment(ctx, p.Env); err != nil {
			return err
		}
		open, err := tx.OpenMoves(ctx, p.Env)
		if err != nil {
			return err
		}
		for _, plan := range plans {
			now, _, err := tx.RevisionOf(ctx, licensing.License{Env: p.Env, Plan: plan.Plan, Channel: plan.Channel})
			if err != nil {
				return err
			}
			if now.ID != plan.From || slices.ContainsFunc(open, func(m store.PlanMove) bool { return m.Plan == plan.Plan && m.Channel == plan.Channel }) {
				return licensing.Errorf(licensing.Conflict, "plan %s was applied by somebody else meanwhile: look at the difference again", plan.Plan)
			}
			if plan.Status != "unchanged" {
				if err := storePlan(ctx, tx, p, plan); err != nil {
					return err
				}
			}
			if who == nil {
				continue
			}
			m, err := beginMove(ctx, tx, p, plan, *who, below)
			if err != nil {
				return err
			}
			if m.Total > 0 {
				moves = append(moves, m)
			}
		}
		return nil
	})
	return moves, err
}

func storePlan(ctx context.Context, tx *ledger.Tx, p access.Principal, plan PlanImpact) error {
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

// beginMove stores that the followers of a plan's channel move to its new revision,
// if there are any.
func beginMove(ctx context.Context, tx *ledger.Tx, p access.Principal, plan PlanImpact, who store.LicenseFilter, below licensing.Below) (store.PlanMove, error) {
	m := store.PlanMove{Env: p.Env, Plan: plan.Plan, Channel: plan.Channel, Revision: plan.Revision, Below: below, Actor: p.Actor, Created: tx.Now()}
	var possible bool
	if m.Licenses, possible = followersOf(plan, p, who); !possible {
		return m, nil
	}
	counts, err := tx.CountLicenses(ctx, p.Env, m.Licenses, tx.Now())
	for _, n := range counts {
		m.Total += n.Count
	}
	if err != nil || m.Total == 0 {
		return m, err
	}
	m.ID = licensing.MoveID(ledger.NewID(licensing.MovePrefix, tx.Now()))
	if err := tx.InsertMove(ctx, m); err != nil {
		return m, err
	}
	return m, noteMove(tx, licensing.PlanMoving, m, plan.Product)
}
