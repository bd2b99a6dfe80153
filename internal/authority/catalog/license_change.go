package catalog

import (
	"cmp"
	"context"
	"slices"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// ChangeLicense changes what a license grants. A change that leaves less than is in use is refused,
// unless the request selects drain or overdraft.
func (c *Catalog) ChangeLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, req v1.ChangeRequest) (licensing.License, error) {
	if err := request.Require(p, access.LicenseChange); err != nil {
		return licensing.License{}, err
	}
	kind := licensing.LicenseChanged
	switch req.When {
	case "", licensing.ChangeNow:
		req.When = licensing.ChangeNow
	case licensing.ChangeAtRenewal:
		kind = licensing.LicenseScheduled
	default:
		return licensing.License{}, licensing.Errorf(licensing.Invalid, "when is %q; it must be now or renewal", req.When).At("when")
	}
	if !slices.Contains([]licensing.Below{"", licensing.BelowRefuse, licensing.BelowDrain, licensing.BelowOverdraft}, req.Below) {
		return licensing.License{}, licensing.Errorf(licensing.Invalid, "below is %q; it must be refuse, drain or overdraft", req.Below).At("below")
	}
	return c.alterLicense(ctx, p, id, kind, req, func(tx *ledger.Tx, l licensing.License) (licensing.License, any, error) {
		return ChangeLicense(ctx, tx, p, l, req)
	})
}

// ChangeLicense makes or schedules a change of l in tx. It returns the changed l and the data for
// the log entry. It does not store l.
func ChangeLicense(ctx context.Context, tx *ledger.Tx, p access.Principal, l licensing.License, req v1.ChangeRequest) (licensing.License, any, error) {
	wanted := changeOf(req, l, p, tx.Now())
	if err := wanted.CheckDates(); err != nil {
		return l, nil, err
	}
	done := entry.Change{Change: wanted, Payment: req.Payment, Reason: req.Reason}
	if req.Payment != "" {
		l.Payment = req.Payment
	}
	if req.Metadata != nil {
		l.Metadata = *req.Metadata
	}
	if req.Reference != nil {
		if err := request.CheckTexts(request.Text{Field: "reference", Value: *req.Reference}); err != nil {
			return l, nil, err
		}
		l.Reference = *req.Reference
		if err := licenseReferenceFree(ctx, tx, l); err != nil {
			return l, nil, err
		}
	}
	if changesNothing(req) {
		return l, done, nil
	}
	if wanted.Revision != "" {
		rev, err := namedRevision(ctx, tx.Tx, l.Env, cmp.Or(wanted.Plan, l.Plan), wanted.Revision)
		if err != nil {
			return l, nil, err
		}
		wanted.Revision = rev.ID
		done.Change = wanted
	}
	was, before := compiled(ctx, tx, p, l)
	l = was.Scaled(l)
	if wanted.When == licensing.ChangeAtRenewal {
		var err error
		wanted.Except, err = renewable(ctx, tx, p, was, l.Schedule(wanted, tx.Now()))
		done.Change = wanted
		return l.Schedule(wanted, tx.Now()), done, err
	}
	after, err := l.Change(wanted)
	if err != nil {
		return l, nil, err
	}
	after, done.Shortages, err = fit(ctx, tx, p, was, before, after, wanted.Below)
	return after, done, err
}

// renewable refuses scheduled changes that cannot be made, because later there is no caller to
// receive the error. It returns the exceptions of the last change with their scales, which are
// those of the plan that the license has by then.
func renewable(ctx context.Context, tx *ledger.Tx, p access.Principal, was licensing.Terms, l licensing.License) ([]licensing.Exception, error) {
	after, err := l.MakeChanges()
	if err != nil {
		return nil, err
	}
	terms, err := fitting(ctx, tx, p, after)
	if err == nil && terms.Plan != was.Plan {
		err = checkTrial(ctx, tx, terms)
	}
	if err == nil {
		err = licensing.CheckScales(was.Meters, terms.Meters)
	}
	return terms.ScaledExceptions(l.Scheduled[len(l.Scheduled)-1].Except), err
}

// changeOf returns the domain change of l that req requests at now.
func changeOf(req v1.ChangeRequest, l licensing.License, p access.Principal, now time.Time) licensing.Change {
	wanted := req.Change
	wanted.Except = stamped(req.Except, p, now)
	if wanted.When == licensing.ChangeAtRenewal && wanted.Below == "" {
		// A renewal must not fail because of units in use on its day.
		wanted.Below = licensing.BelowDrain
	}
	for _, e := range capacities(req.Capacity, p, now) {
		wanted.Except = append(wanted.Except, e)
		for _, old := range l.Exceptions {
			// The renewal would miss an exception that is removed now. At renewal, the later
			// exception wins.
			if old.Pool == e.Pool && old.Reason == capacityReason && wanted.When == licensing.ChangeNow {
				wanted.RemoveExceptions = append(slices.Clone(wanted.RemoveExceptions), old.ID)
			}
		}
	}
	return wanted
}

// changesNothing reports whether req leaves everything that the license grants unchanged.
func changesNothing(req v1.ChangeRequest) bool {
	c := req.Change
	return c.Plan == "" && c.Channel == "" && c.Revision == "" && !c.Follow && c.Edition == "" && len(req.Capacity) == 0 &&
		len(c.Add) == 0 && len(c.Remove) == 0 && len(c.Except) == 0 && len(c.RemoveExceptions) == 0
}

func licenseReferenceFree(ctx context.Context, tx *ledger.Tx, l licensing.License) error {
	if l.Reference == "" {
		return nil
	}
	others, err := tx.Licenses(ctx, l.Env, store.LicenseFilter{Reference: l.Reference}, "", 1)
	if err == nil && len(others) > 0 && others[0].ID != l.ID {
		return licensing.Errorf(licensing.Exists, "reference %q belongs to another license", l.Reference).At("reference")
	}
	return err
}

// compiled returns the current terms of l, if p may see its plan.
func compiled(ctx context.Context, tx *ledger.Tx, p access.Principal, l licensing.License) (licensing.Terms, error) {
	rev, err := granting(ctx, tx, p, l)
	if err != nil {
		return licensing.Terms{}, err
	}
	return licensing.Compile(rev, l, tx.Now())
}

// fitting does the same as compiled for a license that is about to change.
func fitting(ctx context.Context, tx *ledger.Tx, p access.Principal, l licensing.License) (licensing.Terms, error) {
	rev, err := granting(ctx, tx, p, l)
	if err != nil {
		return licensing.Terms{}, err
	}
	return licensing.Fit(rev, l, tx.Now())
}

// granting returns the revision that grants l, if p may see its plan.
func granting(ctx context.Context, tx *ledger.Tx, p access.Principal, l licensing.License) (licensing.Revision, error) {
	rev, err := RevisionOf(ctx, tx.Tx, l)
	if err == nil && !p.SeesProduct(rev.Plan.Product) {
		err = request.NotFound("plan", l.Plan)
	}
	return rev, err
}

// fit adjusts the units in use and the counted usage of a license to its terms after a change, or
// refuses the change. It refuses if more is in use than the new terms allow, unless below permits
// that, and if a meter would be counted with fewer decimal places. It returns the license with the
// amounts of its exceptions at their scales, and the shortages. unfit is the error from compiling
// the terms before the change.
func fit(ctx context.Context, tx *ledger.Tx, p access.Principal, was licensing.Terms, unfit error, after licensing.License, below licensing.Below) (licensing.License, []licensing.Shortage, error) {
	terms, err := fitting(ctx, tx, p, after)
	if err != nil {
		return after, nil, err
	}
	if terms.Plan != was.Plan {
		if err := checkTrial(ctx, tx, terms); err != nil {
			return after, nil, err
		}
		if err := takeTrial(ctx, tx, terms); err != nil {
			return after, nil, err
		}
	}
	if err := rescale(ctx, tx, was, terms); err != nil {
		return after, nil, err
	}
	after = terms.Scaled(after)
	held, err := tx.LockHeld(ctx, after.Env, after.ID)
	if err != nil || len(held) == 0 {
		return after, nil, err
	}
	if unfit != nil {
		return after, nil, unfit
	}
	if err := recount(ctx, tx, was, terms, held); err != nil {
		return after, nil, err
	}
	short := lowered(licensing.Shortages(terms, held), was, terms)
	return after, short, allowShort(ctx, tx, terms, short, below)
}

// allowShort checks whether below permits the license to use more than its terms grant, and records
// since when it does.
func allowShort(ctx context.Context, tx *ledger.Tx, terms licensing.Terms, short []licensing.Shortage, below licensing.Below) error {
	for _, s := range short {
		if _, err := below.Allow(s, terms.Pools[s.Pool], tx.Now()); err != nil {
			return err
		}
		if err := tx.OverPool(ctx, terms.Env, terms.License, s.Pool, tx.Now()); err != nil {
			return err
		}
	}
	return nil
}
