package authority

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// A LeaseFilter selects leases. Empty fields match every lease.
type LeaseFilter struct {
	License  licensing.LicenseID
	Customer licensing.CustomerID
	Product  licensing.ProductName
	Pool     string
	Holder   string // an id, or KIND:ID as shown in lists
}

// Leases returns the counted leases that match f and that p may see, oldest first: leases in force,
// and leases that were ended by force but whose document is still valid.
func (a *Authority) Leases(ctx context.Context, p access.Principal, f LeaseFilter, of request.PageOf) (request.Page[v1.HeldLease], error) {
	var found request.Page[v1.HeldLease]
	if err := request.Require(p, access.LeaseRead); err != nil {
		return found, err
	}
	after, rows, err := of.After("lease")
	if err != nil {
		return found, err
	}
	seen, possible := catalog.Scoped(p, store.LicenseFilter{Customer: f.Customer, Product: f.Product})
	if !possible {
		return found, nil
	}
	match := store.LeaseFilter{
		Env: p.Env, License: f.License, Customer: seen.Customer, Product: seen.Product, Pool: f.Pool, Holder: f.Holder,
		After: licensing.LeaseID(after), Limit: rows,
	}
	err = a.ledger.DB.View(ctx, func(tx *store.Tx) error {
		leases, err := tx.ListLeases(ctx, match)
		if err != nil {
			return err
		}
		keys := make([]store.LicenseRef, len(leases))
		for i, l := range leases {
			keys[i] = store.LicenseRef{Env: l.Env, ID: l.License}
		}
		names, err := tx.LicenseNames(ctx, keys)
		if err != nil {
			return err
		}
		held := make([]v1.HeldLease, len(leases))
		for i, l := range leases {
			held[i] = heldLease(l, names[keys[i]])
		}
		found = request.NewPage("lease", held, rows, func(l v1.HeldLease) string { return string(l.ID) })
		return nil
	})
	return found, err
}

func heldLease(l *licensing.Lease, of store.LicenseName) v1.HeldLease {
	h := v1.HeldLease{
		ID: l.ID, License: l.License, LicenseName: v1.LicenseName(of), Pool: l.Pool, Holder: v1.HeldBy{Kind: l.Asker.Kind, ID: l.Holder, Name: l.Asker.Name}, Units: l.Units,
		Generation: l.Generation, Begun: l.Granted, Renewed: l.Renewed, Ends: l.Expires, FreeAt: l.Due, Borrowed: l.Borrowed,
		Caller: l.Caller(),
	}
	if l.EndedBy == licensing.EndForced {
		h.Forced = l.Ended
	}
	if r := l.Asker.Recall; r != nil {
		h.Recalled, h.Until = r.At, r.Until
	}
	return h
}
