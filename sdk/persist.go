package copyhold

import (
	"math/rand/v2"
	"strconv"
	"time"

	"copyhold.dev/sdk/license"
)

// persist keeps what the next process needs. It has no time of the wall clock in it.
func (c *Client) persist() {
	s := state{
		Clock: c.clock.record(c.sys.bootID), RootSets: c.trust.rootSets, KeySet: c.trust.keySet,
		License: c.document.compact, Revocations: c.trust.revoked, Refusal: c.trust.no, Mismatch: c.document.mismatch,
	}
	for _, l := range c.leases {
		if l.doc != nil && l.lost == nil {
			s.Leases = append(s.Leases, leaseRecord{
				Request: l.request, Lease: l.compact, Holder: l.holder, Instance: l.instance, Nonce: l.nonce,
				Borrowed: l.borrowed, Keep: l.keep, Released: l.released,
			})
		}
	}
	if err := c.cache.save(s); err != nil && !c.cache.failed {
		c.cache.failed = true
		c.log.Error("the cache cannot be written", "folder", c.cache.dir, "error", err)
	}
}

// restore takes up what a process has kept. Every document is verified again; that it ran
// out since is for the ladder to say.
func (c *Client) restore(s state) {
	c.clock.restore(s.Clock, c.sys.bootID)
	v, err := c.trust.verifier.WithRootSets(s.RootSets, s.Clock.Signed)
	if err != nil {
		c.log.Warn("a root set in the cache is not believed", "error", err)
	}
	if v != c.trust.verifier {
		c.trust.rootSets = s.RootSets
	}
	if next, err := v.WithKeySet(s.KeySet, s.Clock.Signed); err == nil {
		v, c.trust.keySet = next, s.KeySet
	}
	c.trust.verifier = v
	known := v.Known()
	if doc, err := known.License(s.License, 0); err == nil {
		c.document.mismatch = s.Mismatch
		if err := c.hold(doc, s.License); err != nil {
			c.log.Debug("a neighbour holds an older license", "error", err)
		}
	} else if s.License != "" {
		c.log.Warn("the license in the cache is not believed", "error", err)
	}
	if list, err := known.Revocations(s.Revocations, 0); err == nil && (c.trust.revocations == nil || list.MayReplace(c.trust.revocations) == nil) {
		c.trust.revocations, c.trust.revoked = list, s.Revocations
	}
	c.restoreRefusal(known, s.Refusal)
}

func (c *Client) restoreRefusal(known *license.Verifier, no *refusal) {
	if no == nil {
		return
	}
	r, err := known.Reply(no.Reply, no.Nonce, 0)
	if err != nil || r.Decision.Outcome != license.Denied {
		return
	}
	if held := c.document.license; held != nil && held.IssuedAt > r.Time {
		return
	}
	c.trust.no = &refusal{Reply: no.Reply, Nonce: no.Nonce, subject: r.Subject, decision: &r.Decision, at: r.Time}
}

// process names this process among those that share the cache folder.
func (c *cache) process() string { return c.instance + "." + strconv.Itoa(c.slot) }

// jitter returns a random duration below d.
func jitter(d time.Duration) time.Duration { return rand.N(max(d, 1)) }
