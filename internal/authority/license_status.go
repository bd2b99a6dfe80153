package authority

import (
	"context"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

type reasonEvent struct {
	Reason   string `json:"reason,omitempty"`
	Fallback bool   `json:"fallback,omitempty"`
}

// SuspendLicense takes a license out of force until it is reinstated. Its
// dates go on.
func (a *Authority) SuspendLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, reason string) (licensing.License, error) {
	if err := require(p, access.LicenseSuspend); err != nil {
		return licensing.License{}, err
	}
	return a.alterLicense(ctx, p, id, licensing.LicenseSuspended, reason, func(_ *change, l licensing.License) (licensing.License, any, error) {
		l, err := l.Suspend()
		return l, reasonEvent{Reason: reason}, err
	})
}

// ReinstateLicense puts a suspended license back in force.
func (a *Authority) ReinstateLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, reason string) (licensing.License, error) {
	if err := require(p, access.LicenseSuspend); err != nil {
		return licensing.License{}, err
	}
	return a.alterLicense(ctx, p, id, licensing.LicenseReinstated, reason, func(_ *change, l licensing.License) (licensing.License, any, error) {
		l, err := l.Reinstate()
		return l, reasonEvent{Reason: reason}, err
	})
}

// A RevokeRequest ends a license for good. Fallback leaves the fallback set to
// documents that grant one.
type RevokeRequest struct {
	Reason   string `json:"reason" minLength:"1" maxLength:"1000"`
	Fallback bool   `json:"fallback,omitempty"`
}

// maxReason bounds the reason of a revocation, in bytes.
const maxReason = 1000

// RevokeLicense ends a license for good and adds it to the list of
// revocations. Revoking it again changes nothing.
func (a *Authority) RevokeLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, req RevokeRequest) (licensing.License, error) {
	if err := require(p, access.LicenseRevoke); err != nil {
		return licensing.License{}, err
	}
	switch {
	case req.Reason == "":
		return licensing.License{}, licensing.Errorf(licensing.Invalid, "a revocation needs a reason: it is for good").At("reason")
	case len(req.Reason) > maxReason:
		return licensing.License{}, licensing.Errorf(licensing.Invalid, "the reason is over %d bytes", maxReason).At("reason")
	}
	return a.alterLicense(ctx, p, id, licensing.LicenseRevoked, req, func(c *change, l licensing.License) (licensing.License, any, error) {
		if l.Status == licensing.Revoked {
			return l, nil, nil
		}
		rev, err := revisionOf(ctx, c.Tx, l)
		if err != nil {
			return l, nil, err
		}
		if err := c.revoke(ctx, p.Env, store.Revocation{
			Subject: string(l.ID), At: c.Now(), Until: lastDocument(rev.Plan, l), Reason: req.Reason, Fallback: req.Fallback,
		}); err != nil {
			return l, nil, err
		}
		return l.Revoke(), reasonEvent(req), nil
	})
}

// revocationSlack is for documents made under an earlier plan of a license,
// whose fallback may have been longer.
const revocationSlack = 90 * 24 * time.Hour

// lastDocument is when the last document about l has surely ended; zero for never.
func lastDocument(plan licensing.Plan, l licensing.License) time.Time {
	if l.End.IsZero() {
		return time.Time{}
	}
	return licensing.Later(licensing.Later(l.End, plan.Term.Grace.Duration()), plan.Documents.Fallback.Duration()+revocationSlack)
}

// A TransferRequest gives a license to another customer. NewKey ends the keys
// that the former customer knows.
type TransferRequest struct {
	Customer licensing.CustomerID `json:"customer"`
	NewKey   bool                 `json:"new_key,omitempty" doc:"End all keys at once and make a new one."`
	Reason   string               `json:"reason,omitempty"`
}

// A Transferred license comes with its new key if one was asked for.
type Transferred struct {
	License licensing.License `json:"license"`
	Key     *NewKey           `json:"key,omitempty"`
}

type transferEvent struct {
	From   licensing.CustomerID `json:"from"`
	To     licensing.CustomerID `json:"to"`
	Reason string               `json:"reason,omitempty"`
}

// TransferLicense gives a license to another customer that p sees. What is
// held of it stays held.
func (a *Authority) TransferLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, req TransferRequest) (Transferred, error) {
	if err := require(p, access.LicenseTransfer); err != nil {
		return Transferred{}, err
	}
	return once(ctx, a, p, alteration{id, licensing.LicenseTransferred, req}, func(c *change) (Transferred, error) {
		l, ok, err := c.LockLicense(ctx, p.Env, id)
		if l, err = seen(p, l, ok, err, id); err != nil {
			return Transferred{}, err
		}
		if l.Status == licensing.Revoked {
			return Transferred{}, licensing.Errorf(licensing.Conflict, "license %s is revoked and can't be transferred", id)
		}
		if _, err := seenCustomer(ctx, c.Tx, p, req.Customer); err != nil {
			return Transferred{}, err
		}
		if l.Customer == req.Customer && !req.NewKey {
			return Transferred{License: l}, nil
		}
		if err := c.transferTrial(ctx, p, l, req.Customer); err != nil {
			return Transferred{}, err
		}
		data := transferEvent{l.Customer, req.Customer, req.Reason}
		l.Customer = req.Customer
		if l, err = c.storeLicense(ctx, l, licensing.LicenseTransferred, data); err != nil || !req.NewKey {
			return Transferred{License: l}, err
		}
		key, err := c.replaceKey(ctx, l, c.Now())
		return Transferred{License: l, Key: &key}, err
	})
}
