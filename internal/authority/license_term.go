package authority

import (
	"context"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// An ExtendRequest moves the end of a license to Until, or By a length after
// its present end.
type ExtendRequest struct {
	Until  time.Time        `json:"until,omitzero"`
	By     licensing.Length `json:"by,omitzero"`
	Reason string           `json:"reason,omitempty"`
}

type termEvent struct {
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// ExtendLicense moves the end of a license, or of the maintenance of a
// perpetual one, to a later time. It buys time and changes nothing else.
func (a *Authority) ExtendLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, req ExtendRequest) (licensing.License, error) {
	if err := require(p, access.LicenseExtend); err != nil {
		return licensing.License{}, err
	}
	if req.Until.IsZero() == req.By.IsZero() {
		return licensing.License{}, licensing.Errorf(licensing.Invalid, "say until when, or by how much").At("until")
	}
	return a.alterLicense(ctx, p, id, licensing.LicenseExtended, req, func(_ *change, l licensing.License) (licensing.License, any, error) {
		from, until := lastDate(l), req.Until
		if until.IsZero() && !from.IsZero() {
			until = req.By.After(from)
		}
		l, err := l.Extend(until)
		return l, termEvent{from, lastDate(l), req.Reason}, err
	})
}

// lastDate is the date that extending and renewing move.
func lastDate(l licensing.License) time.Time {
	if l.End.IsZero() {
		return l.Maintenance
	}
	return l.End
}

// A RenewRequest asks for one more term. Paid says that it was paid for.
type RenewRequest struct {
	Paid   bool   `json:"paid,omitempty" doc:"The term is paid for: a license marked unpaid is renewed and marked paid."`
	Reason string `json:"reason,omitempty"`
}

// RenewLicense makes the changes scheduled for the renewal, then adds a term
// of the plan the license then has. A license marked unpaid is not renewed
// until it is paid.
func (a *Authority) RenewLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, req RenewRequest) (licensing.License, error) {
	if err := require(p, access.LicenseRenew); err != nil {
		return licensing.License{}, err
	}
	return a.alterLicense(ctx, p, id, licensing.LicenseRenewed, req, func(c *change, l licensing.License) (licensing.License, any, error) {
		if req.Paid {
			l.Payment = licensing.Paid
		}
		if l.Payment == licensing.Unpaid {
			return l, nil, licensing.Errorf(licensing.Conflict, "license %s is unpaid: mark it paid, or renew it as paid", l.ID)
		}
		from, before, due := lastDate(l), l, l.Scheduled
		l, err := l.ChangesDue()
		if err != nil {
			return l, nil, err
		}
		rev, err := revisionOf(ctx, c.Tx, l)
		if err != nil {
			return l, nil, err
		}
		if l, err = rev.Plan.Term.Renew(l, c.Now()); err != nil {
			return l, nil, err
		}
		if len(due) > 0 {
			if _, err := c.fit(ctx, p, before, l, due[len(due)-1].Below); err != nil {
				return l, nil, err
			}
		}
		return l, termEvent{from, lastDate(l), req.Reason}, nil
	})
}
