package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"copyhold.dev/internal/licensing"
)

const leaseColumns = `l.env, l.id, l.license, l.pool, l.holder, l.instance, l.units, l.charge, l.generation,
	l.granted_at, l.renewed_at, l.expires_at, l.borrowed, l.nonce, l.cloned_at, l.ended_at, l.ended_by, l.due, l.requests, l.asker`

var (
	insertLeases = newMultirow(`INSERT INTO lease (env, id, license, pool, holder, instance, units, charge, generation,
		granted_at, renewed_at, expires_at, borrowed, nonce, cloned_at, ended_at, ended_by, due, requests, asker) VALUES `, 20, "", ``)
	putLeases = newMultirow(`UPDATE lease SET units = v.column3, charge = v.column4, generation = v.column5, renewed_at = v.column6,
		expires_at = v.column7, borrowed = v.column8, nonce = v.column9, cloned_at = v.column10, ended_at = v.column11,
		ended_by = v.column12, due = v.column13, requests = v.column14, asker = v.column15 FROM (VALUES `, 15, "ttiiiiiitiititt", `) v
		WHERE lease.env = v.column1 AND lease.id = v.column2`)
	// The value that is compared with zero comes from the list. With a condition on the lease
	// alone, an engine could scan all live leases instead of finding each one by its key.
	endLeases = newFixed(2, `UPDATE lease SET ended_at = $1, ended_by = '`+string(licensing.EndReleased)+`', due = $2 FROM (VALUES `, 4, "ttti", `) v
		WHERE lease.env = v.column1 AND lease.id = v.column2 AND (lease.license || '') = v.column3 AND lease.ended_at = 0 * v.column4
		AND lease.generation = v.column4 RETURNING lease.env, lease.license, lease.id, lease.generation, lease.pool, lease.holder, lease.instance, lease.charge`)
	readLeases = newLocking(`SELECT `+leaseColumns+` FROM (VALUES `, 2, "tt", `) v
		CROSS JOIN lease l WHERE l.env = v.column1 AND l.id = v.column2`, " FOR UPDATE OF l")
	forgetLeases = newMultirow(`DELETE FROM lease WHERE (env, id) IN (VALUES `, 2, "tt", `)`)
)

func scanLease(rows Row) (l licensing.Lease, err error) {
	var granted, renewed, expires, borrowed, cloned, ended, due int64
	var asker string
	err = rows.Scan(&l.Env, &l.ID, &l.License, &l.Pool, &l.Holder, &l.Instance, &l.Units, &l.Charge, &l.Generation,
		&granted, &renewed, &expires, &borrowed, &l.Nonce, &cloned, &ended, &l.EndedBy, &due, &l.Requests, &asker)
	if err != nil {
		return l, err
	}
	l.Granted, l.Renewed, l.Expires = instant(granted), instant(renewed), instant(expires)
	l.Cloned, l.Ended, l.Due, l.Borrowed = instant(cloned), instant(ended), instant(due), borrowed != 0
	l.Asker, err = decodeAsker(asker)
	return l, err
}

func decodeAsker(s string) (a licensing.Asker, err error) {
	if s != "" {
		err = json.Unmarshal([]byte(s), &a)
	}
	return a, err
}

// encodeAsker returns an empty text for a zero asker.
func encodeAsker(a licensing.Asker) (string, error) {
	if a.IsZero() {
		return "", nil
	}
	b, err := json.Marshal(a)
	return string(b), err
}

// beginAsker returns the beginning of encodeAsker's result for a holder of the given kind.
func beginAsker(kind string) (string, error) {
	text, err := encodeAsker(licensing.Asker{Kind: kind})
	return strings.TrimSuffix(text, "}"), err
}

// encodeCaller returns an empty text for a zero caller.
func encodeCaller(c licensing.Caller) (string, error) {
	if c == (licensing.Caller{}) {
		return "", nil
	}
	b, err := json.Marshal(c)
	return string(b), err
}

func decodeCaller(s string) (c licensing.Caller, err error) {
	if s != "" {
		err = json.Unmarshal([]byte(s), &c)
	}
	return c, err
}

func flag(b bool) int64 { return int64(btoi(b)) }

// InsertLeases stores new leases. The arguments have types that drivers support directly. For other
// types, package sql would use reflection and copy each value.
func (tx *Tx) InsertLeases(ctx context.Context, leases []*licensing.Lease) error {
	args := make([]any, 0, 20*len(leases))
	for _, l := range leases {
		asker, err := encodeAsker(l.Asker)
		if err != nil {
			return err
		}
		args = append(args, string(l.Env), string(l.ID), string(l.License), l.Pool, l.Holder, l.Instance, l.Units, l.Charge, l.Generation,
			micros(l.Granted), micros(l.Renewed), micros(l.Expires), flag(l.Borrowed), l.Nonce, micros(l.Cloned),
			micros(l.Ended), string(l.EndedBy), micros(l.Due), l.Requests, asker)
	}
	return tx.putMany(ctx, &insertLeases, args)
}

// PutLeases stores the mutable fields of existing leases. It also writes unchanged rows, because a
// repeated answer must wait for the standby again.
func (tx *Tx) PutLeases(ctx context.Context, leases []*licensing.Lease) error {
	args := make([]any, 0, 15*len(leases))
	for _, l := range leases {
		asker, err := encodeAsker(l.Asker)
		if err != nil {
			return err
		}
		args = append(args, string(l.Env), string(l.ID), l.Units, l.Charge, l.Generation, micros(l.Renewed), micros(l.Expires), flag(l.Borrowed),
			l.Nonce, micros(l.Cloned), micros(l.Ended), string(l.EndedBy), micros(l.Due), l.Requests, asker)
	}
	return tx.putMany(ctx, &putLeases, args)
}

// A Release identifies a lease by the fields that its holder knows.
type Release struct {
	Env        licensing.Env
	License    licensing.LicenseID
	Lease      licensing.LeaseID
	Generation int64
}

// A Released is a release that ended its lease, with the fields of the lease.
type Released struct {
	Release
	Pool     string
	Holder   string
	Instance string
	Charge   int64
}

// AskRelease ends the leases that are live in the given generation and appends them to ended. One
// statement reads and writes. It has run, at the latest, after Flush.
func (tx *Tx) AskRelease(ctx context.Context, releases []Release, now, forget time.Time, ended *[]Released) error {
	args := make([]any, 0, 2+4*len(releases))
	args = append(args, micros(now), micros(forget))
	for _, r := range releases {
		args = append(args, string(r.Env), string(r.Lease), string(r.License), r.Generation)
	}
	return tx.askMany(ctx, &endLeases, args, func(rows Row) error {
		var r Released
		err := rows.Scan(&r.Env, &r.License, &r.Lease, &r.Generation, &r.Pool, &r.Holder, &r.Instance, &r.Charge)
		*ended = append(*ended, r)
		return err
	})
}

// A LeaseKey identifies a lease.
type LeaseKey struct {
	Env licensing.Env
	ID  licensing.LeaseID
}

// Leases returns the remembered leases with these keys, in any order. In a write transaction they
// stay locked until the commit.
func (tx *Tx) Leases(ctx context.Context, keys []LeaseKey) (leases []*licensing.Lease, err error) {
	if err := tx.AskLeases(ctx, keys, &leases); err != nil {
		return nil, err
	}
	return leases, tx.flush(ctx)
}

// AskLeases is Leases, but the result is available after Flush.
func (tx *Tx) AskLeases(ctx context.Context, keys []LeaseKey, leases *[]*licensing.Lease) error {
	args := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, string(k.Env), string(k.ID))
	}
	return tx.askMany(ctx, &readLeases, args, func(rows Row) error {
		l, err := scanLease(rows)
		*leases = append(*leases, &l)
		return err
	})
}

// Lease returns one lease. The error is NotFound if it was never granted or has been forgotten.
func (tx *Tx) Lease(ctx context.Context, k LeaseKey) (licensing.Lease, error) {
	found, err := tx.Leases(ctx, []LeaseKey{k})
	if err != nil {
		return licensing.Lease{}, err
	}
	if len(found) == 0 {
		return licensing.Lease{}, licensing.Errorf(licensing.NotFound, "lease %s does not exist", k.ID)
	}
	return *found[0], nil
}

// HolderLeases returns the live leases of one holder in a pool.
func (tx *Tx) HolderLeases(ctx context.Context, k PoolKey, holder string) ([]*licensing.Lease, error) {
	return tx.leases(ctx, `SELECT `+leaseColumns+` FROM lease l
		WHERE l.env = $1 AND l.license = $2 AND l.pool = $3 AND l.holder = $4 AND l.ended_at = 0
		ORDER BY l.instance`, k.Env, k.License, k.Name, holder)
}

// ForcedLeases returns the remembered leases of a holder in a pool that were ended by force.
func (tx *Tx) ForcedLeases(ctx context.Context, k PoolKey, holder string) ([]*licensing.Lease, error) {
	return tx.leases(ctx, `SELECT `+leaseColumns+` FROM lease l
		WHERE l.env = $1 AND l.license = $2 AND l.pool = $3 AND l.holder = $4 AND l.ended_by = 'forced'
		ORDER BY l.id`, k.Env, k.License, k.Name, holder)
}

// shared selects the usable leases of a pool whose units are charged to other leases.
const shared = ` WHERE env = $1 AND license = $2 AND pool = $3 AND charge = 0 AND (ended_at = 0 OR ended_by = 'forced' AND expires_at > $4)`

// SharedUnits returns the units of a pool's leases that are charged to other leases. It excludes
// leases that were ended by force and whose documents ended before a time.
func (tx *Tx) SharedUnits(ctx context.Context, k PoolKey, ended time.Time) (units int64, err error) {
	_, err = tx.row(ctx, `SELECT COALESCE(SUM(units), 0) FROM lease`+shared, []any{k.Env, k.License, k.Name, micros(ended)}, &units)
	return units, err
}

// CountShared charges each of the leases in SharedUnits with its own units, and sets the pool's
// held units to held.
func (tx *Tx) CountShared(ctx context.Context, k PoolKey, held int64, ended time.Time) error {
	if err := tx.willChange(ctx, k.Env, k.License); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE lease SET charge = units`+shared, k.Env, k.License, k.Name, micros(ended)); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `UPDATE pool SET held = $4 WHERE env = $1 AND license = $2 AND name = $3`, k.Env, k.License, k.Name, held)
	return err
}

// EndEndless makes a pool's live leases without end due when their documents have ended, plus skew.
// It also makes the pool due.
func (tx *Tx) EndEndless(ctx context.Context, k PoolKey, skew time.Duration, now time.Time) error {
	_, err := tx.exec(ctx, `UPDATE lease SET due = expires_at + $4 WHERE env = $1 AND license = $2 AND pool = $3 AND due = 0 AND ended_at = 0`,
		k.Env, k.License, k.Name, skew.Microseconds())
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `UPDATE pool SET due = $4 WHERE env = $1 AND license = $2 AND name = $3 AND (due = 0 OR due > $4)`, k.Env, k.License, k.Name, micros(now))
	return err
}

// DueLeases returns up to limit leases of a pool that are due at now, earliest first.
func (tx *Tx) DueLeases(ctx context.Context, k PoolKey, now time.Time, limit int) ([]*licensing.Lease, error) {
	return tx.leases(ctx, `SELECT `+leaseColumns+` FROM lease l
		WHERE l.env = $1 AND l.license = $2 AND l.pool = $3 AND l.due > 0 AND l.due <= $4
		ORDER BY l.due LIMIT $5`, k.Env, k.License, k.Name, micros(now), limit)
}

// NextDue returns the earliest time at which a lease of a pool is due, or zero for never.
func (tx *Tx) NextDue(ctx context.Context, k PoolKey) (time.Time, error) {
	var due int64
	_, err := tx.row(ctx, `SELECT due FROM lease
		WHERE env = $1 AND license = $2 AND pool = $3 AND due > 0 ORDER BY due LIMIT 1`, []any{k.Env, k.License, k.Name}, &due)
	return instant(due), err
}

// EndlessLeases returns up to limit live leases of a pool that have no end, in the order of their
// grants.
func (tx *Tx) EndlessLeases(ctx context.Context, k PoolKey, limit int) ([]*licensing.Lease, error) {
	return tx.leases(ctx, `SELECT `+leaseColumns+` FROM lease l
		WHERE l.env = $1 AND l.license = $2 AND l.pool = $3 AND l.due = 0 AND l.ended_at = 0
		ORDER BY l.id LIMIT $4`, k.Env, k.License, k.Name, limit)
}

// counted selects the leases that a pool counts. They include leases ended by force, until their
// documents have ended.
const counted = `(l.ended_at = 0 OR l.ended_by = 'forced' AND l.charge > 0)`

// NextFree returns up to limit counted leases of a pool, starting with those whose units will be
// free first.
func (tx *Tx) NextFree(ctx context.Context, k PoolKey, limit int) ([]*licensing.Lease, error) {
	return tx.leases(ctx, `SELECT `+leaseColumns+` FROM lease l
		WHERE l.env = $1 AND l.license = $2 AND l.pool = $3 AND l.due > 0 AND `+counted+`
		ORDER BY l.due LIMIT $4`, k.Env, k.License, k.Name, limit)
}

// LeaseFilter selects leases for a list. Empty fields match every lease.
type LeaseFilter struct {
	Env      licensing.Env
	License  licensing.LicenseID
	Customer licensing.CustomerID
	Product  licensing.ProductName
	Pool     string
	Holder   string // an id, or KIND:ID as shown in lists
	After    licensing.LeaseID
	Ended    bool // also leases that have ended, are no longer counted and are still remembered
	Limit    int
}

// ListLeases returns leases by id, which is by grant time.
func (tx *Tx) ListLeases(ctx context.Context, f LeaseFilter) ([]*licensing.Lease, error) {
	var joined equality
	if f.License == "" && (f.Holder == "" || f.Ended) {
		var err error
		if joined, err = tx.joined(ctx, f.Env, LicenseFilter{Customer: f.Customer, Product: f.Product}); err != nil {
			return nil, err
		}
	}
	text, args, err := f.statement(joined, tx.indexed)
	if err != nil {
		return nil, err
	}
	return tx.leases(ctx, text, args...)
}

// statement returns the text and the arguments of a list. The text depends on the fields that are set,
// so that each list finds its leases by an index: those of a license, a holder or the licenses that
// match joined, and otherwise all in order.
func (f LeaseFilter) statement(joined equality, indexed func(string) string) (string, []any, error) {
	b := &conditions{}
	b.add("l.env = $%d", f.Env)
	b.add("l.id > $%d", f.After)
	type part struct{ index, state string }
	from, parts := "lease l", []part{{}}
	byLicense := []part{{"lease_due", " AND l.due > 0"}, {"lease_endless", " AND l.due = 0 AND l.ended_at = 0"}}
	switch {
	case f.License != "":
		parts = byLicense
		b.add("l.license = $%d", f.License)
	case joined.index != "":
		parts = byLicense
		from = "license c" + indexed(joined.index) + " CROSS JOIN lease l"
		b.add("c.env = $%[1]d AND c."+joined.column+" = $%[2]d AND l.env = c.env AND l.license = c.id", f.Env, joined.value)
	case f.Holder != "" && !f.Ended:
		parts = []part{{"lease_holder", " AND l.ended_at = 0"}, {"lease_forced", " AND l.ended_by = 'forced'"}}
	}
	if f.Customer != "" && joined.index != customerIndex {
		b.add("(SELECT c.customer FROM license c WHERE c.env = l.env AND c.id = l.license) = $%d", f.Customer)
	}
	if f.Product != "" && joined.index != productIndex {
		b.add("(SELECT p.product FROM license p WHERE p.env = l.env AND p.id = l.license) = $%d", f.Product)
	}
	if f.Pool != "" {
		b.add("l.pool = $%d", f.Pool)
	}
	if f.Holder != "" {
		kind, id, _ := strings.Cut(f.Holder, ":")
		if kind == "" {
			id = f.Holder // no kind begins with a colon
		}
		asker, err := beginAsker(kind)
		if err != nil {
			return "", nil, err
		}
		b.add("l.holder IN ($%[1]d, $%[2]d) AND (l.holder = $%[1]d OR SUBSTR(l.asker, 1, LENGTH($%[3]d)) = $%[3]d)", f.Holder, id, asker)
	}
	if !f.Ended {
		b.add(counted)
	}
	selects := make([]string, len(parts))
	for i, p := range parts {
		selects[i] = `SELECT ` + leaseColumns + ` FROM ` + from + indexed(p.index) + ` WHERE ` + b.String() + p.state
	}
	b.add("$%d", f.Limit)
	return fmt.Sprintf(`SELECT %s FROM (%s) l ORDER BY l.id LIMIT $%d`, leaseColumns, strings.Join(selects, " UNION ALL "), len(b.args)), b.args, nil
}

func (tx *Tx) leases(ctx context.Context, text string, args ...any) ([]*licensing.Lease, error) {
	rows, err := tx.query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	var leases []*licensing.Lease
	err = each(rows, func(rows Row) error {
		l, err := scanLease(rows)
		leases = append(leases, &l)
		return err
	})
	return leases, err
}

// ForgetLeases deletes leases that have ended, and the requests that led only to them.
func (tx *Tx) ForgetLeases(ctx context.Context, leases []*licensing.Lease) error {
	args := make([]any, 0, 2*len(leases))
	var requests []any
	for _, l := range leases {
		args = append(args, l.Env, l.ID)
		for id := range strings.FieldsSeq(l.Requests) {
			requests = append(requests, l.Env, l.License, id, l.ID, "")
		}
	}
	if _, err := tx.execMany(ctx, &forgetRequests, requests); err != nil {
		return err
	}
	_, err := tx.execMany(ctx, &forgetLeases, args)
	return err
}

var (
	insertComponents = newMultirow(`INSERT INTO component (env, license, pool, name, hash, lease) VALUES `, 6, "", ` ON CONFLICT DO NOTHING`)
	matchComponents  = newMultirow(`SELECT c.lease, COUNT(*) FROM (VALUES `, 5, "ttttt", `) v
		CROSS JOIN component c WHERE c.env = v.column1 AND c.license = v.column2 AND c.pool = v.column3 AND c.name = v.column4 AND c.hash = v.column5
		GROUP BY c.lease`)
	dropComponents = newMultirow(`DELETE FROM component WHERE (env, license, pool, name, hash, lease) IN (VALUES `, 6, "tttttt", `)`)
)

// PutComponents makes a lease findable by the components of its machine.
func (tx *Tx) PutComponents(ctx context.Context, l *licensing.Lease) error {
	return tx.putMany(ctx, &insertComponents, componentArgs(l))
}

// DropComponents undoes PutComponents for a lease that has ended.
func (tx *Tx) DropComponents(ctx context.Context, l *licensing.Lease) error {
	return tx.putMany(ctx, &dropComponents, componentArgs(l))
}

func componentArgs(l *licensing.Lease) []any {
	args := make([]any, 0, 6*len(l.Asker.Components))
	for name, hash := range l.Asker.Components {
		args = append(args, l.Env, l.License, l.Pool, name, hash, l.ID)
	}
	return args
}

// MatchComponents returns the leases that match at least need of the components, best matches
// first.
func (tx *Tx) MatchComponents(ctx context.Context, k PoolKey, components map[string]string, need int) ([]LeaseKey, error) {
	counts := map[licensing.LeaseID]int{}
	args := make([]any, 0, 5*len(components))
	for name, hash := range components {
		args = append(args, k.Env, k.License, k.Name, name, hash)
	}
	err := tx.queryMany(ctx, &matchComponents, args, func(rows Row) error {
		var id licensing.LeaseID
		var n int
		err := rows.Scan(&id, &n)
		counts[id] += n
		return err
	})
	var found []LeaseKey
	for id, n := range counts {
		if n >= need {
			found = append(found, LeaseKey{Env: k.Env, ID: id})
		}
	}
	slices.SortFunc(found, func(a, b LeaseKey) int {
		return cmp.Or(cmp.Compare(counts[b.ID], counts[a.ID]), cmp.Compare(a.ID, b.ID))
	})
	return found, err
}
