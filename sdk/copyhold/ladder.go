package copyhold

import (
	"time"

	"copyhold.dev/sdk/license"
)

// A doubt means that the wall clock is further ahead than signed time and the boot clock can
// explain. It uses up grace and has no other effect.
type doubt struct {
	on    bool
	since time.Duration // on the boot clock; each fresh signed time restarts it
}

// at returns the time at which to read a document's ladder. While the clock is in doubt, that is at
// most the end of the grace, until the doubt has lasted as long as the grace. A wrong clock thus
// locks nobody out, and a clock that was held back gains no more than that.
func (d doubt) at(r reading, boot time.Duration, due, exp int64) int64 {
	if !d.on || boot-d.since >= time.Duration(exp-due)*time.Second {
		return r.now
	}
	return max(min(r.now, exp-1), r.trusted)
}

// tick applies the next change on the ladder, and wakes the goroutine if something is due.
func (c *Client) tick() {
	due := false
	c.guard("ticking", func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.apply()
		due = c.isDue()
		if boot := c.sys.boot(); !c.looking && boot-c.looked >= lookEvery && (c.key.file != "" || c.options.LicenseFile != "") {
			c.looking, c.looked = true, boot
			time.AfterFunc(0, c.look) // on its own goroutine, because a file system may hang
		}
	})
	c.mu.Lock()
	if !c.closed {
		c.timer.Reset(tickEvery)
	}
	c.mu.Unlock()
	if due {
		c.poke()
	}
}

// look reads the key file and the license file again, because a mounted secret may have been
// rotated.
func (c *Client) look() {
	c.guard("reading files", func() {
		changed := c.reread()
		c.readFile()
		c.mu.Lock()
		c.looking = false
		changed = (changed || c.document.file != nil) && !c.closed
		if changed {
			c.apply()
		}
		c.mu.Unlock()
		if changed {
			c.poke()
		}
	})
}

// apply reads the clock and updates everything that checks read.
func (c *Client) apply() {
	c.admitFile(c.clock.read().now)
	r, boot := c.clock.read(), c.sys.boot()
	if r.doubt && !c.doubt.on {
		c.doubt.since = boot
		c.refresh.hasten(boot)
	}
	c.doubt.on = r.doubt
	c.watchBinding(r)
	fallback := false
	for _, l := range c.leases {
		c.applyLease(l, r, boot)
		fallback = fallback || l.fallback
	}
	was, next := c.view.Load(), &view{refusal: c.trust.refusal(), fallback: fallback, cause: c.cause()}
	now := r.now
	if doc := c.document.license; doc != nil {
		now = c.doubt.at(r, boot, doc.Due, doc.Expires)
		next.license, next.standing = doc, doc.Standing(c.facts(doc.Subject, doc.Binding), now)
	}
	c.show(was, next, now)
}

func (c *Client) facts(subject string, b *license.Binding) license.Facts {
	f := license.Facts{Clock: c.doubt.on, Revoked: c.trust.revocation(subject)}
	if !c.options.Released.IsZero() {
		f.Released = c.options.Released.Unix()
	}
	if b != nil {
		f.Mismatch = c.document.mismatch
	}
	return f
}

// show makes next the view that checks read at now, and reports a change to the program.
func (c *Client) show(was, next *view, now int64) {
	before := c.now.Swap(now)
	if *was == *next {
		if now >= before && (c.until == 0 || now < c.until) {
			return
		}
		next = was
	}
	c.view.Store(next)
	if doc := next.license; doc != nil && was.license != doc {
		for _, set := range []map[string]license.Feature{doc.Features, doc.Fallback} {
			for name := range set {
				c.resolve(name)
			}
		}
	}
	if told := c.options.OnLicense; told != nil && was.license != next.license {
		c.later(&c.changes, func() { c.called("OnLicense", func() { told(was.license, next.license) }) })
	}
	c.until = next.standing.At
	for _, f := range *c.features.Load() {
		if d := c.grant(f, next); d.NextAt != 0 && (c.until == 0 || d.NextAt < c.until) {
			c.until = d.NextAt
		}
	}
	from, to := was.decision(), next.decision()
	if from.State != to.State || from.Outcome != to.Outcome || was.standing.Cause != next.standing.Cause {
		c.tell(Change{From: from, To: to, Cause: next.standing.Cause})
	}
}

// watchBinding records when this machine stopped matching the license's binding. The record of an
// earlier process may have been edited, so a mismatch from the start counts from the last signed
// time.
func (c *Client) watchBinding(r reading) {
	doc := c.document.license
	if doc == nil {
		return
	}
	if doc.Binding == nil || c.matches(doc.Binding) {
		c.document.matched = true
		if c.document.mismatch != 0 {
			c.document.mismatch = 0
			c.persist()
		}
		return
	}
	if c.document.mismatch == 0 {
		since := c.clock.signed
		if c.document.matched {
			since = r.trusted
		}
		c.document.mismatch = max(since, doc.IssuedAt)
		c.log.Warn("the license is bound to another machine")
		c.persist()
	}
}
