package store

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"copyhold.dev/internal/licensing"
)

const (
	// tallyKept is how many of the fullest pools of a product a tally keeps, and tallyMost is how
	// many it has when it drops the others.
	tallyKept = 2000
	tallyMost = 2 * tallyKept
	// tallyHour is how long the terms of licenses that are counted together end after one another.
	tallyHour = int64(time.Hour / time.Microsecond)
)

// A tally counts licenses and pools in memory, so that a status and the metrics read no tables. It
// needs a database that no other server writes to: each transaction brings its changes, in the
// order of the commits. A tally is safe for concurrent use.
type tally struct {
	scanning sync.Mutex
	mu       sync.Mutex
	known    bool
	loading  bool       // a scan has begun
	late     []*tallied // committed since then
	lost     bool       // changes since then are not in late
	licenses map[licenseGroup]int64
	sums     map[poolGroup]*PoolSum
	fullest  map[productOf]*fullest
}

// A licenseGroup is what licenses that are counted together have in common. Their terms end in the
// hour that ends with the given number of hours of Unix time; 0 is never.
type licenseGroup struct {
	productOf
	plan   licensing.PlanName
	status licensing.Status
	hour   int64
}

type productOf struct {
	env     licensing.Env
	product licensing.ProductName
}

type poolGroup struct {
	productOf
	pool string
}

// An Owner is what the counts of a pool depend on in its license.
type Owner struct {
	Product licensing.ProductName
	Status  licensing.Status
	End     time.Time // of the term; zero for never
}

// A poolCount is the part of a pool that is counted.
type poolCount struct {
	Owner
	held, capacity int64
}

// tallied are the changes of one transaction to what a tally counts.
type tallied struct {
	licenses []licenseGroup   // of new ones
	moved    []countedLicense // changed ones
	pools    []poolChange
	before   map[LicenseRef]countedLicense // read before the transaction changed them
	lost     bool                          // there are changes that are not here
}

type poolChange struct {
	key      PoolKey
	was, now poolCount
}

// A countedLicense is a license and its pools, as they are counted.
type countedLicense struct {
	groups map[licenseGroup]int64
	pools  map[PoolKey]poolCount
}

// rank orders pools as FullestPools does.
type rank struct {
	open  bool // the license admits new holders
	share int64
	key   PoolKey
}

func (r rank) compare(other rank) int {
	if r.open != other.open {
		return 1 - 2*btoi(r.open)
	}
	return cmp.Or(cmp.Compare(other.share, r.share), r.key.Compare(other.key))
}

// fullest are the pools in use of one product that rank first. If it is not all of them, no other
// pool ranks before floor. The rank of a pool that is not here can only become worse as time passes.
type fullest struct {
	pools map[PoolKey]fullPool
	floor *rank
}

type fullPool struct {
	rank
	end time.Time
}

func newFullest() *fullest { return &fullest{pools: map[PoolKey]fullPool{}} }

func (f *fullest) put(k PoolKey, c poolCount, now time.Time) {
	r := rank{c.Status == licensing.Active && (c.End.IsZero() || c.End.After(now)), c.held * 1000 / max(c.capacity, 1), k}
	if c.held <= 0 || f.floor != nil && f.floor.compare(r) < 0 {
		delete(f.pools, k)
		return
	}
	f.pools[k] = fullPool{r, c.End}
	if len(f.pools) < tallyMost {
		return
	}
	all := slices.SortedFunc(maps.Values(f.pools), func(a, b fullPool) int { return a.compare(b.rank) })
	for _, p := range all[tallyKept:] {
		delete(f.pools, p.key)
	}
	floor := all[tallyKept-1].rank
	f.floor = &floor
}

// first returns the ranks of the pools that rank first at now. It reports whether it knows limit
// pools, or all.
func (f *fullest) first(now time.Time, limit int) ([]rank, bool) {
	ranks := make([]rank, 0, len(f.pools))
	for k, p := range f.pools {
		p.open = p.open && (p.end.IsZero() || p.end.After(now))
		if f.floor != nil && f.floor.compare(p.rank) < 0 {
			delete(f.pools, k)
			continue
		}
		ranks = append(ranks, p.rank)
	}
	slices.SortFunc(ranks, rank.compare)
	return ranks[:min(limit, len(ranks))], f.floor == nil || len(ranks) >= limit
}

func newTally() *tally {
	return &tally{licenses: map[licenseGroup]int64{}, sums: map[poolGroup]*PoolSum{}, fullest: map[productOf]*fullest{}}
}

// commit takes over the changes of a transaction. Its caller must not let the next transaction
// commit before.
func (t *tally) commit(c *tallied, now time.Time) {
	if t == nil || c == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case c.lost:
		t.known, t.lost = false, true
	case t.known:
		t.apply(c, now)
	case t.loading:
		t.late = append(t.late, c)
	}
}

// lose makes the next use scan the tables again.
func (t *tally) lose() {
	if t != nil {
		t.commit(&tallied{lost: true}, time.Time{})
	}
}

func (t *tally) apply(c *tallied, now time.Time) {
	for _, g := range c.licenses {
		t.licenses[g]++
	}
	for _, m := range c.moved {
		t.move(m)
	}
	for _, p := range c.pools {
		t.take(p.key, p.was)
		t.put(p.key, p.now, now)
	}
}

func (t *tally) move(m countedLicense) {
	for g, n := range m.groups {
		if t.licenses[g] += n; t.licenses[g] == 0 {
			delete(t.licenses, g)
		}
	}
}

// take removes a pool.
func (t *tally) take(k PoolKey, c poolCount) {
	if c.Product == "" {
		return // it did not exist
	}
	of := productOf{k.Env, c.Product}
	s := t.sum(of, k.Name)
	s.Held -= c.held
	s.Capacity -= c.open()
	if f := t.fullest[of]; f != nil {
		delete(f.pools, k)
	}
}

func (t *tally) put(k PoolKey, c poolCount, now time.Time) {
	of := productOf{k.Env, c.Product}
	s := t.sum(of, k.Name)
	s.Held += c.held
	s.Capacity += c.open()
	if t.fullest[of] == nil {
		t.fullest[of] = newFullest()
	}
	t.fullest[of].put(k, c, now)
}

func (t *tally) sum(of productOf, pool string) *PoolSum {
	g := poolGroup{of, pool}
	if t.sums[g] == nil {
		t.sums[g] = &PoolSum{Env: of.env, Product: of.product, Pool: pool}
	}
	return t.sums[g]
}

// open returns the capacity that counts: licenses that are not active have none.
func (c poolCount) open() int64 { return c.capacity * int64(btoi(c.Status == licensing.Active)) }

func groupOf(l licensing.License) licenseGroup {
	return licenseGroup{productOf{l.Env, l.Product}, l.Plan, l.Status, (micros(l.End) + tallyHour - 1) / tallyHour}
}

// Count counts all licenses and pools, unless their counts are known. After that, CountLicenses,
// FullestPools and PoolSums need no scan until they report otherwise. If other servers may write to
// the database, Count does nothing, and they always scan.
func (db *DB) Count(ctx context.Context) error {
	t := db.tally
	if t == nil {
		return nil
	}
	t.scanning.Lock()
	defer t.scanning.Unlock()
	if t.begun() {
		return nil
	}
	scanned := newTally()
	err := db.View(ctx, func(tx *Tx) error {
		if err := t.begin(ctx, tx); err != nil {
			return err
		}
		return scanned.scan(ctx, tx)
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	late, lost := t.late, t.lost
	t.loading, t.late = false, nil
	if err != nil || lost {
		return err
	}
	t.known, t.licenses, t.sums, t.fullest = true, scanned.licenses, scanned.sums, scanned.fullest
	for _, c := range late {
		t.apply(c, db.Latest())
	}
	return nil
}

func (t *tally) begun() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known
}

func (t *tally) scan(ctx context.Context, tx *Tx) error {
	rows, err := tx.query(ctx, `SELECT env, product, plan, status, (end_at + $1) / $2 AS hour, COUNT(*) FROM license GROUP BY env, product, plan, status, hour`,
		tallyHour-1, tallyHour)
	if err != nil {
		return err
	}
	err = each(rows, func(r Row) error {
		var g licenseGroup
		var n int64
		err := r.Scan(&g.env, &g.product, &g.plan, &g.status, &g.hour, &n)
		t.licenses[g] = n
		return err
	})
	if err != nil {
		return err
	}
	rows, err = tx.query(ctx, `
		SELECT p.env, p.license, p.name, l.product, l.status, l.end_at, p.held, p.capacity
		FROM pool p CROSS JOIN license l WHERE l.env = p.env AND l.id = p.license`)
	if err != nil {
		return err
	}
	return each(rows, func(r Row) error {
		var k PoolKey
		var c poolCount
		var end int64
		err := r.Scan(&k.Env, &k.License, &k.Name, &c.Product, &c.Status, &end, &c.held, &c.capacity)
		c.End = instant(end)
		t.put(k, c, tx.Now())
		return err
	})
}

// begin fixes the snapshot of a scan between two transactions that write, so that later ones bring
// exactly the changes that the scan does not see.
func (t *tally) begin(ctx context.Context, tx *Tx) error {
	s, err := tx.db.take(ctx, tx.db.writers)
	if err != nil {
		return err
	}
	defer tx.db.writers.give(s, false)
	var at int64
	if _, err := tx.row(ctx, `SELECT at FROM clock WHERE env = ''`, nil, &at); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loading, t.late, t.lost = true, nil, false
	return nil
}

// tallied calls fn if the counts are known, and reports whether fn found what it needs. If it did
// not, the counts are no longer known.
func (tx *Tx) tallied(fn func(*tally) (found bool)) bool {
	t := tx.db.tally
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = t.known && fn(t)
	return t.known
}

// counts returns the changes of tx to counts, or nil if nothing counts them.
func (tx *Tx) counts() *tallied {
	if tx.db.tally != nil && tx.changes == nil {
		tx.changes = &tallied{}
	}
	return tx.changes
}

// uncounted notes that tx changes counts in a way that is not worth following.
func (tx *Tx) uncounted() {
	if c := tx.counts(); c != nil {
		c.lost = true
	}
}

// willChange must be called before a statement that changes a license or its pools.
func (tx *Tx) willChange(ctx context.Context, env licensing.Env, id licensing.LicenseID) error {
	c, ref := tx.counts(), LicenseRef{env, id}
	if c == nil {
		return nil
	}
	if _, noted := c.before[ref]; noted {
		return nil
	}
	was, err := tx.counted(ctx, ref)
	if err != nil {
		return err
	}
	if c.before == nil {
		c.before = map[LicenseRef]countedLicense{}
	}
	c.before[ref] = was
	return nil
}

// poolsPut notes the new counters of pools, after their statement.
func (tx *Tx) poolsPut(pools []*Pool) {
	c := tx.counts()
	if c == nil {
		return
	}
	for _, p := range pools {
		if _, noted := c.before[LicenseRef{p.Env, p.License}]; noted {
			continue
		}
		if p.Of.Product == "" {
			c.lost = true
			return
		}
		was, now := poolCount{p.Of, p.was.held, p.was.capacity}, poolCount{p.Of, p.Held, p.Capacity}
		if was != now {
			c.pools = append(c.pools, poolChange{p.PoolKey, was, now})
		}
		p.was = counters{p.Held, p.Capacity}
	}
}

// closeCounts reads what has become of the licenses that willChange has noted. It must be called
// after all statements.
func (tx *Tx) closeCounts(ctx context.Context) error {
	if tx.changes == nil || tx.changes.lost {
		return nil
	}
	c := tx.changes
	for ref, was := range c.before {
		now, err := tx.counted(ctx, ref)
		if err != nil {
			return err
		}
		for g := range was.groups {
			now.groups[g]--
		}
		c.moved = append(c.moved, now)
		for k, p := range now.pools {
			if old := was.pools[k]; old != p {
				c.pools = append(c.pools, poolChange{k, old, p})
			}
		}
	}
	c.before = nil
	return nil
}

func (tx *Tx) counted(ctx context.Context, ref LicenseRef) (c countedLicense, err error) {
	c = countedLicense{groups: map[licenseGroup]int64{}, pools: map[PoolKey]poolCount{}}
	rows, err := tx.query(ctx, `
		SELECT l.product, l.plan, l.status, l.end_at, COALESCE(p.name, ''), COALESCE(p.held, 0), COALESCE(p.capacity, 0)
		FROM license l LEFT JOIN pool p ON p.env = l.env AND p.license = l.id WHERE l.env = $1 AND l.id = $2`, ref.Env, ref.ID)
	if err != nil {
		return c, err
	}
	return c, each(rows, func(r Row) error {
		l := licensing.License{Env: ref.Env, ID: ref.ID}
		var end int64
		var name string
		var p poolCount
		err := r.Scan(&l.Product, &l.Plan, &l.Status, &end, &name, &p.held, &p.capacity)
		l.End = instant(end)
		c.groups[groupOf(l)] = 1
		if p.Owner = (Owner{l.Product, l.Status, l.End}); name != "" {
			c.pools[PoolKey{ref.Env, ref.ID, name}] = p
		}
		return err
	})
}

// byProduct reports whether f selects licenses by nothing but their product.
func (f LicenseFilter) byProduct() bool {
	f.Product = ""
	return reflect.DeepEqual(f, LicenseFilter{})
}

// countTallied is CountLicenses without a scan, if the tally knows enough. Of the licenses whose
// term ends in the current hour, it asks the table which have ended.
func (tx *Tx) countTallied(ctx context.Context, env licensing.Env, f LicenseFilter, now time.Time) (counts []LicenseCount, known bool, err error) {
	if !f.byProduct() {
		return nil, false, nil
	}
	hour, part := micros(now)/tallyHour, false
	n := map[LicenseCount]int64{}
	if !tx.tallied(func(t *tally) bool {
		for g, count := range t.licenses {
			if g.env != env || f.Product != "" && g.product != f.Product {
				continue
			}
			part = part || g.hour == hour+1
			n[LicenseCount{Plan: g.plan, Status: g.status, Ended: g.hour != 0 && g.hour <= hour}] += count
		}
		return true
	}) {
		return nil, false, nil
	}
	if part {
		where, args := f.where(f.equalities(), "license_end", []string{"env = $1", "end_at > $2", "end_at <= $3"}, []any{env, hour * tallyHour, micros(now)})
		rows, err := tx.query(ctx, `SELECT plan, status, COUNT(*) FROM license`+tx.indexed("license_end")+` WHERE `+where+` GROUP BY plan, status`, args...)
		if err != nil {
			return nil, false, err
		}
		err = each(rows, func(r Row) error {
			var c LicenseCount
			var ended int64
			err := r.Scan(&c.Plan, &c.Status, &ended)
			n[c] -= ended
			c.Ended = true
			n[c] += ended
			return err
		})
		if err != nil {
			return nil, false, err
		}
	}
	for c, count := range n {
		if c.Count = count; count > 0 {
			counts = append(counts, c)
		}
	}
	slices.SortFunc(counts, func(a, b LicenseCount) int {
		return cmp.Or(strings.Compare(string(a.Plan), string(b.Plan)), strings.Compare(string(a.Status), string(b.Status)), btoi(a.Ended)-btoi(b.Ended))
	})
	return counts, true, nil
}

// fullestTallied is FullestPools without a scan, if the tally knows enough.
func (tx *Tx) fullestTallied(ctx context.Context, env licensing.Env, f LicenseFilter, limit int) ([]Pool, bool, error) {
	var ranks []rank
	if !f.byProduct() || !tx.tallied(func(t *tally) bool {
		for of, all := range t.fullest {
			if of.env != env || f.Product != "" && of.product != f.Product {
				continue
			}
			first, known := all.first(tx.Now(), limit)
			if !known {
				return false
			}
			ranks = append(ranks, first...)
		}
		return true
	}) {
		return nil, false, nil
	}
	slices.SortFunc(ranks, rank.compare)
	ranks = ranks[:min(limit, len(ranks))]
	place := make(map[PoolKey]int, len(ranks))
	args := make([]any, 0, 3*len(ranks))
	for i, r := range ranks {
		place[r.key] = i
		args = append(args, string(r.key.Env), string(r.key.License), r.key.Name)
	}
	pools := make([]Pool, 0, len(ranks))
	err := tx.queryMany(ctx, &lockPools, args, func(r Row) error {
		p, err := scanPool(r)
		if p.Held > 0 {
			pools = append(pools, p)
		}
		return err
	})
	slices.SortFunc(pools, func(a, b Pool) int { return place[a.PoolKey] - place[b.PoolKey] })
	return pools, true, err
}

// sumsTallied is PoolSums without a scan, if the tally is known.
func (tx *Tx) sumsTallied(limit int) (sums []PoolSum, known bool) {
	known = tx.tallied(func(t *tally) bool {
		for _, s := range t.sums {
			sums = append(sums, *s)
		}
		return true
	})
	slices.SortFunc(sums, func(a, b PoolSum) int {
		return cmp.Or(cmp.Compare(b.Held, a.Held), cmp.Compare(a.Env, b.Env), cmp.Compare(a.Product, b.Product), cmp.Compare(a.Pool, b.Pool))
	})
	return sums[:min(limit, len(sums))], known
}
