package authority

import (
	"context"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// A HeldLease is a lease as administrators see it.
type HeldLease struct {
	ID      licensing.LeaseID   `json:"id"`
	License licensing.LicenseID `json:"license"`
	catalog.LicenseName
	Pool       string    `json:"pool"`
	Holder     HeldBy    `json:"holder"`
	Units      int64     `json:"units"`
	Generation int64     `json:"generation"`
	Begun      time.Time `json:"begun"`
	Renewed    time.Time `json:"renewed"`
	Ends       time.Time `json:"ends,omitzero" doc:"The end of its last document; absent for a lease without end."`
	FreeAt     time.Time `json:"free_at,omitzero" doc:"When its units are granted again at the latest, unless it is renewed."`
	Borrowed   bool      `json:"borrowed,omitempty"`
	Forced     time.Time `json:"forced,omitzero" doc:"When it was ended by force: its units are counted until free_at, for what was signed lives on."`
	Recalled   time.Time `json:"recalled,omitzero" doc:"When its holder was asked to give it back."`
	Until      time.Time `json:"until,omitzero" doc:"When the holder of a recalled lease stops; absent until it was told."`
	licensing.Caller
}

// HeldBy names a holder.
type HeldBy struct {
	Kind string `json:"kind,omitempty"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty" doc:"What people recognize the holder by, such as a host name."`
}

// A LeaseFilter says which leases to list. What is empty matches every lease.
type LeaseFilter struct {
	License  licensing.LicenseID
	Customer licensing.CustomerID
	Product  licensing.ProductName
	Pool     string
	Holder   string // an id, or KIND:ID as lists show it
}

// Leases returns the leases that are counted, match f and are seen by p, the oldest
// first: those in force, and those ended by force whose document has not ended.
func (a *Authority) Leases(ctx context.Context, p access.Principal, f LeaseFilter, of request.PageOf) (request.Page[HeldLease], error) {
	var found request.Page[HeldLease]
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
		held := make([]HeldLease, len(leases))
		for i, l := range leases {
			held[i] = heldLease(l, names[keys[i]])
		}
		found = request.NewPage("lease", held, rows, func(l HeldLease) string { return string(l.ID) })
		return nil
	})
	return found, err
}

func heldLease(l *licensing.Lease, of store.LicenseName) HeldLease {
	h := HeldLease{
		ID: l.ID, License: l.License, LicenseName: catalog.LicenseName(of), Pool: l.Pool, Holder: HeldBy{l.Asker.Kind, l.Holder, l.Asker.Name}, Units: l.Units,
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
