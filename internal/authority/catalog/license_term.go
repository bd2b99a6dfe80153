package catalog

import (
	"context"
	"errors"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// ExtendLicense moves the end of a license, or the maintenance end of a perpetual license, to a
// later time. It changes nothing else: the next term begins and ends as planned.
func (c *Catalog) ExtendLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, req v1.ExtendRequest) (licensing.License, error) {
	if err := request.Require(p, access.LicenseExtend); err != nil {
		return licensing.License{}, err
	}
	return c.once(ctx, p, alteration{id, licensing.LicenseExtended, req}, func(tx *ledger.Tx) (licensing.License, error) {
		return ExtendIn(ctx, tx, p, id, req)
	})
}

// ExtendIn is ExtendLicense in tx, for a caller that has the permission.
func ExtendIn(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, req v1.ExtendRequest) (licensing.License, error) {
	if req.Until.IsZero() == req.By.IsZero() {
		return licensing.License{}, licensing.Errorf(licensing.Invalid, "no new end was given: set until or by").At("until")
	}
	return alter(ctx, tx, p, id, licensing.LicenseExtended, func(_ *ledger.Tx, l licensing.License) (licensing.License, any, error) {
		from, until := l.LastDate(), req.Until
		if until.IsZero() && !from.IsZero() {
			until = req.By.After(from)
		}
		if err := licensing.CheckDate("until", until); err != nil {
			return l, nil, err
		}
		l, err := l.Extend(until)
		return l, entry.Term{From: from, To: l.LastDate(), Reason: req.Reason}, err
	})
}

// RenewLicense adds a term. The term is that of the plan that the license has after its scheduled
// changes. Those changes are made when the new term begins: immediately if the old term is over,
// otherwise at its end. Repeated requests renew a term only once. A license marked unpaid is not
// renewed until it is paid.
func (c *Catalog) RenewLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, req v1.RenewRequest) (licensing.License, error) {
	if err := request.Require(p, access.LicenseRenew); err != nil {
		return licensing.License{}, err
	}
	if req.After.IsZero() {
		return licensing.License{}, licensing.Errorf(licensing.Invalid, "after is missing: identify the term to renew by its end").At("after")
	}
	return c.once(ctx, p, alteration{id, licensing.LicenseRenewed, req}, func(tx *ledger.Tx) (licensing.License, error) {
		return RenewIn(ctx, tx, p, id, req)
	})
}

// RenewIn is RenewLicense in tx, for a caller that has the permission. Without req.After, it renews
// the current term, so the caller must not repeat it.
func RenewIn(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, req v1.RenewRequest) (licensing.License, error) {
	return alter(ctx, tx, p, id, licensing.LicenseRenewed, func(tx *ledger.Tx, l licensing.License) (licensing.License, any, error) {
		if req.After.IsZero() {
			req.After = l.ThisEnd()
		}
		if l.WasRenewed(req.After) {
			return l, nil, nil
		}
		if req.Paid {
			l.Payment = licensing.Paid
		}
		if l.Payment == licensing.Unpaid {
			return l, nil, licensing.Errorf(licensing.Conflict, "license %s is unpaid: mark it as paid, or renew it as paid", l.ID)
		}
		return renewLicense(ctx, tx, p, l, req)
	})
}

func renewLicense(ctx context.Context, tx *ledger.Tx, p access.Principal, l licensing.License, req v1.RenewRequest) (licensing.License, any, error) {
	from := l.LastDate()
	next, err := l.MakeChanges()
	if err != nil {
		return l, nil, err
	}
	rev, err := RevisionOf(ctx, tx.Tx, next)
	if err != nil {
		return l, nil, err
	}
	if _, err := licensing.Compile(rev, next, tx.Now()); err != nil {
		return l, nil, err
	}
	if l, err = rev.Plan.Term.Renew(l, req.After, tx.Now()); err != nil {
		return l, nil, err
	}
	if err := licensing.CheckDate("end", l.LastDate()); err != nil {
		return l, nil, err
	}
	done := entry.Term{From: from, To: l.LastDate(), Reason: req.Reason}
	if l.ChangesDue(tx.Now()) {
		l, _, err = makeChanges(ctx, tx, p, l, l.Scheduled[len(l.Scheduled)-1].Below)
	}
	return l, done, err
}

// makeChanges makes the scheduled changes of a license.
func makeChanges(ctx context.Context, tx *ledger.Tx, p access.Principal, l licensing.License, below licensing.Below) (licensing.License, []licensing.Shortage, error) {
	was, before := compiled(ctx, tx, p, l)
	after, err := was.Scaled(l).MakeChanges()
	if err != nil {
		return l, nil, err
	}
	return fit(ctx, tx, p, was, before, after, below)
}

// termsEvery is how often the server checks for scheduled changes that are due.
const termsEvery = time.Second

// runTerms makes scheduled changes when a renewed term begins, until ctx ends.
func (c *Catalog) runTerms(ctx context.Context) {
	c.ledger.WhenDue(ctx, termsEvery, "terms", func(ctx context.Context) (due time.Time, err error) {
		if err := c.BeginTerms(ctx); err != nil {
			return due, err
		}
		if c.ledger.Clock.Doubt() {
			return c.ledger.DB.Latest(), nil
		}
		err = c.ledger.View(ctx, func(tx *store.Tx) (err error) {
			due, err = tx.FirstChange(ctx)
			return err
		})
		return due, err
	})
}

// termPage is how many licenses are looked up at once.
const termPage = 200

// BeginTerms makes the scheduled changes of licenses whose renewed term has begun. The background
// task calls it every second. A change that fails is tried again and does not delay other licenses.
func (c *Catalog) BeginTerms(ctx context.Context) error {
	if c.ledger.Clock.Doubt() {
		return nil
	}
	var keys []store.LicenseRef
	err := c.ledger.View(ctx, func(tx *store.Tx) (err error) {
		keys, err = tx.DueLicenses(ctx, tx.Now(), termPage)
		return err
	})
	for _, key := range keys {
		err = errors.Join(err, c.ledger.Update(ctx, key.Env, ledger.SystemActor, func(w *ledger.Tx) error { return beginTerm(ctx, w, key.ID) }))
	}
	return err
}

// beginTerm makes the due changes of a license. Because there is no caller to refuse, excess units
// are drained unless overdraft is allowed.
func beginTerm(ctx context.Context, tx *ledger.Tx, id licensing.LicenseID) error {
	l, ok, err := tx.LockLicense(ctx, tx.Env, id)
	if err != nil || !ok {
		return err
	}
	if l.ChangeAt.IsZero() {
		return tx.ForgetDue(ctx, tx.Env, id)
	}
	if !l.ChangesDue(tx.Now()) {
		return nil
	}
	done := entry.TermBegun{Changes: l.Scheduled}
	below := l.Scheduled[len(l.Scheduled)-1].Below
	if below != licensing.BelowOverdraft {
		below = licensing.BelowDrain
	}
	changed, short, err := makeChanges(ctx, tx, access.System(tx.Env, tx.Actor), l, below)
	if err != nil {
		return licensing.Errorf(licensing.CodeOf(err), "license %s: making the changes scheduled for %s: %w", id, ledger.StampOf(l.ChangeAt), err)
	}
	done.Shortages = short
	_, err = StoreLicense(ctx, tx, changed, licensing.LicenseChanged, done)
	return err
}
