package copyhold

import (
	"encoding/json"
	"time"

	"copyhold.dev/sdk/license"
)

// hintEvery is how often a hint of a recall that no signed lease confirmed has the same
// lease renewed: a server that makes hints up gains nothing by them.
const hintEvery = time.Minute

// A Recall asks a program to give a lease back: an administrator needs the units
// elsewhere. It is in the signed lease, so that only the vendor's server can recall.
type Recall struct {
	Lease  *Lease
	Until  time.Time // the units are given back then, if the program has not released them
	Reason string    // in the administrator's words, may be empty
}

// Recalled returns the recall of the lease, and whether there is one.
func (l *Lease) Recalled() (Recall, bool) {
	if l == nil {
		return Recall{}, false
	}
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.recall()
}

func (l *Lease) recall() (Recall, bool) {
	if l.doc == nil || l.doc.Recall == nil {
		return Recall{}, false
	}
	return Recall{Lease: l, Until: time.Unix(l.doc.Recall.Until, 0), Reason: l.doc.Recall.Reason}, true
}

// hinted renews the lease that an event names, if it is held here. The event proves
// nothing: the signed lease tells whether it is recalled.
func (c *Client) hinted(data string) {
	var event struct{ Lease string }
	if json.Unmarshal([]byte(data), &event) != nil || event.Lease == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.sys.boot()
	for _, l := range c.leases {
		if l.doc == nil || l.doc.Lease != event.Lease || l.doc.Recall != nil || l.hinted != 0 && boot-l.hinted < hintEvery {
			continue
		}
		l.hinted = max(boot, 1)
		l.renew.wait = 0
		l.renew.hasten(boot)
	}
}

// recalled notes a recall that a renewal brought, and tells the program of it once.
func (c *Client) recalled(l *Lease, boot time.Duration) {
	recall := l.doc.Recall
	if recall == nil || l.stop != 0 {
		return
	}
	// By the boot clock: a wall clock that is behind the server's must not prolong it.
	l.stop = boot + time.Duration(max(recall.Until-l.doc.IssuedAt, 0))*time.Second
	c.log.Warn("a lease is recalled", "pool", l.pool, "until", time.Unix(recall.Until, 0).UTC(), "reason", recall.Reason)
	if c.options.OnRecall == nil || !l.claimed {
		return
	}
	r, _ := l.recall()
	c.later(&c.recalls, func() { c.called("OnRecall", func() { c.options.OnRecall(r) }) })
}

// stopped reports whether the grace of a recall is over.
func (l *Lease) stopped(now int64, boot time.Duration) bool {
	if l.doc == nil || l.doc.Recall == nil {
		return false
	}
	return l.stop != 0 && boot >= l.stop || now >= l.doc.Recall.Until
}

// recallDecision is how a lease stands that was given back on a recall.
func recallDecision(d license.Decision) license.Decision {
	d.Code, d.Reason, d.Rule = license.CodeRecalled, "the lease was recalled and is given back", "lease.recall"
	return d
}
