package catalog

import (
	"context"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// SuspendLicense takes a license out of force until it is reinstated. Its dates do not change.
func (c *Catalog) SuspendLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, reason string) (licensing.License, error) {
	if err := request.Require(p, access.LicenseSuspend); err != nil {
		return licensing.License{}, err
	}
	return c.once(ctx, p, alteration{id, licensing.LicenseSuspended, reason}, func(tx *ledger.Tx) (licensing.License, error) {
		return SuspendIn(ctx, tx, p, id, reason)
	})
}

// SuspendIn is SuspendLicense in tx, for a caller that has the permission.
func SuspendIn(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, reason string) (licensing.License, error) {
	return alter(ctx, tx, p, id, licensing.LicenseSuspended, func(_ *ledger.Tx, l licensing.License) (licensing.License, any, error) {
		l, err := l.Suspend()
		return l, entry.Reason{Reason: reason}, err
	})
}

// ReinstateLicense puts a suspended license back in force.
func (c *Catalog) ReinstateLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, reason string) (licensing.License, error) {
	if err := request.Require(p, access.LicenseSuspend); err != nil {
		return licensing.License{}, err
	}
	return c.once(ctx, p, alteration{id, licensing.LicenseReinstated, reason}, func(tx *ledger.Tx) (licensing.License, error) {
		return ReinstateIn(ctx, tx, p, id, reason)
	})
}

// ReinstateIn is ReinstateLicense in tx, for a caller that has the permission.
func ReinstateIn(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, reason string) (licensing.License, error) {
	return alter(ctx, tx, p, id, licensing.LicenseReinstated, func(_ *ledger.Tx, l licensing.License) (licensing.License, any, error) {
		l, err := l.Reinstate()
		return l, entry.Reason{Reason: reason}, err
	})
}

// MaxReason is the maximum length of a revocation's reason, in bytes.
const MaxReason = 1000

// RevokeLicense ends a license permanently and adds it to the list of revocations. A second
// revocation changes nothing.
func (c *Catalog) RevokeLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, req v1.RevokeRequest) (licensing.License, error) {
	if err := request.Require(p, access.LicenseRevoke); err != nil {
		return licensing.License{}, err
	}
	switch {
	case req.Reason == "":
		return licensing.License{}, licensing.Errorf(licensing.Invalid, "reason is missing: a revocation is permanent and needs one").At("reason")
	case len(req.Reason) > MaxReason:
		return licensing.License{}, licensing.Errorf(licensing.Invalid, "the reason is longer than %d bytes", MaxReason).At("reason")
	}
	return c.alterLicense(ctx, p, id, licensing.LicenseRevoked, req, func(tx *ledger.Tx, l licensing.License) (licensing.License, any, error) {
		if l.Status == licensing.Revoked {
			return l, nil, nil
		}
		rev, err := RevisionOf(ctx, tx.Tx, l)
		if err != nil {
			return l, nil, err
		}
		if err := Revoke(ctx, tx, p.Env, store.Revocation{
			Subject: string(l.ID), At: tx.Now(), Until: lastDocument(rev.Plan, l), Reason: req.Reason, Fallback: req.Fallback,
		}); err != nil {
			return l, nil, err
		}
		return l.Revoke(), entry.Reason(req), nil
	})
}

// revocationSlack allows for documents from an earlier plan of a license, whose fallback may have
// been longer.
const revocationSlack = 90 * 24 * time.Hour

// lastDocument returns the latest time at which a document about l can end, or zero for never.
func lastDocument(plan licensing.Plan, l licensing.License) time.Time {
	if l.End.IsZero() {
		return time.Time{}
	}
	return licensing.Later(licensing.Later(l.End, plan.Term.Grace.Duration()), plan.Documents.Fallback.Duration()+revocationSlack)
}

// TransferLicense gives a license to another customer that p may see. Its leases remain.
func (c *Catalog) TransferLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, req v1.TransferRequest) (v1.Transferred, error) {
	if err := request.Require(p, access.LicenseTransfer); err != nil {
		return v1.Transferred{}, err
	}
	return Once(ctx, c.ledger, p, alteration{id, licensing.LicenseTransferred, req}, func(tx *ledger.Tx) (v1.Transferred, error) {
		l, ok, err := tx.LockLicense(ctx, p.Env, id)
		if l, err = Seen(p, l, ok, err, id); err != nil {
			return v1.Transferred{}, err
		}
		if l.Status == licensing.Revoked {
			return v1.Transferred{}, licensing.Errorf(licensing.Conflict, "license %s is revoked and cannot be transferred", id)
		}
		if _, err := SeenCustomer(ctx, tx.Tx, p, req.Customer); err != nil {
			return v1.Transferred{}, err
		}
		if l.Customer == req.Customer && !req.NewKey {
			return v1.Transferred{License: v1.License(l)}, nil
		}
		if err := transferTrial(ctx, tx, p, l, req.Customer); err != nil {
			return v1.Transferred{}, err
		}
		data := entry.Transfer{From: l.Customer, To: req.Customer, Reason: req.Reason}
		l.Customer = req.Customer
		if l, err = StoreLicense(ctx, tx, l, licensing.LicenseTransferred, data); err != nil || !req.NewKey {
			return v1.Transferred{License: v1.License(l)}, err
		}
		key, err := replaceKey(ctx, tx, l, tx.Now())
		return v1.Transferred{License: v1.License(l), Key: &key}, err
	})
}
