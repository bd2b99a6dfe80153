package copyhold

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"copyhold.dev/sdk/license"
)

// persist stores what the next process needs, in the drawer that it belongs to. The machine's own
// clock has no part in it, unless the system does not name its boots.
func (c *Client) persist() (kept bool) {
	s := state{
		Clock: c.answered, RootSets: c.trust.rootSets, KeySet: c.trust.keySet, Revocations: c.trust.revoked,
		Mismatch: c.document.mismatch, Keys: c.drawer.keys, KeyFile: c.key.file,
	}
	if c.failed != (moment{}) {
		s.Failed = &c.failed
	}
	s.Clock.Signed = c.clock.signed
	if doc := c.document.license; doc != nil && doc.Subject == c.drawer.license {
		s.License = c.document.compact
	}
	if no := c.trust.no; no != nil && no.subject == c.drawer.license {
		s.Refusal = no
	}
	for _, l := range c.leases {
		if l.doc != nil && l.lost == nil && (c.drawer.license == "" || l.doc.Subject == c.drawer.license) {
			s.Leases = append(s.Leases, leaseRecord{
				Request: l.request, Lease: l.compact, Holder: l.holder, Instance: l.instance, Nonce: l.nonce,
				Borrowed: l.borrowed, Keep: l.keep, Released: l.released,
			})
		}
	}
	err := c.drawer.save(s)
	if err != nil && !c.cache.failed {
		c.cache.failed = true
		c.log.Error("the cache cannot be written", "folder", c.cache.dir, "error", err)
	}
	return err == nil
}

// restoreAll restores what the cache has for the key: the license that is known to belong to the
// key, and data that belongs to no license.
func (c *Client) restoreAll() {
	all := c.cache.load()
	for _, k := range all {
		c.restoreTrust(k.state)
	}
	c.verifyAll(all)
	subject, sure := c.licenseOf(all, c.key)
	c.drawer, c.proven = c.openDrawer(subject), sure && c.key.err == nil
	c.strange, c.adopting = subject == "" && len(all) > 0, true
	for _, k := range all {
		if reply := c.restoreClock(k.Clock); reply != nil && reply.Subject == subject {
			c.last = c.sys.later(c.last, k.Clock.moment(reply.Time))
		}
		if filepath.Dir(k.dir) == c.drawer.path && k.Failed != nil {
			c.failed = c.sys.later(c.failed, *k.Failed)
		}
	}
	c.restoreLicense(all, subject)
}

// restoreLicense restores what the cache has for one license.
func (c *Client) restoreLicense(all []kept, subject string) {
	if subject == "" {
		return
	}
	for _, k := range all {
		if k.subject != subject {
			continue
		}
		if filepath.Dir(k.dir) == c.drawer.path {
			for _, digest := range k.Keys {
				c.drawer.remember(digest)
			}
		}
		if k.doc != nil {
			c.document.mismatch = min(k.Mismatch, max(c.clock.signed, k.doc.IssuedAt))
			if err := c.hold(k.doc, k.License); err != nil {
				c.log.Debug("another process has an older license", "error", err)
			}
		}
		if held := c.document.license; k.no != nil && (held == nil || held.IssuedAt <= k.no.at) {
			c.trust.no = k.no
		}
	}
	for _, k := range all {
		if k.own {
			c.restoreLeases(k.Leases, subject)
		}
	}
}

// restoreTrust restores later root sets, key sets, and revocations, which belong to the issuer. It
// verifies their signatures again.
func (c *Client) restoreTrust(s state) {
	v, err := c.trust.verifier.WithRootSets(s.RootSets, s.Clock.Signed)
	if err != nil {
		c.log.Warn("a root set in the cache is not valid", "error", err)
	}
	if v != c.trust.verifier {
		c.trust.rootSets = s.RootSets
	}
	if next, err := v.WithKeySet(s.KeySet, s.Clock.Signed); err == nil {
		v, c.trust.keySet = next, s.KeySet
	}
	c.trust.verifier = v
	if list, err := v.Known().Revocations(s.Revocations, 0); err == nil && (c.trust.revocations == nil || list.MayReplace(c.trust.revocations) == nil) {
		c.trust.revocations, c.trust.revoked = list, s.Revocations
	}
}

// verifyAll verifies the licenses and refusals in the cache, each distinct one once. The ladder
// decides whether they have expired since.
func (c *Client) verifyAll(all []kept) {
	known := c.trust.verifier.Known()
	docs, refusals := map[string]*license.License{}, map[refusal]*refusal{}
	for i := range all {
		k := &all[i]
		if _, done := docs[k.License]; !done && k.License != "" {
			doc, err := known.License(k.License, 0)
			if err != nil {
				c.log.Warn("a license in the cache is not valid", "error", err)
			}
			docs[k.License] = doc
		}
		if no := k.Refusal; no != nil {
			if _, done := refusals[*no]; !done {
				refusals[*no] = verifyRefusal(known, *no)
			}
			k.no = refusals[*no]
		}
		if k.doc = docs[k.License]; k.doc != nil {
			k.subject = k.doc.Subject
		} else if k.no != nil {
			k.subject = k.no.subject
		}
		if k.no != nil && k.no.subject != k.subject {
			k.no = nil
		}
	}
}

func verifyRefusal(known *license.Verifier, no refusal) *refusal {
	r, err := known.Reply(no.Reply, no.Nonce, 0)
	if err != nil || r.Decision.Outcome != license.Denied {
		return nil
	}
	return &refusal{Reply: no.Reply, Nonce: no.Nonce, subject: r.Subject, decision: &r.Decision, at: r.Time}
}

// restoreClock restores a signed time. It returns the answer that contains the time, or nil if no
// answer can be believed. The rest of the record is believed only with the answer, because the
// nonce of the request was derived from the boot and its clock.
func (c *Client) restoreClock(r clockRecord) *license.Reply {
	if r.Reply == "" {
		return nil
	}
	reply, err := c.trust.verifier.Known().Reply(r.Reply, r.nonce(), 0)
	if err != nil {
		c.log.Warn("a time in the cache is not valid", "error", err)
		return nil
	}
	if c.clock.restore(reply.Time, r, c.sys.bootID) {
		c.answered = r
	}
	return reply
}

// licenseOf returns the license that the cache has for a key, or "". It is sure if a document lists
// the key, or if the cache has recorded that the key fetched the document. Data from earlier
// versions records no key. It counts for a key that has nothing else, until a server states which
// license the key belongs to. While the key file can't be read, the license that was fetched with
// it counts, or else the only license in the cache.
func (c *Client) licenseOf(all []kept, key licenseKey) (subject string, sure bool) {
	bound, ids := map[string]bool{}, map[string]bool{}
	for _, k := range all {
		ids[k.subject] = ids[k.subject] || k.subject != ""
		bound[k.subject] = bound[k.subject] || len(k.Keys) > 0 || k.doc != nil && len(k.doc.LicenseKeys) > 0
	}
	delete(ids, "")
	for _, matches := range []func(k kept) bool{
		func(k kept) bool {
			if key.err != nil {
				return k.KeyFile == key.file
			}
			return k.doc != nil && k.doc.HasKey(key.hash) || has(k.Keys, key.digest(c.trust.verifier.Issuer(), k.subject))
		},
		func(kept) bool { return key.err != nil && len(ids) == 1 },
	} {
		if found := newest(all, matches); found != "" {
			return found, true
		}
	}
	return newest(all, func(k kept) bool { return key.err == nil && !c.keyless() && k.early && !bound[k.subject] }), false
}

// newest returns the license of the latest state that matches, or "".
func newest(all []kept, matches func(k kept) bool) (subject string) {
	latest := int64(-1)
	for _, k := range all {
		at := int64(0)
		if k.doc != nil {
			at = k.doc.IssuedAt
		}
		if k.no != nil {
			at = max(at, k.no.at)
		}
		if k.subject != "" && at >= latest && matches(k) {
			subject, latest = k.subject, at
		}
	}
	return subject
}

// jitter returns a random duration below d.
func jitter(d time.Duration) time.Duration { return rand.N(max(d, 1)) }

// has reports whether a list contains a text.
func has(list []string, text string) bool { return slices.Contains(list, text) }
