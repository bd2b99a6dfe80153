package documents

import (
	"context"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// RecallLease asks the holder of a lease to give it back. A holder that listens renews at once,
// gets a signed answer with the recall, and stops after the pool's grace. A holder that does not
// listen keeps its document until the document ends. If a lease is recalled again, the first recall
// remains.
func (docs *Documents) RecallLease(ctx context.Context, p access.Principal, id licensing.LeaseID, reason string) (r v1.Recalled, err error) {
	if err := request.Require(p, access.LeaseFree); err != nil {
		return r, err
	}
	if len(reason) > catalog.MaxReason {
		return r, licensing.Errorf(licensing.Invalid, "reason is %d bytes long; at most %d are allowed", len(reason), catalog.MaxReason).At("reason")
	}
	err = docs.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		leases, err := tx.Leases(ctx, []store.LeaseKey{{Env: p.Env, ID: id}})
		if err != nil {
			return err
		}
		if len(leases) == 0 {
			return request.NotFound("lease", id)
		}
		l := leases[0]
		of, err := catalog.SeenLicense(ctx, tx.Tx, p, l.License)
		switch {
		case request.UnlessNotFound(err) != nil:
			return err
		case err != nil:
			return request.NotFound("lease", id)
		case !l.Live():
			return licensing.Errorf(licensing.Gone, "lease %s has ended and cannot be recalled", id)
		}
		if l.Asker.Recall == nil {
			l.Asker.Recall = &licensing.Recall{At: tx.Now(), By: p.Actor, Reason: reason}
			about := catalog.AboutLicense(of)
			about.Pool, about.Subject = l.Pool, string(l.ID)
			if err := tx.Note(licensing.LeaseRecalled, about, entry.Recall{Holder: l.Holder, Instance: l.Instance, Reason: reason}); err != nil {
				return err
			}
			if err := tx.PutRecall(ctx, l, tx.Now()); err != nil {
				return err
			}
		}
		r = recalled(l)
		return tx.PutLeases(ctx, leases)
	})
	return r, err
}

// recalled returns when the units of a recalled lease will be free, and why.
func recalled(l *licensing.Lease) v1.Recalled {
	r := v1.Recalled{ID: l.ID, Recalled: l.Asker.Recall.At, Until: l.Asker.Recall.Until, FreeAt: l.Due}
	if l.Due.IsZero() {
		r.Why = "the lease has no end: its units are free within seconds after a listening holder stops; otherwise, end the lease by force"
		return r
	}
	r.Why = "the holder has a signed document until " + ledger.StampOf(l.Expires) + ": its units are free then, or within seconds after a listening holder stops"
	return r
}

// PendingRecalls returns the recalled leases of p's license. They prove nothing. A holder must
// renew to get the signed answer.
func (docs *Documents) PendingRecalls(ctx context.Context, p access.Principal) (ids []licensing.LeaseID, err error) {
	err = docs.ledger.View(ctx, func(tx *store.Tx) error {
		ids, err = tx.Recalled(ctx, store.LicenseRef{Env: p.Env, ID: p.License})
		return err
	})
	return ids, err
}
