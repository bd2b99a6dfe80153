package licensing

import (
	"time"

	"copyhold.dev/sdk/license"
)

// A Lease is units of a pool held by one instance of a holder until a time.
type Lease struct {
	Env        Env
	ID         LeaseID
	License    LicenseID
	Pool       string
	Holder     string
	Instance   string
	Units      int64 // units that the lease grants
	Charge     int64 // units that the pool counts: 0 while another instance carries a shared lease
	Generation int64 // increases with each renewal
	Granted    time.Time
	Renewed    time.Time
	Expires    time.Time // end of full function in its last document
	Borrowed   bool
	Nonce      string    // of its last renewal, to recognize a repeated one
	Cloned     time.Time // when another copy was last seen, until the holder that keeps the lease was told
	Ended      time.Time
	EndedBy    Ending
	// Due is when the unit is reclaimed, zero for a lease without end. For an ended
	// lease it is when the lease is forgotten.
	Due      time.Time
	Requests string // ids of the requests that led to it, separated by spaces
	Asker    Asker
}

// An Asker is the holder and the program that requested units, kept with the lease.
type Asker struct {
	Kind       string            `json:"kind,omitempty"`       // of the holder
	Name       string            `json:"name,omitempty"`       // by which people recognize the holder
	Components map[string]string `json:"components,omitempty"` // name to hash
	Device     string            `json:"device,omitempty"`     // thumbprint of its key
	Caller                       // as last reported; the instance only if the lease has none
	// Presented reports that the lease was put back from its document when the pool
	// had no room for it. It is not extended until there is room.
	Presented bool `json:"presented,omitempty"`
	// Recall asks the holder to give the lease back. It is never modified in place.
	Recall *Recall `json:"recall,omitempty"`
}

// IsZero reports whether nothing is known about the asker.
func (a Asker) IsZero() bool {
	return a.Kind == "" && a.Name == "" && a.Components == nil && a.Device == "" && a.Caller == Caller{} && !a.Presented && a.Recall == nil
}

// An Ending is the way in which a lease ended.
type Ending string

// How leases end.
const (
	EndReleased  Ending = "released"
	EndReclaimed Ending = "reclaimed"
	EndForced    Ending = "forced"
)

// Remembered is how long a lease and its requests are remembered after the lease
// ended.
const Remembered = 24 * time.Hour

// Live reports whether l has not ended.
func (l Lease) Live() bool { return l.Ended.IsZero() }

// MayUse reports whether the holder of l may use its units at now: l has not
// ended, or it was ended by force and its document is still valid.
func (l Lease) MayUse(now time.Time, skew time.Duration) bool {
	return l.Live() || l.EndedBy == EndForced && now.Before(l.Expires.Add(skew))
}

// Caller returns what l serves, as its holder last reported.
func (l Lease) Caller() Caller { return l.Asker.Caller.After(Caller{Instance: l.Instance}) }

// Holding returns what l holds.
func (l Lease) Holding() license.Holding {
	return license.Holding{Holder: l.Holder, Name: l.Asker.Name, Instance: l.Instance, Units: l.Units, Since: unix(l.Granted), FreeAt: unix(l.Due)}
}

// LeaseDates are the thresholds of a lease's document, in whole seconds.
type LeaseDates struct {
	Issued   time.Time
	Expires  time.Time
	Dates    license.Dates
	Borrowed bool
	Ends     bool // the unit is reclaimed after Expires
}

// LeaseDates returns the dates of a lease granted or renewed at now for the requested
// time, 0 for the pool's own. The document of a lease without end lasts as long
// as the license's. No lease outlasts its license.
func (t Terms) LeaseDates(p Pool, asked Span, now time.Time) LeaseDates {
	iat := now.Unix()
	life, grace := int64(p.Lease), int64(p.Grace)
	refresh, stale := life/3, life*2/3
	d := LeaseDates{Issued: time.Unix(iat, 0), Ends: true}
	switch {
	case p.Endless():
		life, grace = int64(t.Documents.Life), int64(t.Documents.Grace)
		refresh, stale = int64(t.Documents.Refresh), int64(t.Documents.Stale)
		d.Ends = false
	case asked > 0:
		d.Borrowed = asked > p.Lease
		life = int64(asked)
		refresh, stale = life/3, life*2/3
	}
	last := iat + life + grace
	if limit := t.Limit(); !limit.IsZero() {
		last = min(last, max(limit.Unix(), iat+1))
	}
	d.Expires = time.Unix(last, 0)
	d.Dates = license.Dates{
		Refresh:  [2]int64{min(iat+refresh*4/5, last), min(iat+refresh*6/5, iat+stale, last)},
		Stale:    min(iat+stale, last),
		Due:      min(iat+life, last),
		Degraded: last + int64(t.Documents.Fallback),
	}
	return d
}

// Until returns d with no date of full function after end. The units were promised
// until end and no longer.
func (d LeaseDates) Until(end time.Time) LeaseDates {
	if !end.Before(d.Expires) {
		return d
	}
	last, fallback := end.Unix(), d.Dates.Degraded-d.Expires.Unix()
	for _, at := range []*int64{&d.Dates.Refresh[0], &d.Dates.Refresh[1], &d.Dates.Stale, &d.Dates.Due} {
		*at = min(*at, last)
	}
	d.Expires, d.Dates.Degraded, d.Ends = end, last+fallback, true
	return d
}

// Due returns when the unit of a lease with these dates is reclaimed. It is never
// before every clock within skew has seen the lease expire, and zero if there is no end.
func (d LeaseDates) Due(skew time.Duration) time.Time {
	if !d.Ends {
		return time.Time{}
	}
	return d.Expires.Add(skew)
}

// CheckTime decides the requested time, for current holders and newcomers.
func (p Pool) CheckTime(asked Span) license.Decision {
	switch {
	case asked > p.Lease && p.Endless():
		return deny(license.CodeBorrowTooLong, "pool.borrow", "leases of this pool never end, so there is nothing to borrow")
	case asked > max(p.Lease, p.Borrow):
		return deny(license.CodeBorrowTooLong, "pool.borrow", "%v requested; at most %v can be borrowed", asked, max(p.Lease, p.Borrow))
	}
	return allow(license.CodeOK, "pool.borrow", "within the longest time allowed")
}

// A RenewalKind is what a renewal turns out to be.
type RenewalKind int

// The kinds of renewals.
const (
	RenewsNext  RenewalKind = iota // the holder continues with the next generation
	RenewsAgain                    // the answer was lost: the same generation again
	RenewsCopy                     // another copy has renewed since
)

// RenewalKind distinguishes a holder that continues, one that repeats a request because
// the answer was lost, and a copy. A repeated request has the nonce of the first one, which
// a copy cannot know.
func (l Lease) RenewalKind(r Renewal) RenewalKind {
	switch {
	case r.Generation == l.Generation:
		return RenewsNext
	case r.Generation == l.Generation-1 && r.Nonce != "" && r.Nonce == l.Nonce:
		return RenewsAgain
	}
	return RenewsCopy
}

// Behind reports whether a signed document of l is newer than the record of l, which
// is possible after a loss. It compares generations and times: after a loss the record
// may contain a later generation from a history that the loss undid.
// A lease that was ended by force stays ended.
func (l Lease) Behind(doc *license.Lease) bool {
	changed := max(unix(l.Renewed), unix(l.Ended))
	return (doc.Generation > l.Generation || doc.IssuedAt > changed) && l.EndedBy != EndForced
}

// Adopt updates l to match its document, live at least until the document's end.
func (l *Lease) Adopt(doc *license.Lease, skew time.Duration) {
	l.Generation, l.Nonce = doc.Generation, doc.Nonce
	l.Ended, l.EndedBy = time.Time{}, ""
	if at := time.Unix(doc.IssuedAt, 0); at.After(l.Renewed) {
		l.Renewed = at
	}
	if end := time.Unix(doc.Expires, 0); end.After(l.Expires) {
		l.Expires = end
	}
	l.Due = l.Expires.Add(skew)
}

// CloneDenied returns the decision for the copy that came second.
func (l Lease) CloneDenied(r Renewal) license.Decision {
	return deny(license.CodeClone, "lease.generation", "the request shows generation %d, but another copy has renewed lease %s to generation %d", r.Generation, l.ID, l.Generation)
}

// HeldBy returns the decision for a caller that shows a document of a lease that l has
// replaced. Both leases belong to the same instance of a holder.
func (l Lease) HeldBy(doc *license.Lease) license.Decision {
	return deny(license.CodeClone, "lease.presented", "lease %s was shown, but the same instance of its holder has since acquired lease %s", doc.Lease, l.ID)
}

// KeptDespiteClone returns the decision for the holder that continues after a copy was seen.
func (l Lease) KeptDespiteClone() license.Decision {
	return allow(license.CodeClone, "lease.generation", "renewed, but another copy of this holder tried to renew lease %s at %s", l.ID, stamp(l.Cloned))
}

// SameMachine reports whether components match the machine that holds l. It is false
// for a pool that does not match components.
func (p Pool) SameMachine(l Lease, components map[string]string) bool {
	if p.Match.Need == 0 {
		return false
	}
	b := license.Binding{Need: p.Match.Need, Components: l.Asker.Components}
	return b.Matches(components)
}

// Heir returns the other lease of a holder that takes over the units charged to l: one
// that shares them and may still be used. It returns nil if there is none, or if another
// lease already carries the units.
func (l *Lease) Heir(others []*Lease, now time.Time, skew time.Duration) (heir *Lease) {
	for _, other := range others {
		if other.ID == l.ID || other.Units != l.Charge || !other.MayUse(now, skew) {
			continue
		}
		if other.Charge > 0 {
			return nil
		}
		if heir == nil || !heir.Live() {
			heir = other
		}
	}
	return heir
}

// Holdings returns the holders of leases, which must be in the order in which they are
// reclaimed, and the latest time at which the first of them is free.
func Holdings(next []*Lease) (holders []license.Holding, freeAt time.Time) {
	for _, l := range next {
		if l.Charge == 0 {
			continue
		}
		if freeAt.IsZero() {
			freeAt = l.Due
		}
		holders = append(holders, l.Holding())
	}
	return holders, freeAt
}
