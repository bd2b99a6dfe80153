package authority

import (
	"context"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// A HeldLease is a lease as administrators see it.
type HeldLease struct {
	ID      licensing.LeaseID   `json:"id"`
	License licensing.LicenseID `json:"license"`
	LicenseName
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

// Leases returns the leases that are counted, match f and are seen by p, the oldest
// first: those in force, and those ended by force whose document has not ended.
// Of f its Env, After and Limit are set here.
func (a *Authority) Leases(ctx context.Context, p access.Principal, f store.LeaseFilter, of PageOf) (Page[HeldLease], error) {
	var found Page[HeldLease]
	if err := require(p, access.LeaseRead); err != nil {
		return found, err
	}
	after, rows, err := of.after("lease")
	if err != nil {
		return found, err
	}
	seen, possible := scoped(p, store.LicenseFilter{Customer: f.Customer, Product: f.Product})
	if !possible {
		return found, nil
	}
	f.Env, f.Customer, f.Product, f.After, f.Limit = p.Env, seen.Customer, seen.Product, licensing.LeaseID(after), rows
	err = a.db.View(ctx, func(tx *store.Tx) error {
		leases, err := tx.ListLeases(ctx, f)
		if err != nil {
			return err
		}
		keys := make([]store.LicenseKey, len(leases))
		for i, l := range leases {
			keys[i] = store.LicenseKey{Env: l.Env, ID: l.License}
		}
		names, err := tx.LicenseNames(ctx, keys)
		if err != nil {
			return err
		}
		held := make([]HeldLease, len(leases))
		for i, l := range leases {
			held[i] = heldLease(l, names[keys[i]])
		}
		found = page("lease", held, rows, func(l HeldLease) string { return string(l.ID) })
		return nil
	})
	return found, err
}

func heldLease(l *licensing.Lease, of store.LicenseName) HeldLease {
	h := HeldLease{
		ID: l.ID, License: l.License, LicenseName: LicenseName(of), Pool: l.Pool, Holder: HeldBy{l.Asker.Kind, l.Holder, l.Asker.Name}, Units: l.Units,
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
