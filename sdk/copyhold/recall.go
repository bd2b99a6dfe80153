package copyhold

import (
	"encoding/json"
	"time"

	"copyhold.dev/sdk/license"
)

// hintEvery limits how often an unconfirmed hint of a recall makes the client renew the same lease.
// A server gains nothing by sending false hints.
const hintEvery = time.Minute

// A Recall asks a program to give a lease back because an administrator needs the units elsewhere.
// It is in the signed lease, so only the vendor's server can recall.
type Recall struct {
	Lease  *Lease
	Until  time.Time // when the client gives the units back if the program has not
	Reason string    // in the administrator's words; may be empty
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

// hinted renews the lease that an event names, if this client holds it. The event proves nothing:
// the signed lease shows whether it is recalled.
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

// recalled records a recall that arrived with a renewal, and notifies the program once.
func (c *Client) recalled(l *Lease, boot time.Duration) {
	recall := l.doc.Recall
	if recall == nil || l.stop != 0 {
		return
	}
	// Use the boot clock: a wall clock that is behind the server's must not extend the recall.
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

// recallDecision returns the decision for a lease that was given back after a recall.
func recallDecision(d license.Decision) license.Decision {
	d.Code, d.Reason, d.Rule = license.CodeRecalled, "the lease was recalled and given back", "lease.recall"
	return d
}
