package audit

import (
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/licensing"
)

// Rows is everything that is stored beside the log, from the same moment. Each sequence can
// be read again from its start.
type Rows struct {
	Log      iter.Seq2[PlacedRow, error] // in order; rows that wait for their place are last, with a negative First
	Leases   iter.Seq2[licensing.Lease, error]
	Licenses iter.Seq2[licensing.License, error]
	Count    int64                            // approximate number of leases and licenses
	Entry    func(index int64) (Entry, error) // reads an entry again, to describe it
	// Ended returns the ending of a lease that is not live, "" if there is no row.
	Ended func(licensing.LeaseID) (string, error)
	// Hash is a keyed hash, so that nobody can predict which texts share a value.
	Hash func(string) uint64
	// Pools and Meters call a function with each pool and each total.
	Pools  func(func(licensing.PoolCount) error) error
	Meters func(func(licensing.MeterCount) error) error
	Now    time.Time
	// EventsKnown is the minimum time for which usage events are kept.
	EventsKnown time.Duration
	// DocumentsEnd returns the latest possible end of the documents of a lease of a pool
	// that ended at a time, and whether that is known. It is nil if it is not needed.
	DocumentsEnd func(id licensing.LicenseID, pool string, ended time.Time) (time.Time, bool, error)
}

// A Mismatch is a row that differs from the log, or an entry that no row matches.
type Mismatch struct {
	Row   string `json:"row,omitempty"` // id of a lease or license
	Entry int64  `json:"entry"`         // index; -1 if there is none, or if it waits for its place
	What  string `json:"what"`
	// Pool or Meter is the license's pool or meter whose Counters differ from their rows.
	// Period is when the meter's total begins.
	Pool     string              `json:"pool,omitempty"`
	Meter    string              `json:"meter,omitempty"`
	Period   time.Time           `json:"period,omitzero"`
	Counters []licensing.Counter `json:"counters,omitempty"`
	// Fields are the members of a license that differ, as far as the entry contains them.
	Fields []licensing.Deviation `json:"fields,omitempty"`
}

// String writes the row, the entry and the mismatch.
func (m Mismatch) String() string {
	switch {
	case m.Entry < 0:
		return m.Row + ": " + m.What
	case m.Row == "":
		return "entry " + strconv.FormatInt(m.Entry, 10) + ": " + m.What
	}
	return m.Row + ", entry " + strconv.FormatInt(m.Entry, 10) + ": " + m.What
}

// A Reconciliation is the number of things compared, and the mismatches.
type Reconciliation struct {
	Entries    int64      `json:"entries"`    // entries read
	Leases     int64      `json:"leases"`     // live rows, each compared with the entry that begins it
	Licenses   int64      `json:"licenses"`   // rows, each compared with its last change
	Unknown    int64      `json:"unknown"`    // rows whose entries were erased or contain too little
	Pools      int64      `json:"pools"`      // pools whose counters were compared with leases and tickets
	Totals     int64      `json:"totals"`     // totals of meters and periods, compared with usage events
	Mismatches []Mismatch `json:"mismatches"` // at most 100
	// Miscounts are all pools and totals with wrong counters.
	Miscounts []*Miscount `json:"-"`
}

// Agrees reports whether there are no mismatches.
func (r Reconciliation) Agrees() bool { return len(r.Mismatches) == 0 }

// passKeys limits how many leases and licenses one pass over the log follows, at
// about a hundred bytes each.
const passKeys = 1_000_000

// Reconcile compares rows with the log that explains them. Each live lease must have
// an entry that begins it and none that ends it, each such entry must have a row, and
// each license must match its last change. Things that are not logged, such as
// renewals, are not compared. Reconcile also compares the counters of pools with leases
// and tickets, and the totals of meters with usage events. An error means that
// reading failed.
func Reconcile(r Rows) (Reconciliation, error) {
	passes := uint64(r.Count/passKeys) + 1
	total := Reconciliation{Mismatches: []Mismatch{}}
	counts := &recounting{rows: r, result: &total, now: r.Now, pools: map[uint64]*Miscount{}, totals: map[uint64]*Miscount{}}
	if err := counts.compare(); err != nil {
		return Reconciliation{}, err
	}
	for pass := range passes {
		c := &reconciler{rows: r, pass: pass, passes: passes, result: &total, counts: counts,
			leases: map[uint64]begun{}, licenses: map[uint64]stood{}, erased: map[uint64]bool{}}
		total.Entries = 0
		if err := c.run(); err != nil {
			return Reconciliation{}, err
		}
	}
	err := counts.finish()
	return total, err
}

// begun is a lease that has begun in the log and not ended.
type begun struct {
	index int64
	pool  uint64 // hash of license and pool
	what  uint64 // hash of the parts that can be compared with a row
	ended bool   // the entry that ends it came first: two servers' entries can be in any order
}

// stood is the state of a license after its last change, by its seq. In the log, two
// changes of the same moment can be in any order.
type stood struct {
	index          int64
	epoch, counter int64
	what           uint64             // hash of that state
	digest         bool               // the entry is from an earlier version and has only a digest
	unknown        bool               // an entry does not contain the state
	waiting        licensing.Snapshot // state that cannot be read again because it has no index
}

type reconciler struct {
	rows         Rows
	pass, passes uint64
	result       *Reconciliation
	counts       *recounting
	leases       map[uint64]begun
	licenses     map[uint64]stood
	erased       map[uint64]bool // pools of licenses with entries about leases whose names were erased
}

func (c *reconciler) run() error {
	for row, err := range c.rows.Log {
		if err != nil {
			return fmt.Errorf("reading log rows: %w", err)
		}
		if err := c.row(row); err != nil {
			return err
		}
	}
	if err := c.compareLeases(); err != nil {
		return err
	}
	if err := c.unrowed(); err != nil {
		return err
	}
	return c.compareLicenses()
}

func (c *reconciler) find(m Mismatch) {
	if len(c.result.Mismatches) < maxFindings {
		c.result.Mismatches = append(c.result.Mismatches, m)
	}
}

// mine reports whether this pass follows the thing with this key.
func (c *reconciler) mine(key uint64) bool { return key%c.passes == c.pass }

// row processes the entries of a row. Verification reports damaged ones.
func (c *reconciler) row(row PlacedRow) error {
	entries, err := ReadRow(row.Body)
	if err != nil {
		return nil
	}
	for i, e := range entries {
		index := row.First + int64(i)
		if row.First < 0 {
			index = -1
		}
		leaf, err := e.Fields()
		if err != nil {
			continue
		}
		c.result.Entries++
		switch kind := kindOf(leaf.Type); kind {
		case leaseBegins, leaseEnds:
			if err := c.lease(kind, index, leaf, e); err != nil {
				return err
			}
		case usageTotal, clockBack:
			c.counts.entry(kind, leaf, e)
		case licenseStands:
			c.license(index, leaf, e)
		}
	}
	return nil
}

type entryKind int

const (
	other entryKind = iota
	leaseBegins
	leaseEnds
	licenseStands
	usageTotal
	clockBack
)

func kindOf(name string) entryKind {
	switch name {
	case licensing.LeaseBegun, licensing.LeaseBorrowed, licensing.LeasePresented:
		return leaseBegins
	case licensing.LeaseEnded, licensing.LeaseReclaimed, licensing.LeaseForced:
		return leaseEnds
	case licensing.LicenseIssued, licensing.LicenseImported, licensing.LicenseStarted, licensing.LicenseChanged, licensing.LicenseScheduled,
		licensing.LicenseMoved, licensing.LicenseExtended, licensing.LicenseRenewed, licensing.LicenseSuspended, licensing.LicenseReinstated,
		licensing.LicenseRevoked, licensing.LicenseTransferred:
		return licenseStands
	case licensing.UsageRecorded:
		return usageTotal
	case licensing.ClockSetBack:
		return clockBack
	}
	return other
}

func (c *reconciler) poolKey(license, pool string) uint64 {
	return c.rows.Hash(license + "\x00" + pool)
}

// standing hashes what both row and entry contain about a lease.
func (c *reconciler) standing(license, pool, holder string, units int64) uint64 {
	return c.rows.Hash(license + "\x00" + pool + "\x00" + holder + "\x00" + strconv.FormatInt(units, 10))
}

type leaseData struct {
	Holder  string `json:"holder"`
	Units   int64  `json:"units"`
	Renewed bool   `json:"renewed"` // the lease did not begin but was borrowed later
}

func (c *reconciler) lease(kind entryKind, index int64, leaf Leaf, e Entry) error {
	pool := c.poolKey(leaf.License, leaf.Pool)
	var p Payload
	if e.Erased() || json.Unmarshal(e.Payload, &p) != nil || p.Subject == "" {
		c.erased[pool] = true
		c.counts.doubt(pool)
		return nil
	}
	key := c.rows.Hash(p.Subject)
	if !c.mine(key) {
		return nil
	}
	var d leaseData
	if kind == leaseBegins && (json.Unmarshal(p.Data, &d) != nil || d.Renewed) {
		return nil
	}
	was, known := c.leases[key]
	if kind == leaseEnds {
		for _, pool := range []uint64{pool, was.pool} { // an earlier version could name another license's pool
			if err := c.counts.ended(pool, licensing.LeaseID(p.Subject), time.UnixMicro(leaf.At)); err != nil {
				return err
			}
		}
	}
	switch {
	case kind == leaseEnds && known && !was.ended, kind == leaseBegins && known && was.ended:
		delete(c.leases, key)
	case kind == leaseEnds:
		c.leases[key] = begun{index: index, pool: pool, ended: true}
	case !known:
		c.leases[key] = begun{index: index, pool: pool, what: c.standing(leaf.License, leaf.Pool, d.Holder, d.Units)}
	}
	return nil
}

func (c *reconciler) license(index int64, leaf Leaf, e Entry) {
	key := c.rows.Hash(leaf.License)
	if !c.mine(key) {
		return
	}
	s, known := c.licenses[key]
	stand, ok := snapshotOf(leaf.Type, e)
	switch {
	case !ok:
		s.unknown = true
	case !known || s.what == 0 || stand.After(s.epoch, s.counter):
		seq := stand.Seq()
		s = stood{index: index, epoch: seq.Epoch, counter: seq.Counter, unknown: s.unknown}
		if digest := stand.Digest(); digest != "" {
			s.what, s.digest = c.rows.Hash(digest), true
		} else {
			s.what = c.hash(stand)
		}
		if index < 0 {
			s.waiting = stand
		}
	}
	c.licenses[key] = s
}

func (c *reconciler) hash(s licensing.Snapshot) uint64 {
	text, _ := json.Marshal(s) // decoded members can be encoded
	return c.rows.Hash(string(text))
}

// snapshotOf reads the state of a license after an entry. An entry that begins a license contains it.
func snapshotOf(kind string, e Entry) (licensing.Snapshot, bool) {
	var p Payload
	if e.Erased() || json.Unmarshal(e.Payload, &p) != nil {
		return nil, false
	}
	if kind == licensing.LicenseIssued || kind == licensing.LicenseImported {
		var l entry.License
		if json.Unmarshal(p.Data, &l) != nil {
			return nil, false
		}
		s, err := licensing.License(l).Snapshot()
		return s, err == nil
	}
	var d struct {
		Stands licensing.Snapshot `json:"stands"`
	}
	err := json.Unmarshal(p.Data, &d)
	return d.Stands, err == nil && d.Stands != nil
}

// compareLeases compares each live row with the entry that begins it.
func (c *reconciler) compareLeases() error {
	for l, err := range c.rows.Leases {
		if err != nil {
			return fmt.Errorf("reading leases: %w", err)
		}
		key := c.rows.Hash(string(l.ID))
		if !c.mine(key) {
			continue
		}
		b, known := c.leases[key]
		known = known && !b.ended
		if known {
			delete(c.leases, key)
		}
		switch {
		case known && b.what == c.standing(string(l.License), l.Pool, l.Holder, l.Units):
			c.result.Leases++
		case c.erased[c.poolKey(string(l.License), l.Pool)]:
			c.result.Unknown++
		case known:
			c.counts.doubt(c.poolKey(string(l.License), l.Pool), b.pool)
			c.result.Leases++
			c.find(Mismatch{Row: string(l.ID), Entry: b.index, What: "the row has " + leaseText(string(l.License), l.Pool, l.Holder, l.Units) + ", but the entry has " + c.entryText(b.index)})
		default:
			c.counts.doubt(c.poolKey(string(l.License), l.Pool))
			c.result.Leases++
			c.find(Mismatch{Row: string(l.ID), Entry: -1, What: "the lease is live, but no entry begins it or an entry ends it"})
		}
	}
	return nil
}

func leaseText(license, pool, holder string, units int64) string {
	return fmt.Sprintf("%d of %s of %s for %s", units, pool, license, holder)
}

// entryText describes the lease in an entry that begins it.
func (c *reconciler) entryText(index int64) string {
	leaf, _, d, ok := c.begins(index)
	if !ok {
		return "something else"
	}
	return leaseText(leaf.License, leaf.Pool, d.Holder, d.Units)
}

// begins reads an entry about a lease again. It returns false if the entry waits for its place.
func (c *reconciler) begins(index int64) (leaf Leaf, p Payload, d leaseData, ok bool) {
	if index < 0 {
		return leaf, p, d, false
	}
	e, err := c.rows.Entry(index)
	if err == nil {
		leaf, err = e.Fields()
	}
	if err == nil {
		err = json.Unmarshal(e.Payload, &p)
	}
	if err == nil {
		err = json.Unmarshal(p.Data, &d)
	}
	return leaf, p, d, err == nil
}

// unrowed reports leases that have begun in the log and have no live row.
func (c *reconciler) unrowed() error {
	for _, b := range c.leases {
		c.counts.doubt(b.pool)
		if len(c.result.Mismatches) >= maxFindings {
			continue
		}
		leaf, p, _, ok := c.begins(b.index)
		if ok && c.erased[c.poolKey(leaf.License, leaf.Pool)] {
			c.result.Unknown++
			continue
		}
		m := Mismatch{Row: p.Subject, Entry: b.index}
		switch {
		case !ok:
			m.What = "an entry that waits for its place begins a lease without a live row"
		case b.ended:
			m.What = "the entry ends a lease that no entry begins"
		default:
			was, err := c.rows.Ended(licensing.LeaseID(p.Subject))
			if err != nil {
				return err
			}
			if m.What = "the entry begins a lease that no entry ends, but there is no row"; was != "" {
				m.What = "the entry begins a lease that no entry ends, but its row shows: " + was
			}
		}
		c.find(m)
	}
	return nil
}

// compareLicenses compares each license with its last change.
func (c *reconciler) compareLicenses() error {
	for l, err := range c.rows.Licenses {
		if err != nil {
			return fmt.Errorf("reading licenses: %w", err)
		}
		key := c.rows.Hash(string(l.ID))
		if !c.mine(key) {
			continue
		}
		s, known := c.licenses[key]
		delete(c.licenses, key)
		if !known {
			c.result.Licenses++
			c.find(Mismatch{Row: string(l.ID), Entry: -1, What: "no entry issues this license"})
			continue
		}
		stand, err := l.Snapshot()
		if err != nil {
			return err
		}
		if s.what == 0 || s.unknown && stand.After(s.epoch, s.counter) {
			c.result.Unknown++
			continue
		}
		c.result.Licenses++
		is := c.hash(stand)
		if s.digest {
			text, err := l.Digest()
			if err != nil {
				return err
			}
			is = c.rows.Hash(text)
		}
		if s.what != is {
			c.find(c.differs(l, stand, s))
		}
	}
	for _, s := range c.licenses {
		if s.what == 0 {
			c.result.Unknown++
			continue
		}
		id := ""
		if s.index >= 0 {
			if e, err := c.rows.Entry(s.index); err == nil {
				if leaf, err := e.Fields(); err == nil {
					id = leaf.License
				}
			}
		}
		c.find(Mismatch{Row: id, Entry: s.index, What: "the entry is about a license that has no row"})
	}
	return nil
}

// differs returns the differences between a row and the state after the last change.
func (c *reconciler) differs(l licensing.License, row licensing.Snapshot, s stood) Mismatch {
	m := Mismatch{Row: string(l.ID), Entry: s.index}
	left, ok := s.waiting, s.waiting != nil
	if !ok {
		if e, err := c.rows.Entry(s.index); err == nil {
			if leaf, err := e.Fields(); err == nil {
				left, ok = snapshotOf(leaf.Type, e)
			}
		}
	}
	switch {
	case !ok:
		m.What = "the row differs from the log entry"
	case s.digest: // with the few members that earlier versions logged
		entered := licensing.Snapshot{"status": left["status"], "granted": left["revision"]}
		m.Fields = licensing.Snapshot{"status": row["status"], "granted": row["granted"]}.Against(entered)
		if len(m.Fields) == 0 {
			m.What = "the row's dates, add-ons, exceptions or owner differ from the log entry"
		}
	default:
		m.Fields = row.Against(left)
	}
	if m.What == "" {
		m.What = said(m.Fields)
	}
	return m
}

func said(all []licensing.Deviation) string {
	texts := make([]string, len(all))
	for i, d := range all {
		texts[i] = d.String()
	}
	return strings.Join(texts, "; ")
}
