package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// A bulkJob is what a job that changes many licenses needs besides its rows.
type bulkJob struct {
	Partial bool              `json:"partial,omitempty"`
	Filter  *v1.LicenseFilter `json:"filter,omitempty"` // nil if the job has rows
	Until   time.Time         `json:"until,omitzero"`
	By      licensing.Length  `json:"by,omitzero"`
	Paid    bool              `json:"paid,omitempty"`
	Reason  string            `json:"reason,omitempty"`
}

// A bulkRow is what a row has besides its license.
type bulkRow struct {
	Date  time.Time      `json:"date,omitzero"`
	Code  licensing.Code `json:"code,omitempty"` // of a fault in the row itself
	Fault string         `json:"fault,omitempty"`
}

func faultyRow(err error) bulkRow {
	return bulkRow{Code: licensing.CodeOf(err), Fault: err.Error()}
}

// An alteration changes one license in tx.
type alteration func(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, job bulkJob, row bulkRow) (licensing.License, error)

func (j *Jobs) addLicenseKinds() {
	add := func(name licensing.JobKind, needs access.Permission, date string, change alteration) {
		j.kinds[name] = kind{
			needs: needs, sees: access.LicenseRead, changes: true,
			rows: func(csv string, firstLine int) ([]storedItem, error) { return licenseItems(csv, date, firstLine) },
			run:  func(ctx context.Context, r *run) error { return r.alter(ctx, change) },
		}
	}
	add(licensing.JobExtend, access.LicenseExtend, "until", extend)
	add(licensing.JobRenew, access.LicenseRenew, "after", renew)
	add(licensing.JobSuspend, access.LicenseSuspend, "", suspend)
	add(licensing.JobReinstate, access.LicenseSuspend, "", reinstate)
}

func extend(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, job bulkJob, row bulkRow) (licensing.License, error) {
	req := v1.ExtendRequest{Until: job.Until, By: job.By, Reason: job.Reason}
	if !row.Date.IsZero() {
		req.Until, req.By = row.Date, licensing.Length{}
	}
	return catalog.ExtendIn(ctx, tx, p, id, req)
}

func renew(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, job bulkJob, row bulkRow) (licensing.License, error) {
	return catalog.RenewIn(ctx, tx, p, id, v1.RenewRequest{After: row.Date, Paid: job.Paid, Reason: job.Reason})
}

func suspend(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, job bulkJob, _ bulkRow) (licensing.License, error) {
	return catalog.SuspendIn(ctx, tx, p, id, job.Reason)
}

func reinstate(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, job bulkJob, _ bulkRow) (licensing.License, error) {
	return catalog.ReinstateIn(ctx, tx, p, id, job.Reason)
}

// Extend creates a job that extends many licenses.
func (j *Jobs) Extend(ctx context.Context, p access.Principal, req v1.ExtendJobRequest) (v1.Job, error) {
	if given := !req.Until.IsZero(); given && !req.By.IsZero() || !given && req.By.IsZero() && req.CSV == "" {
		return v1.Job{}, licensing.Errorf(licensing.Invalid, "set until or by, and not both").At("until")
	}
	return j.bulk(ctx, p, licensing.JobExtend, req, req.LicenseSelection, bulkJob{Until: req.Until, By: req.By, Reason: req.Reason})
}

// Renew creates a job that adds a term to many licenses.
func (j *Jobs) Renew(ctx context.Context, p access.Principal, req v1.RenewJobRequest) (v1.Job, error) {
	return j.bulk(ctx, p, licensing.JobRenew, req, req.LicenseSelection, bulkJob{Paid: req.Paid, Reason: req.Reason})
}

// Suspend creates a job that suspends many licenses.
func (j *Jobs) Suspend(ctx context.Context, p access.Principal, req v1.StatusJobRequest) (v1.Job, error) {
	return j.bulk(ctx, p, licensing.JobSuspend, req, req.LicenseSelection, bulkJob{Reason: req.Reason})
}

// Reinstate creates a job that reinstates many licenses.
func (j *Jobs) Reinstate(ctx context.Context, p access.Principal, req v1.StatusJobRequest) (v1.Job, error) {
	return j.bulk(ctx, p, licensing.JobReinstate, req, req.LicenseSelection, bulkJob{Reason: req.Reason})
}

// bulk creates a job that changes the selected licenses.
func (j *Jobs) bulk(ctx context.Context, p access.Principal, name licensing.JobKind, req any, of v1.LicenseSelection, kept bulkJob) (v1.Job, error) {
	s := submission{kind: name, request: req, dry: of.DryRun, more: of.More}
	kept.Partial = of.Partial
	switch {
	case of.CSV != "" && of.Filter == nil && !of.All:
		items, err := j.kinds[name].rows(of.CSV, of.FirstLine)
		if err != nil {
			return v1.Job{}, err
		}
		s.items = items
	case of.CSV != "" || of.All == (of.Filter != nil):
		return v1.Job{}, licensing.Errorf(licensing.Invalid, "no licenses or more than one selection of them: set either filter, all or csv").At("filter")
	case of.More || of.FirstLine != 0:
		return v1.Job{}, licensing.Errorf(licensing.Invalid, "more and first_line belong to a file: set csv").At("more")
	case of.All:
		kept.Filter = &v1.LicenseFilter{}
	case *of.Filter == v1.LicenseFilter{}:
		return v1.Job{}, licensing.Errorf(licensing.Invalid, "the filter has no condition: to select all licenses, set all").At("filter")
	default:
		filter := *of.Filter
		err := j.ledger.View(ctx, func(tx *store.Tx) error {
			found, err := catalog.Selection(ctx, tx, p, catalog.LicenseFilter(filter))
			filter.Revision = found.Revision // a short name could match a second revision later
			return err
		})
		if err != nil {
			return v1.Job{}, err
		}
		kept.Filter = &filter
	}
	s.kept = kept
	return j.create(ctx, p, s)
}

// licenseItems returns the rows of a file of licenses. A faulty row is an item that fails.
func licenseItems(csv, date string, firstLine int) ([]storedItem, error) {
	rows, err := licensing.ReadLicenseRows(csv, date)
	if err != nil {
		return nil, err
	}
	items := make([]storedItem, len(rows))
	for i, row := range rows {
		body := bulkRow{Date: row.Date}
		if row.Err != nil {
			body = faultyRow(row.Err)
		}
		if firstLine > 0 {
			row.Line += firstLine - 2
		}
		items[i] = storedItem{Line: row.Line, License: row.License}
		if items[i].Body, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// alter makes one change to each license of the job. Licenses that a filter selects are stored as
// items first, so that no transaction that changes licenses has to search for them.
func (r *run) alter(ctx context.Context, change alteration) error {
	kept, err := decoded[bulkJob](r.job.Request)
	if err != nil {
		return err
	}
	var filter store.LicenseFilter
	var next func(context.Context, *store.Tx, position) ([]item, error)
	if kept.Filter != nil {
		next = r.stored
		filter, err = r.selectLicenses(ctx, catalog.LicenseFilter(*kept.Filter), kept.Partial)
	} else {
		next, err = r.storedOnce(ctx)
	}
	if err != nil {
		return err
	}
	return r.each(ctx, work{partial: kept.Partial, next: next, do: func(ctx context.Context, tx *ledger.Tx, it item, _ *v1.JobResult) error {
		row, err := decoded[bulkRow](string(it.body))
		if err != nil {
			return err
		}
		if row.Fault != "" {
			return licensing.Errorf(row.Code, "%s", row.Fault)
		}
		if kept.Filter != nil {
			if err := catalog.Matches(ctx, tx.Tx, r.job.Env, it.license, filter); err != nil {
				return err
			}
		}
		_, err = change(ctx, tx, r.p, it.license, kept, row)
		return err
	}})
}

const (
	// phaseSelect is the phase in which a job stores the licenses that match its filter.
	phaseSelect = "select"
	// selectSize is how many licenses one transaction stores.
	selectSize = 10 * groupSize
)

// selectLicenses stores the licenses that match f as items, unless that has been done. It omits
// licenses that were issued after the job was created. Their ids begin with a later time.
func (r *run) selectLicenses(ctx context.Context, f catalog.LicenseFilter, partial bool) (filter store.LicenseFilter, err error) {
	err = r.jobs.ledger.View(ctx, func(tx *store.Tx) (err error) {
		filter, err = catalog.Selection(ctx, tx, r.p, f)
		return err
	})
	at, failed := decoded[position](r.job.Position)
	if failed != nil || err != nil {
		return filter, errors.Join(failed, err)
	}
	late := licensing.LicenseID(licensing.NewID(licensing.LicensePrefix, r.job.Created.Add(time.Millisecond), [10]byte{}))
	for at.Phase == "" || at.Phase == phaseSelect {
		var found []licensing.License
		if err := r.jobs.ledger.View(ctx, func(tx *store.Tx) (err error) {
			found, err = tx.Licenses(ctx, r.job.Env, filter, string(at.After), selectSize)
			return err
		}); err != nil {
			return filter, err
		}
		to := position{Phase: r.firstPhase(partial)}
		if len(found) == selectSize && found[len(found)-1].ID < late {
			to = position{Phase: phaseSelect, After: found[len(found)-1].ID}
		}
		var items []storedItem
		for _, l := range found {
			if l.ID < late {
				items = append(items, storedItem{License: l.ID})
			}
		}
		if err := r.step(ctx, func(tx *ledger.Tx, job *store.Job) (err error) {
			if now, err := decoded[position](job.Position); err != nil || now != at {
				to = now // an attempt has stored this page whose outcome was unknown
				return err
			}
			if job.Position, err = encoded(to); err != nil {
				return err
			}
			return add(ctx, tx, job, items)
		}); err != nil {
			return filter, err
		}
		at = to
	}
	r.job.Position, err = encoded(at)
	return filter, err
}

// storedOnce returns a function that is like stored, but a row whose license an earlier row also
// has is faulty.
func (r *run) storedOnce(ctx context.Context) (func(context.Context, *store.Tx, position) ([]item, error), error) {
	type row struct {
		n    int64
		line int
	}
	first := map[licensing.LicenseID]row{}
	for at := (position{}); ; {
		var items []item
		err := r.jobs.ledger.View(ctx, func(tx *store.Tx) (err error) {
			items, err = r.stored(ctx, tx, at)
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			break
		}
		for _, it := range items {
			if _, twice := first[it.license]; !twice {
				first[it.license] = row{at.Next, it.line}
			}
			at.Next++
		}
	}
	return func(ctx context.Context, tx *store.Tx, at position) ([]item, error) {
		items, err := r.stored(ctx, tx, at)
		for i := range items {
			if other := first[items[i].license]; items[i].license != "" && other.n != at.Next+int64(i) {
				if items[i].body, err = json.Marshal(faultyRow(licensing.Errorf(licensing.Invalid, "the license is already in line %d", other.line))); err != nil {
					return nil, err
				}
			}
		}
		return items, err
	}, nil
}
