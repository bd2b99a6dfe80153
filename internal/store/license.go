package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
)

// A LicenseFilter selects licenses that match every non-empty field.
type LicenseFilter struct {
	ID         licensing.LicenseID
	Customer   licensing.CustomerID
	Product    licensing.ProductName
	Plan       licensing.PlanName
	Revision   licensing.RevisionID   // the revision that grants the license
	Channel    string                 // the channel that the license follows
	NotGranted []licensing.RevisionID // another revision is in force
	NotProduct licensing.ProductName
	Pinned     bool // to a revision, not following a channel
	Status     licensing.Status
	Reference  string
	EndsBefore time.Time // the term has an end, and it is before this time
	ByEnd      bool      // with EndsBefore: sort by the end of the term, then by id
	AfterEnd   time.Time // with ByEnd: the end of the license that a list continues after
}

const licenseColumns = `env, id, product, customer, plan, revision, channel, granted, status, payment, reference,
	issued_at, start_at, end_at, maintenance_at, body, epoch, counter`

// insertedLicense adds a column that is only searched and not read: when the scheduled changes are
// due.
const insertedLicense = licenseColumns + `, change_at`

// licenseBody is the part of a license that no query searches.
type licenseBody struct {
	Edition    string                `json:"edition,omitempty"`
	TermEnd    time.Time             `json:"term_end,omitzero"`
	Renewed    []time.Time           `json:"renewed,omitempty"`
	Ended      []time.Time           `json:"ended,omitempty"`
	Addons     []licensing.Grant     `json:"addons,omitempty"`
	Exceptions []licensing.Exception `json:"exceptions,omitempty"`
	Scheduled  []licensing.Change    `json:"scheduled,omitempty"`
	ChangeAt   time.Time             `json:"change_at,omitzero"`
	Metadata   map[string]string     `json:"metadata,omitempty"`
}

// InsertLicense stores a new license and reports whether its id and its reference were free.
func (tx *Tx) InsertLicense(ctx context.Context, l licensing.License) (bool, error) {
	args, err := licenseArgs(l)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(ctx, `
		INSERT INTO license (`+insertedLicense+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		ON CONFLICT DO NOTHING`, args...)
	if c := tx.counts(); c != nil && n == 1 {
		c.licenses = append(c.licenses, groupOf(l))
	}
	return n == 1, err
}

// UpdateLicense replaces the license with id l.ID, which must exist.
func (tx *Tx) UpdateLicense(ctx context.Context, l licensing.License) error {
	args, err := licenseArgs(l)
	if err != nil {
		return err
	}
	if err := tx.willChange(ctx, l.Env, l.ID); err != nil {
		return err
	}
	_, err = tx.exec(ctx, `
		UPDATE license SET product = $3, customer = $4, plan = $5, revision = $6, channel = $7, granted = $8, status = $9,
			payment = $10, reference = $11, issued_at = $12, start_at = $13, end_at = $14, maintenance_at = $15,
			body = $16, epoch = $17, counter = $18, change_at = $19
		WHERE env = $1 AND id = $2`, args...)
	return err
}

func licenseArgs(l licensing.License) ([]any, error) {
	body, err := encode(licenseBody{l.Edition, l.TermEnd, l.Renewed, l.Ended, l.Addons, l.Exceptions, l.Scheduled, l.ChangeAt, l.Metadata})
	return []any{
		l.Env, l.ID, l.Product, l.Customer, l.Plan, l.Revision, l.Channel, l.Granted, l.Status, l.Payment, l.Reference,
		micros(l.Issued), micros(l.Start), micros(l.End), micros(l.Maintenance), body, l.Seq.Epoch, l.Seq.Counter,
		micros(l.ChangeAt),
	}, err
}

// License returns the license with the given id, and whether it exists.
func (tx *Tx) License(ctx context.Context, env licensing.Env, id licensing.LicenseID) (licensing.License, bool, error) {
	return tx.license(ctx, env, id, "")
}

// LockLicense is License, and prevents changes by other transactions until this one ends.
func (tx *Tx) LockLicense(ctx context.Context, env licensing.Env, id licensing.LicenseID) (licensing.License, bool, error) {
	return tx.license(ctx, env, id, tx.ForUpdate())
}

func (tx *Tx) license(ctx context.Context, env licensing.Env, id licensing.LicenseID, lock string) (licensing.License, bool, error) {
	rows, err := tx.query(ctx, `SELECT `+licenseColumns+` FROM license WHERE env = $1 AND id = $2`+lock, env, id)
	return only(collect(rows, err, scanLicense))
}

// Licenses returns up to limit licenses that match f with ids after the given one, sorted by id. If
// f sets ByEnd, they are sorted by the end of their term and then by id.
func (tx *Tx) Licenses(ctx context.Context, env licensing.Env, f LicenseFilter, after string, limit int) ([]licensing.License, error) {
	equalities, index, err := tx.narrowest(ctx, env, f)
	if err != nil {
		return nil, err
	}
	conditions, args, order := []string{"env = $1", "id > $2"}, []any{env, after, limit}, "id"
	if f.ByEnd {
		end := endOf(index)
		conditions, order = []string{"env = $1", "(" + end + ", id) > ($4, $2)"}, end+", id"
		args = append(args, max(1, micros(f.AfterEnd))) // licenses without an end have 0
	}
	where, args := f.where(equalities, index, conditions, args)
	rows, err := tx.query(ctx, `SELECT `+licenseColumns+` FROM license`+tx.indexed(index)+` WHERE `+where+` ORDER BY `+order+` LIMIT $3`, args...)
	return collect(rows, err, scanLicense)
}

// endOf returns the end of a license's term in a statement that uses an index. If that is another
// index, no index fits the expression.
func endOf(index string) string {
	if index == endIndex {
		return "end_at"
	}
	return "(end_at + 0)"
}

// probed is how many licenses are counted to find out whether a condition matches few.
const probed = 256

// narrowest returns the equalities that f sets, the one first that matches the fewest licenses, and
// the index that finds the licenses, "" for the primary key. If each equality matches many, a list
// by end uses the index of ends.
func (tx *Tx) narrowest(ctx context.Context, env licensing.Env, f LicenseFilter) (all []equality, index string, err error) {
	all = f.equalities()
	byEnd := f.ByEnd
	if len(all) == 0 || len(all) == 1 && !byEnd {
		return all, f.index(), nil
	}
	best, fewest := 0, int64(probed)
	for i, e := range all {
		if e.index == "" || e.index == referenceIndex { // at most one license
			best, fewest = i, 0
			break
		}
		n, err := tx.countLicenses(ctx, env, e, probed)
		if err != nil {
			return nil, "", err
		}
		if n < fewest {
			best, fewest = i, n
		}
	}
	all[0], all[best] = all[best], all[0]
	if byEnd && fewest == probed {
		return all, endIndex, nil
	}
	return all, all[0].index, nil
}

// countLicenses counts up to limit licenses that match an equality.
func (tx *Tx) countLicenses(ctx context.Context, env licensing.Env, e equality, limit int) (n int64, err error) {
	_, err = tx.row(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM license`+tx.indexed(e.index)+` WHERE env = $1 AND `+e.column+` = $2 LIMIT $3) AS few`,
		[]any{env, e.value, limit}, &n)
	return n, err
}

// maxJoined limits the number of licenses whose leases or usage a list by customer or product looks
// up. If there are more, enough of all rows match, and the list reads them in order.
const maxJoined = 4096

// joined returns the equality by which a list of leases or usage finds its licenses, or a zero
// equality if each matches too many.
func (tx *Tx) joined(ctx context.Context, env licensing.Env, f LicenseFilter) (equality, error) {
	for _, e := range f.equalities() {
		n, err := tx.countLicenses(ctx, env, e, maxJoined)
		if err != nil || n < maxJoined {
			return e, err
		}
	}
	return equality{}, nil
}

// These are indexes that statements name.
const (
	referenceIndex = "license_reference"
	customerIndex  = "license_customer"
	productIndex   = "license_product"
	endIndex       = "license_end"
)

// An equality is a condition of a filter on one column, with the column's index.
type equality struct{ column, index, value string }

// equalities returns the equalities that f sets, the one first that is expected to match the fewest
// licenses.
func (f LicenseFilter) equalities() []equality {
	active, other := f.Status, f.Status // most licenses are active, and few are not
	if f.Status == licensing.Active {
		other = ""
	} else {
		active = ""
	}
	return slices.DeleteFunc([]equality{
		{"id", "", string(f.ID)}, {"reference", referenceIndex, f.Reference}, {"customer", customerIndex, string(f.Customer)},
		{"status", "license_status", string(other)}, {"granted", "license_granted", string(f.Revision)}, {"plan", "license_plan", string(f.Plan)},
		{"product", productIndex, string(f.Product)}, {"status", "license_status", string(active)},
	}, func(e equality) bool { return e.value == "" })
}

// index returns the index of the first equality, or that of ends, or "" for the primary key.
func (f LicenseFilter) index() string {
	switch all := f.equalities(); {
	case len(all) > 0:
		return all[0].index
	case f.ByEnd:
		return endIndex
	}
	return ""
}

// where adds the conditions of f, for a statement that uses an index. The texts differ only in which
// fields are set, and in which equality is the narrowest, so few of them are ever prepared.
func (f LicenseFilter) where(equalities []equality, index string, conditions []string, args []any) (string, []any) {
	add := func(set bool, condition string, value any) {
		if set {
			args = append(args, value)
			conditions = append(conditions, fmt.Sprintf(condition, len(args)))
		}
	}
	for _, e := range equalities {
		condition := e.column + " = $%d"
		if e.index != index { // no index for it: an engine without statistics could choose the worse one
			condition = "(" + e.column + " || '') = $%d"
		}
		add(true, condition, e.value)
	}
	if f.Reference != "" {
		conditions = append(conditions, "reference <> ''") // the index has no empty ones
	}
	add(f.Channel != "", "channel = $%d AND revision = ''", f.Channel)
	for _, id := range f.NotGranted {
		add(true, "granted <> $%d", id)
	}
	add(f.NotProduct != "", "product <> $%d", f.NotProduct)
	if f.Pinned {
		conditions = append(conditions, "revision <> ''")
	}
	add(!f.EndsBefore.IsZero(), endOf(index)+" > 0 AND "+endOf(index)+" < $%d", micros(f.EndsBefore))
	return strings.Join(conditions, " AND "), args
}

// DueLicenses returns up to limit licenses, from all environments, whose scheduled changes may be
// due, earliest first.
func (tx *Tx) DueLicenses(ctx context.Context, now time.Time, limit int) ([]LicenseRef, error) {
	rows, err := tx.query(ctx, `SELECT env, id FROM license WHERE change_at <> 0 AND change_at <= $1 AND status <> $2
		ORDER BY change_at, env, id LIMIT $3`, micros(now), licensing.Revoked, limit)
	return collect(rows, err, func(r Row) (k LicenseRef, err error) {
		return k, r.Scan(&k.Env, &k.ID)
	})
}

// FirstChange returns when the earliest scheduled changes of a license may be due, or zero if there
// are none.
func (tx *Tx) FirstChange(ctx context.Context) (time.Time, error) {
	var due int64
	_, err := tx.row(ctx, `SELECT change_at FROM license WHERE change_at <> 0 AND status <> $1 ORDER BY change_at LIMIT 1`, []any{licensing.Revoked}, &due)
	return instant(due), err
}

// ForgetDue removes a license from those with scheduled changes. It is needed if a server of an
// earlier version has made the changes.
func (tx *Tx) ForgetDue(ctx context.Context, env licensing.Env, id licensing.LicenseID) error {
	_, err := tx.exec(ctx, `UPDATE license SET change_at = 0 WHERE env = $1 AND id = $2`, env, id)
	return err
}

// A LicenseCount is the number of licenses of a plan with one status.
type LicenseCount struct {
	Plan   licensing.PlanName
	Status licensing.Status
	Ended  bool // their term had ended at the given time
	Count  int64
}

// CountLicenses counts the licenses that match f, by plan and status.
func (tx *Tx) CountLicenses(ctx context.Context, env licensing.Env, f LicenseFilter, now time.Time) ([]LicenseCount, error) {
	if counts, known, err := tx.countTallied(ctx, env, f, now); known || err != nil {
		return counts, err
	}
	where, args := f.where(f.equalities(), f.index(), []string{"env = $1"}, []any{env, micros(now)})
	rows, err := tx.query(ctx, `
		SELECT plan, status, CASE WHEN end_at <> 0 AND end_at <= $2 THEN 1 ELSE 0 END AS ended, COUNT(*)
		FROM license WHERE `+where+` GROUP BY plan, status, ended ORDER BY plan, status, ended`, args...)
	return collect(rows, err, func(r Row) (n LicenseCount, err error) {
		var ended int64
		err = r.Scan(&n.Plan, &n.Status, &ended, &n.Count)
		n.Ended = ended != 0
		return n, err
	})
}

// EndingLicenses returns up to limit active licenses that match f and whose term ends at or after
// from, soonest first.
func (tx *Tx) EndingLicenses(ctx context.Context, env licensing.Env, f LicenseFilter, from time.Time, limit int) ([]licensing.License, error) {
	where, args := f.where(f.equalities(), f.index(), []string{"env = $1", "end_at >= $2", "end_at <> 0", "(status || '') = '" + string(licensing.Active) + "'"}, []any{env, micros(from), limit})
	rows, err := tx.query(ctx, `SELECT `+licenseColumns+` FROM license WHERE `+where+` ORDER BY end_at, id LIMIT $3`, args...)
	return collect(rows, err, scanLicense)
}

// FullestPools returns up to limit pools in use of the licenses that match f, pools of active
// licenses first. It sorts them by the share of the last stored capacity that is in use.
func (tx *Tx) FullestPools(ctx context.Context, env licensing.Env, f LicenseFilter, limit int) ([]Pool, error) {
	if pools, known, err := tx.fullestTallied(ctx, env, f, limit); known || err != nil {
		return pools, err
	}
	where, args := f.where(f.equalities(), f.index(), []string{"license.env = $1"}, []any{env, limit, licensing.Active, micros(tx.Now())})
	rows, err := tx.query(ctx, `
		SELECT `+poolColumns+` FROM pool p JOIN license ON license.env = p.env AND license.id = p.license
		WHERE p.held > 0 AND `+where+`
		ORDER BY CASE WHEN license.status = $3 AND (license.end_at = 0 OR license.end_at > $4) THEN 0 ELSE 1 END,
			p.held * 1000 / CASE WHEN p.capacity > 0 THEN p.capacity ELSE 1 END DESC, p.license, p.name LIMIT $2`, args...)
	return collect(rows, err, scanPool)
}

func scanLicense(r Row) (l licensing.License, err error) {
	var issued, start, end, maintenance int64
	var text string
	if err := r.Scan(&l.Env, &l.ID, &l.Product, &l.Customer, &l.Plan, &l.Revision, &l.Channel, &l.Granted, &l.Status,
		&l.Payment, &l.Reference, &issued, &start, &end, &maintenance, &text, &l.Seq.Epoch, &l.Seq.Counter); err != nil {
		return l, err
	}
	l.Issued, l.Start, l.End, l.Maintenance = instant(issued), instant(start), instant(end), instant(maintenance)
	var body licenseBody
	err = decode(text, &body)
	l.Edition, l.Addons, l.Exceptions, l.Metadata = body.Edition, body.Addons, body.Exceptions, body.Metadata
	l.TermEnd, l.Renewed, l.Ended, l.Scheduled, l.ChangeAt = body.TermEnd, body.Renewed, body.Ended, body.Scheduled, body.ChangeAt
	return l, err
}

// Held returns the units in use of each pool of a license.
func (tx *Tx) Held(ctx context.Context, env licensing.Env, id licensing.LicenseID) (map[string]int64, error) {
	return tx.held(ctx, env, id, "")
}

// HeldOf returns the units in use of each pool of several licenses.
func (tx *Tx) HeldOf(ctx context.Context, env licensing.Env, all []licensing.License) (map[licensing.LicenseID]map[string]int64, error) {
	of := make(map[licensing.LicenseID]map[string]int64, len(all))
	if len(all) == 0 {
		return of, nil
	}
	c := &conditions{}
	c.add("env = $%d", env)
	ids := make([]any, len(all))
	for i, l := range all {
		ids[i], of[l.ID] = l.ID, map[string]int64{}
	}
	c.add("license IN ("+strings.TrimSuffix(strings.Repeat("$%d, ", len(ids)), ", ")+")", ids...)
	rows, err := tx.query(ctx, `SELECT license, name, held FROM pool WHERE held > 0 AND `+c.String(), c.args...)
	if err != nil {
		return nil, err
	}
	return of, each(rows, func(r Row) error {
		var id licensing.LicenseID
		var name string
		var held int64
		if err := r.Scan(&id, &name, &held); err != nil {
			return err
		}
		of[id][name] = held
		return nil
	})
}

// LockHeld is Held, and prevents grants and releases until the transaction ends.
func (tx *Tx) LockHeld(ctx context.Context, env licensing.Env, id licensing.LicenseID) (map[string]int64, error) {
	return tx.held(ctx, env, id, tx.ForUpdate())
}

func (tx *Tx) held(ctx context.Context, env licensing.Env, id licensing.LicenseID, lock string) (map[string]int64, error) {
	type pool struct {
		name string
		held int64
	}
	rows, err := tx.query(ctx, `
		SELECT name, held FROM pool WHERE env = $1 AND license = $2 AND held > 0 ORDER BY name`+lock, env, id)
	pools, err := collect(rows, err, func(r Row) (p pool, err error) {
		err = r.Scan(&p.name, &p.held)
		return p, err
	})
	held := make(map[string]int64, len(pools))
	for _, p := range pools {
		held[p.name] = p.held
	}
	return held, err
}

// OverPool records that a pool has been over its capacity since at, unless that is already
// recorded.
func (tx *Tx) OverPool(ctx context.Context, env licensing.Env, id licensing.LicenseID, pool string, at time.Time) error {
	_, err := tx.exec(ctx, `
		UPDATE pool SET over_since = $4 WHERE env = $1 AND license = $2 AND name = $3 AND over_since = 0`,
		env, id, pool, micros(at))
	return err
}
