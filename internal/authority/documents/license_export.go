package documents

import (
	"context"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// exportSlack keeps the dates of an exported document within MaxDocument.
const exportSlack = 24 * time.Hour

// ExportLicense returns a license file for a machine that never reaches a server. Its document
// lasts until the end of the term, or until trust in its signing key ends if that is sooner.
// Programs accept the file until its last date. A term that begins with the first use begins now.
// Only a revocation list that is brought to the machine can end the license earlier. If each
// machine has a trial once, the file of such a trial is for one named machine with its components.
// No other file may name a machine.
func (docs *Documents) ExportLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, machine request.Holder) (license.Bundle, error) {
	var file license.Bundle
	if err := request.Require(p, access.LicenseExport); err != nil {
		return file, err
	}
	if err := request.CheckHolder(machine.Kind, machine.ID, machine.Components); err != nil {
		return file, err
	}
	err := docs.ledger.Update(ctx, p.Env, p.Actor, func(tx *ledger.Tx) error {
		l, ok, err := tx.LockLicense(ctx, p.Env, id)
		if l, err = catalog.Seen(p, l, ok, err, id); err != nil {
			return err
		}
		if l.Start.IsZero() {
			if err := Begin(ctx, tx, id); err != nil {
				return err
			}
			if l, _, err = tx.License(ctx, p.Env, id); err != nil {
				return err
			}
		}
		doc, err := docs.Exported(ctx, tx, l, machine)
		if err != nil {
			return err
		}
		compact, err := docs.ledger.Ring.Sign(p.Env, license.TypeLicense, doc, tx.Now())
		if err != nil {
			return err
		}
		file = license.Bundle{Doc: compact, KeySet: docs.ledger.Ring.KeySet(p.Env), RootSet: docs.ledger.Ring.RootSet(p.Env), Earlier: docs.ledger.Ring.EarlierRootSets(p.Env)}
		return tx.Note(licensing.LicenseExported, catalog.AboutLicense(l), entry.Export{Document: doc.ID, Expires: doc.Expires})
	})
	return file, err
}

// Exported returns the document of l with full function until the end of its term.
func (docs *Documents) Exported(ctx context.Context, tx *ledger.Tx, l licensing.License, machine request.Holder) (license.License, error) {
	rev, err := catalog.RevisionOf(ctx, tx.Tx, l)
	if err != nil {
		return license.License{}, err
	}
	terms, err := licensing.Compile(rev, l, tx.Now())
	if err != nil {
		return license.License{}, err
	}
	if d := terms.InForce(tx.Now()); d.Outcome != license.Allowed {
		return license.License{}, licensing.Errorf(licensing.Conflict, "the license cannot be exported: %s", d.Reason)
	}
	binding, err := exportTo(ctx, tx, terms, machine)
	if err != nil {
		return license.License{}, err
	}
	terms.Documents = untilEnd(terms, tx.Now(), docs.ledger.Ring.TrustUntil(l.Env, tx.Now()))
	used, err := catalog.UsedOf(ctx, tx.Tx, terms)
	if err != nil {
		return license.License{}, err
	}
	doc, err := terms.Document(tx.Now(), used)
	if err != nil {
		return license.License{}, err
	}
	keys, err := listedKeys(ctx, tx.Tx, store.LicenseRef{Env: l.Env, ID: l.ID})
	if err != nil {
		return license.License{}, err
	}
	if err := docs.address(&doc, &inForce{terms: terms, revision: rev, keys: keys}, "", binding, tx.Now()); err != nil || binding == nil {
		return doc, err
	}
	pool, _ := terms.TrialPool()
	return doc, catalog.TakeMachineTrial(ctx, tx.Tx, &terms, pool, doc.ID, machine.Components)
}

// exportTo returns the machine that a license file is bound to. The file of a trial that each
// machine has once is bound to the named machine, which must not have had the trial through another
// license. All other files are valid on any machine.
func exportTo(ctx context.Context, tx *ledger.Tx, t licensing.Terms, machine request.Holder) (*license.Binding, error) {
	pool, limited := t.TrialPool()
	switch named := machine.ID != ""; {
	case named && !limited:
		return nil, licensing.Errorf(licensing.Invalid, "machine is allowed only for a trial that each machine can have once").At("machine")
	case !limited:
		return nil, nil
	case !named:
		return nil, licensing.Errorf(licensing.Invalid, "machine is missing: each machine can have this trial only once, so name the machine and its components").At("machine")
	case len(machine.Components) < pool.Match.Need:
		return nil, licensing.Errorf(licensing.Invalid, "the plan recognizes a machine by %s: name at least that many", licensing.Counted(pool.Match.Need, "component")).At("component")
	}
	if err := tx.LockProduct(ctx, t.Env, t.Product); err != nil {
		return nil, err
	}
	_, had, err := catalog.MachineHad(ctx, tx.Tx, &t, pool, machine.Components)
	if err == nil && had {
		err = licensing.Errorf(licensing.Conflict, "%s", t.TrialUsed().Reason).At("machine")
	}
	return &license.Binding{Kind: licensing.HolderMachine, Holder: machine.ID, Need: pool.Match.Need, Components: machine.Components}, err
}

// untilEnd extends a plan's documents to the end of the term. If trust in the signing key ends
// before the fallback would, the documents are shorter, because nobody accepts later dates. No
// refresh is due before the end, because there is no server to refresh from.
func untilEnd(t licensing.Terms, now, trusted time.Time) licensing.Documents {
	d := t.Documents
	last := licensing.Span((licensing.MaxDocument - exportSlack) / time.Second)
	if !trusted.IsZero() {
		last = min(last, licensing.Span(trusted.Unix()-now.Unix()))
	}
	last -= d.Grace + d.Fallback
	if !t.End.IsZero() {
		last = min(last, licensing.Span(t.End.Unix()-now.Unix()))
	}
	d.Life = max(last, 1)
	d.Refresh, d.Stale = d.Life, d.Life
	return d
}
