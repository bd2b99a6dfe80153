package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// MaxIssue is the maximum number of licenses that one request can issue.
const MaxIssue = 1000

// DefaultChannel is the channel of a plan file that names no channel.
const DefaultChannel = "stable"

// IssueLicense grants a plan to a customer.
func (c *Catalog) IssueLicense(ctx context.Context, p access.Principal, req v1.IssueRequest) (v1.Issued, error) {
	all, err := c.IssueLicenses(ctx, p, []v1.IssueRequest{req})
	if err != nil {
		return v1.Issued{}, err
	}
	return all[0], nil
}

// IssueLicenses issues up to MaxIssue licenses, all or none.
func (c *Catalog) IssueLicenses(ctx context.Context, p access.Principal, requests []v1.IssueRequest) ([]v1.Issued, error) {
	if err := request.Require(p, access.LicenseIssue); err != nil {
		return nil, err
	}
	if len(requests) == 0 || len(requests) > MaxIssue {
		return nil, licensing.Errorf(licensing.TooLarge, "the request has %d licenses; it must have 1 to %d", len(requests), MaxIssue)
	}
	issued, err := Once(ctx, c.ledger, p, requests, func(tx *ledger.Tx) ([]v1.Issued, error) {
		i := NewIssuing(tx, p)
		all := make([]v1.Issued, len(requests))
		for n, req := range requests {
			var err error
			if all[n], err = i.Issue(ctx, req); err != nil && len(requests) > 1 {
				return nil, licensing.Errorf(licensing.CodeOf(err), "license %d of %d: %w", n+1, len(requests), err)
			} else if err != nil {
				return nil, err
			}
		}
		return all, nil
	})
	return issued, err
}

// An Issuing is one transaction that issues licenses. It looks up each plan and customer once.
type Issuing struct {
	*ledger.Tx
	p         access.Principal
	plans     map[planAt]licensing.Revision
	customers map[licensing.CustomerID]string // from id to name
}

// NewIssuing returns an Issuing for p in tx.
func NewIssuing(tx *ledger.Tx, p access.Principal) *Issuing {
	return &Issuing{Tx: tx, p: p, plans: map[planAt]licensing.Revision{}, customers: map[licensing.CustomerID]string{}}
}

type planAt struct {
	plan     licensing.PlanName
	channel  string
	revision licensing.RevisionID
}

// Issue issues a license with its first key.
func (i *Issuing) Issue(ctx context.Context, req v1.IssueRequest) (v1.Issued, error) {
	l, err := i.grant(ctx, req)
	if err != nil {
		return v1.Issued{}, err
	}
	key, err := newKey(ctx, i.Tx, l, time.Time{})
	if err != nil {
		return v1.Issued{}, err
	}
	return v1.Issued{License: v1.License(l), Key: key}, noteIssued(i.Tx, licensing.LicenseIssued, l)
}

// grant stores the license that req requests, without a key.
func (i *Issuing) grant(ctx context.Context, req v1.IssueRequest) (licensing.License, error) {
	var l licensing.License
	if err := request.CheckTexts(request.Text{Field: "reference", Value: req.Reference}); err != nil {
		return l, err
	}
	rev, err := i.revision(ctx, &req)
	if err != nil {
		return l, err
	}
	if _, known := i.customers[req.Customer]; !known {
		customer, err := SeenCustomer(ctx, i.Tx.Tx, i.p, req.Customer)
		if err != nil {
			return l, err
		}
		i.customers[req.Customer] = customer.Name
	}
	if l, err = licenseOf(req, rev, i.p, i.Now()); err != nil {
		return l, err
	}
	l.Seq.Epoch, l.Seq.Counter = i.Epoch(), 1
	terms, err := licensing.Fit(rev, l, i.Now())
	if err != nil {
		return l, err
	}
	if err := checkTrial(ctx, i.Tx, terms); err != nil {
		return l, err
	}
	l = terms.Scaled(l)
	free, err := i.InsertLicense(ctx, l)
	if err == nil && !free {
		err = licensing.Errorf(licensing.Exists, "reference %q belongs to another license", l.Reference).At("reference")
	}
	if err != nil {
		return l, err
	}
	return l, takeTrial(ctx, i.Tx, terms)
}

// revision finds the revision that req grants, and fills in the channel if req omits it.
func (i *Issuing) revision(ctx context.Context, req *v1.IssueRequest) (licensing.Revision, error) {
	if req.Channel == "" && req.Revision == "" {
		req.Channel = DefaultChannel
	}
	at := planAt{req.Plan, req.Channel, req.Revision}
	rev, ok := i.plans[at]
	if !ok {
		var err error
		if rev, err = seenRevision(ctx, i.Tx.Tx, i.p, req.Plan, req.Channel, req.Revision); err != nil {
			return rev, err
		}
		i.plans[at] = rev
	}
	if req.Revision != "" {
		req.Revision = rev.ID
	}
	if req.Product != "" && req.Product != rev.Plan.Product {
		return rev, licensing.Errorf(licensing.Invalid, "plan %s belongs to product %s, not %s", req.Plan, rev.Plan.Product, req.Product).At("product")
	}
	return rev, nil
}

// licenseOf returns the license that req requests at now, without an id.
func licenseOf(req v1.IssueRequest, rev licensing.Revision, p access.Principal, now time.Time) (licensing.License, error) {
	l := licensing.License{
		Env: p.Env, ID: licensing.LicenseID(ledger.NewID(licensing.LicensePrefix, now)),
		Product: rev.Plan.Product, Customer: req.Customer, Plan: req.Plan, Channel: req.Channel, Revision: req.Revision, Granted: rev.ID,
		Edition: req.Edition, Payment: req.Payment, Reference: req.Reference, Metadata: req.Metadata, Addons: req.Addons,
	}
	if l.Payment == "" {
		l.Payment = licensing.Paid
	}
	l.Exceptions = append(stamped(req.Exceptions, p, now), capacities(req.Capacity, p, now)...)
	l, err := rev.Plan.Term.Issue(l, now, req.Start)
	if err != nil {
		return l, err
	}
	if !req.End.IsZero() {
		l.End = req.End.UTC().Truncate(time.Second)
	}
	if !req.Maintenance.IsZero() {
		l.Maintenance = req.Maintenance.UTC().Truncate(time.Second)
	}
	if err := l.CheckDates(); err != nil {
		return l, err
	}
	return l, l.Check()
}

// stamped returns exceptions with their ids, their author and their time.
func stamped(all []licensing.Exception, p access.Principal, now time.Time) []licensing.Exception {
	all = slices.Clone(all)
	for n := range all {
		all[n].ID = licensing.ExceptionID(ledger.NewID(licensing.ExceptionPrefix, now))
		all[n].By, all[n].At = p.Actor, now
	}
	return all
}

// capacityReason marks exceptions that a capacity request makes, so that the next request replaces
// them.
const capacityReason = "capacity set"

func capacities(of map[string]int64, p access.Principal, now time.Time) []licensing.Exception {
	var all []licensing.Exception
	for _, pool := range slices.Sorted(maps.Keys(of)) {
		all = append(all, licensing.Exception{
			Pool: pool, Adjust: licensing.Adjustment{Amount: of[pool]}, Reason: capacityReason,
		})
	}
	return stamped(all, p, now)
}

// A LicenseFilter selects licenses. Empty fields match every license.
type LicenseFilter struct {
	Customer   licensing.CustomerID
	Product    licensing.ProductName
	Plan       licensing.PlanName
	Revision   licensing.RevisionID // the revision that grants the license
	Status     licensing.Status
	Reference  string
	EndsBefore time.Time // the term has an end, and it is before this time
}

func (f LicenseFilter) stored() store.LicenseFilter {
	return store.LicenseFilter{
		Customer: f.Customer, Product: f.Product, Plan: f.Plan, Revision: f.Revision,
		Status: f.Status, Reference: f.Reference, EndsBefore: f.EndsBefore,
	}
}

// Licenses returns the licenses that match f and that p may see, by id, which is by time. If f sets
// EndsBefore, they are sorted by the end of their term.
func (c *Catalog) Licenses(ctx context.Context, p access.Principal, f LicenseFilter, of request.PageOf) (request.Page[v1.ListedLicense], error) {
	var found request.Page[v1.ListedLicense]
	if err := request.Require(p, access.LicenseRead); err != nil {
		return found, err
	}
	noun, position := "license", func(l v1.ListedLicense) string { return string(l.ID) }
	if !f.EndsBefore.IsZero() {
		noun, position = "ending_license", func(l v1.ListedLicense) string { return strconv.FormatInt(l.End.UnixMicro(), 10) + " " + string(l.ID) }
	}
	after, rows, err := of.After(noun)
	if err != nil {
		return found, err
	}
	var afterEnd time.Time
	if end, id, ok := strings.Cut(after, " "); ok {
		us, err := strconv.ParseInt(end, 10, 64)
		if err != nil {
			return found, licensing.Errorf(licensing.Invalid, "the cursor does not belong to this list").At("cursor")
		}
		after, afterEnd = id, time.UnixMicro(us)
	}
	stored := f.stored()
	stored.ByEnd, stored.AfterEnd = !f.EndsBefore.IsZero(), afterEnd
	scope, possible := Scoped(p, stored)
	if !possible {
		return found, nil
	}
	err = c.ledger.DB.View(ctx, func(tx *store.Tx) error {
		match, err := grantedBy(ctx, tx, p, scope)
		if err != nil {
			return err
		}
		licenses, err := tx.Licenses(ctx, p.Env, match, after, rows)
		if err != nil {
			return err
		}
		listed, err := listedLicenses(ctx, tx, licenses)
		found = request.NewPage(noun, listed, rows, position)
		return err
	})
	return found, err
}

// grantedBy returns f with the complete name of its revision. If f names no plan, it searches the
// plans that p may see.
func grantedBy(ctx context.Context, tx *store.Tx, p access.Principal, f store.LicenseFilter) (store.LicenseFilter, error) {
	if f.Revision == "" {
		return f, nil
	}
	plans := []licensing.PlanName{f.Plan}
	if f.Plan == "" {
		stored, err := tx.Plans(ctx, p.Env, cmp.Or(f.Product, p.Product), "", maxPlans)
		if err != nil {
			return f, err
		}
		plans = plans[:0]
		for _, row := range stored {
			plans = append(plans, row.Name)
		}
	}
	var found []licensing.RevisionID
	for _, plan := range plans {
		rev, err := namedRevision(ctx, tx, p.Env, plan, f.Revision)
		switch licensing.CodeOf(err) {
		case "":
			found = append(found, rev.ID)
		case licensing.NotFound:
		default:
			return f, err
		}
	}
	switch len(found) {
	case 0:
		return f, licensing.Errorf(licensing.NotFound, "revision %s does not exist", f.Revision).At("revision")
	case 1:
		f.Revision = found[0]
		return f, nil
	}
	return f, licensing.Errorf(licensing.Invalid, "revision %s matches more than one revision: use a longer prefix, or name the plan", f.Revision).At("revision")
}

// maxPlans is how many plans are searched for a revision.
const maxPlans = 10_000

// Scoped narrows f to what p may see. It returns false if nothing can match.
func Scoped(p access.Principal, f store.LicenseFilter) (store.LicenseFilter, bool) {
	if f.Customer != "" && !p.SeesCustomer(f.Customer) || f.Product != "" && !p.SeesProduct(f.Product) ||
		p.Role == access.Customer && p.Customer == "" {
		return f, false
	}
	if p.Customer != "" {
		f.Customer = p.Customer
	}
	if p.Product != "" {
		f.Product = p.Product
	}
	return f, true
}

// License returns one license that p may see.
func (c *Catalog) License(ctx context.Context, p access.Principal, id licensing.LicenseID) (licensing.License, error) {
	var found licensing.License
	if err := request.Require(p, access.LicenseRead); err != nil {
		return found, err
	}
	err := c.ledger.DB.View(ctx, func(tx *store.Tx) (err error) {
		found, err = SeenLicense(ctx, tx, p, id)
		return err
	})
	return found, err
}

// SeenLicense returns a license that p may see. The error is NotFound if it does not exist or p may
// not see it.
func SeenLicense(ctx context.Context, tx *store.Tx, p access.Principal, id licensing.LicenseID) (licensing.License, error) {
	l, ok, err := tx.License(ctx, p.Env, id)
	return Seen(p, l, ok, err, id)
}

// Seen returns l, the result of a lookup by id, if p may see it, and NotFound otherwise.
func Seen(p access.Principal, l licensing.License, ok bool, err error, id licensing.LicenseID) (licensing.License, error) {
	if err == nil && (!ok || !p.Sees(l.Customer, l.Product)) {
		return licensing.License{}, request.NotFound("license", id)
	}
	return l, err
}

// AboutLicense returns the part that is common to all events about l.
func AboutLicense(l licensing.License) licensing.Event {
	return licensing.Event{License: l.ID, Customer: l.Customer, Product: l.Product}
}

// alterLicense makes one change to a license that p may see. fn returns the changed license and the
// data for an event of the given kind. If the license does not change, nothing is stored or logged.
func (c *Catalog) alterLicense(ctx context.Context, p access.Principal, id licensing.LicenseID, kind string, request any,
	fn func(*ledger.Tx, licensing.License) (licensing.License, any, error)) (licensing.License, error) {
	return c.once(ctx, p, alteration{id, kind, request}, func(tx *ledger.Tx) (licensing.License, error) { return alter(ctx, tx, p, id, kind, fn) })
}

// once makes one change to a license, once for each Idempotency-Key.
func (c *Catalog) once(ctx context.Context, p access.Principal, request alteration, fn func(*ledger.Tx) (licensing.License, error)) (licensing.License, error) {
	altered, err := Once(ctx, c.ledger, p, request, func(tx *ledger.Tx) (v1.License, error) {
		l, err := fn(tx)
		return v1.License(l), err
	})
	return licensing.License(altered), err
}

func alter(ctx context.Context, tx *ledger.Tx, p access.Principal, id licensing.LicenseID, kind string,
	fn func(*ledger.Tx, licensing.License) (licensing.License, any, error)) (licensing.License, error) {
	l, ok, err := tx.LockLicense(ctx, p.Env, id)
	if l, err = Seen(p, l, ok, err, id); err != nil {
		return l, err
	}
	altered, data, err := fn(tx, l)
	if err != nil {
		return l, err
	}
	if altered, err = granted(ctx, tx.Tx, altered); err != nil {
		return l, err
	}
	if same, err := l.Same(altered); err != nil || same {
		return l, err
	}
	return StoreLicense(ctx, tx, altered, kind, data)
}

// An alteration is the request that an Idempotency-Key identifies.
type alteration struct {
	License licensing.LicenseID
	Kind    string
	Request any
}

// StoreLicense stores a changed license with a higher seq and records the change.
func StoreLicense(ctx context.Context, tx *ledger.Tx, l licensing.License, kind string, data any) (licensing.License, error) {
	if err := l.Check(); err != nil {
		return l, err
	}
	l, err := granted(ctx, tx.Tx, l)
	if err != nil {
		return l, err
	}
	l.Seq.Epoch, l.Seq.Counter = tx.Epoch(), l.Seq.Counter+1
	if err := tx.UpdateLicense(ctx, l); err != nil {
		return l, err
	}
	tx.LicenseStored(l.Env, l.ID, l.Seq)
	return l, NoteLicense(tx, kind, l, data)
}

// granted returns l with the revision in force, which a change may have left empty.
func granted(ctx context.Context, tx *store.Tx, l licensing.License) (licensing.License, error) {
	if l.Granted != "" {
		return l, nil
	}
	rev, err := RevisionOf(ctx, tx, l)
	l.Granted = rev.ID
	return l, err
}

// noteIssued records a new license. The entry contains the license, and the license's row is later
// checked against it.
func noteIssued(tx *ledger.Tx, kind string, l licensing.License) error {
	about := AboutLicense(l)
	about.Env = l.Env
	return tx.Note(kind, about, entry.License(l))
}

// NoteLicense records a change of l and its result, so that the row can be checked against the log.
func NoteLicense(tx *ledger.Tx, kind string, l licensing.License, data any) error {
	stand, err := l.Snapshot()
	if err != nil {
		return err
	}
	members := map[string]json.RawMessage{}
	if data != nil {
		text, err := json.Marshal(data)
		if err == nil {
			err = json.Unmarshal(text, &members)
		}
		if err != nil {
			return licensing.Errorf(licensing.Internal, "encoding the data of event %s: %w", kind, err)
		}
	}
	if members["stands"], err = json.Marshal(stand); err != nil {
		return err
	}
	about := AboutLicense(l)
	about.Env = l.Env
	return tx.Note(kind, about, members)
}
