package copyhold

import (
	"sync/atomic"
	"time"

	"copyhold.dev/sdk/license"
)

// claimWithin is how long a lease from an earlier process stays in the cache for Acquire to reuse
// before it is given back.
const claimWithin = time.Minute

// A Lease is a number of units that are held. The client renews it in the background until it is
// released.
type Lease struct {
	client   *Client
	pool     string
	units    int64
	holder   Holder
	instance string
	decision atomic.Pointer[license.Decision]
	ended    chan struct{}

	// The rest is guarded by the client's lock.
	request  string // id of the acquire request that created it
	doc      *license.Lease
	compact  string
	key      string        // key that it was fetched with, "" if not known
	subject  string        // the license's id
	borrowed time.Duration // requested length of a borrow, renewed for the same length
	keep     bool          // outlives the process: it is borrowed or has no end
	named    bool          // the caller chose the instance
	nonce    string        // of the renewal in progress; unchanged until it is answered
	fallback bool          // no units, only the fallback set
	claimed  bool          // Acquire in this process returned it
	since    time.Duration // boot-clock time when it was taken from the cache
	released bool          // the server still has to be told
	over     bool          // ended is closed
	lost     *license.Decision
	hinted   time.Duration // boot-clock time of the last event about a recall; 0 means never
	stop     time.Duration // boot-clock time at which a recall's grace ends; 0 means none
	dropped  bool          // released because of a recall
	renew    schedule
	standing license.Standing
}

// A leaseRecord is a lease as stored in the cache.
type leaseRecord struct {
	Request  string        `json:"request"`
	Lease    string        `json:"lease"`
	Holder   Holder        `json:"holder"`
	Instance string        `json:"instance"`
	Nonce    string        `json:"nonce,omitempty"`
	Borrowed time.Duration `json:"borrowed,omitempty"`
	Keep     bool          `json:"keep,omitempty"`
	Released bool          `json:"released,omitempty"`
}

// Pool returns the name of the pool.
func (l *Lease) Pool() string {
	if l == nil {
		return ""
	}
	return l.pool
}

// Units returns how many units are held. It is 0 if a full pool left only the fallback.
func (l *Lease) Units() int64 {
	if l == nil || l.Fallback() {
		return 0
	}
	return l.units
}

// ID returns the server's id of the lease, "" for a fallback.
func (l *Lease) ID() string {
	if l == nil {
		return ""
	}
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if l.doc == nil {
		return ""
	}
	return l.doc.Lease
}

// Fallback reports whether the pool was full and its plan grants the fallback set instead. The
// client's features are then those of the fallback until the lease is released.
func (l *Lease) Fallback() bool {
	return l != nil && l.decision.Load().Code == license.CodeFallback
}

// State returns the lease's state on the ladder. It is denied once the lease is released or lost.
func (l *Lease) State() license.State { return l.Decision().State }

// Decision reports whether the units may be used, why, and what happens next.
func (l *Lease) Decision() license.Decision {
	if l == nil {
		return license.Decision{
			Outcome: license.Unavailable, Code: license.CodeUnavailable, State: license.StateNone,
			Reason: "there is no lease", Rule: "lease.state",
		}
	}
	return *l.decision.Load()
}

// Ended returns a channel that is closed when the units may no longer be used: the lease was
// released, the vendor or an administrator ended it, or its grace passed without a renewal. The
// program decides whether it then stops running work.
func (l *Lease) Ended() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.ended
}

// applyLease brings a lease up to date.
func (c *Client) applyLease(l *Lease, r reading, boot time.Duration) {
	d := license.Decision{Outcome: license.Denied, Code: license.CodeExpired, State: license.StateDenied, Rule: "lease.state"}
	switch {
	case l.dropped:
		d = recallDecision(d)
	case l.released:
		d.Reason = "the lease was released"
	case l.lost != nil:
		d = *l.lost
		d.State = license.StateDenied
	case l.fallback:
		return
	default:
		now := c.doubt.at(r, boot, l.doc.Due, l.doc.Expires)
		l.standing = l.doc.Standing(c.leaseFacts(l.doc), now)
		d = leaseDecision(l.standing)
	}
	before := l.decision.Load()
	if before != nil && same(*before, d) {
		return
	}
	l.decision.Store(&d)
	if d.Outcome == license.Denied && !l.over {
		l.over = true
		close(l.ended)
	}
	if before != nil && before.State != d.State && !l.released {
		c.tell(Change{From: *before, To: d, Cause: l.standing.Cause, Lease: l})
	}
}

func leaseDecision(s license.Standing) license.Decision {
	d := license.Decision{
		Outcome: license.Allowed, Code: s.Code, Reason: leaseReason(s), Rule: "lease.state",
		State: s.State, Next: string(s.Next), NextAt: s.At,
	}
	if !s.State.Full() { // another holder may have the units by now
		d.Outcome = license.Denied
	}
	return d
}

func leaseReason(s license.Standing) string {
	switch s.Code {
	case license.CodeOK:
		return "the units are held"
	case license.CodeStale:
		return "the lease is overdue for renewal"
	case license.CodeGrace:
		return "the lease could not be renewed and is in its grace"
	case license.CodeDegraded, license.CodeExpired:
		return "the lease could not be renewed in time"
	case license.CodeRevoked:
		return "the vendor has ended the lease"
	}
	return license.Reason(s.Code)
}

// same reports whether two decisions of the ladder are the same.
func same(a, b license.Decision) bool {
	return a.Outcome == b.Outcome && a.Code == b.Code && a.State == b.State && a.NextAt == b.NextAt && a.Reason == b.Reason
}

func (c *Client) leaseFacts(doc *license.Lease) license.Facts {
	f := license.Facts{Clock: c.doubt.on, Revoked: c.trust.revocation(doc.Lease)}
	if f.Revoked == nil {
		f.Revoked = c.trust.revocation(doc.Subject)
	}
	if b := doc.Binding; b != nil && !c.matches(b) {
		f.Mismatch = max(c.document.mismatch, doc.IssuedAt)
	}
	return f
}

func (c *Client) holds(l *Lease) bool {
	for _, held := range c.leases {
		if held == l {
			return true
		}
	}
	return false
}

// knows reports whether a lease is already held, in this generation or a later one. It drops an
// earlier generation that was not acquired again.
func (c *Client) knows(doc *license.Lease) bool {
	for _, l := range c.leases {
		if l.doc != nil && l.doc.Lease == doc.Lease {
			if l.claimed || l.doc.Generation >= doc.Generation {
				return true
			}
			c.forget(l)
		}
	}
	return false
}

func (c *Client) forget(l *Lease) {
	var rest []*Lease
	for _, held := range c.leases {
		if held != l {
			rest = append(rest, held)
		}
	}
	c.leases = rest
}

// restoreLeases takes over the leases of a license from an earlier process in this slot. They can
// be acquired again without a server. Leases that the earlier process could not give back are given
// back.
func (c *Client) restoreLeases(records []leaseRecord, subject string) {
	known := c.trust.verifier.Known()
	for _, r := range records {
		doc, err := known.Lease(r.Lease, 0)
		if err != nil {
			c.log.Warn("a lease in the cache is not valid", "error", err)
			continue
		}
		if doc.Subject != subject || c.knows(doc) {
			continue
		}
		l := &Lease{
			client: c, pool: doc.Pool, units: doc.Units, holder: r.Holder, instance: r.Instance,
			request: r.Request, nonce: r.Nonce, doc: doc, compact: r.Lease, subject: doc.Subject, borrowed: r.Borrowed, keep: r.Keep,
			released: r.Released, since: c.sys.boot(), ended: make(chan struct{}),
		}
		l.renew.between(doc.Refresh)
		c.clock.advance(doc.IssuedAt, false)
		c.leases = append(c.leases, l)
	}
}
