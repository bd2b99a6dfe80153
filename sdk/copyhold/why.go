package copyhold

import (
	"fmt"
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

// An Explanation is everything that a client knows about itself, for people and for logs. It
// contains no secrets.
type Explanation struct {
	Decision      license.Decision // whether the license may be used, and why
	License       string           // the license's id, "" if there is none
	Plan          string
	Customer      string
	Seq           license.Seq
	Until         time.Time // full function ends then if nothing else happens; the zero time means never
	ClockDoubtful bool      // whether the clock of this machine is in doubt
	Holder        Holder
	Instance      string
	Leases        []LeaseExplanation
	Endpoint      string    // the endpoint in use
	LastContact   time.Time // time of the last signed answer, by the server's clock
	LastError     string    // the text of Client.LastError; "" if nothing is wrong
	Cache         string    // the cache folder, "" if there is none
	Usage         int       // number of unsent events
}

// A LeaseExplanation describes one lease.
type LeaseExplanation struct {
	ID, Pool string
	Units    int64
	Decision license.Decision
}

// State returns the license's state on the ladder.
func (c *Client) State() license.State { return c.Standing().State }

// Standing returns the license's state and what happens next.
func (c *Client) Standing() license.Standing {
	if c == nil {
		return license.Standing{State: license.StateNone, Code: license.CodeNoLicense}
	}
	v := c.view.Load()
	if v.license == nil {
		return license.Standing{State: license.StateNone, Code: license.CodeNoLicense}
	}
	return v.standing
}

// License returns the license document in force, or nil. It is shared: do not change it.
func (c *Client) License() *license.License {
	if c == nil {
		return nil
	}
	return c.view.Load().license
}

// Why explains the client's state.
func (c *Client) Why() Explanation {
	if c == nil {
		return Explanation{Decision: (*view)(nil).decision()}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	events, _ := c.drawer.spool.pending()
	v := c.view.Load()
	e := Explanation{
		Decision: v.decision(), ClockDoubtful: c.doubt.on, Holder: c.holder, Instance: c.instance, Cache: c.cache.dir, Usage: events,
	}
	if doc := v.license; doc != nil {
		e.License, e.Plan, e.Customer, e.Seq = doc.Subject, doc.Plan, doc.Customer, doc.Seq
		e.Until = c.fullUntil(doc)
	}
	for _, l := range c.leases {
		one := LeaseExplanation{Pool: l.pool, Units: l.units, Decision: *l.decision.Load()}
		if l.doc != nil {
			one.ID = l.doc.Lease
		}
		e.Leases = append(e.Leases, one)
	}
	if c.net != nil {
		e.Endpoint, _ = c.net.health()
	}
	if c.contact.at != 0 {
		e.LastContact = time.Unix(c.contact.at, 0).UTC()
	}
	if err := c.fault(); err != nil {
		e.LastError = err.Error()
	}
	return e
}

// fullUntil follows the ladder to the first step that takes something away.
func (c *Client) fullUntil(doc *license.License) time.Time {
	now := c.now.Load()
	facts := c.facts(doc.Subject, doc.Binding)
	s := doc.Standing(facts, now)
	for s.State.Full() && s.At > now {
		now = s.At
		s = doc.Standing(facts, now)
	}
	if s.State.Full() {
		return time.Time{}
	}
	return time.Unix(now, 0).UTC()
}

// String returns the explanation as lines of text.
func (e Explanation) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	line("license", "%s: %s", e.Decision.State, e.Decision.Reason)
	if e.License != "" {
		line("", "%s of %s, plan %s, document %d.%d", e.License, e.Customer, e.Plan, e.Seq.Epoch, e.Seq.Counter)
	}
	if e.Decision.NextAt != 0 {
		line("next", "%s at %s", e.Decision.Next, time.Unix(e.Decision.NextAt, 0).UTC().Format(time.RFC3339))
	}
	if !e.Until.IsZero() {
		line("full", "until %s", e.Until.Format(time.RFC3339))
	}
	if e.ClockDoubtful {
		line("clock", "ahead of the server's time plus the time since then")
	}
	line("holder", "%s %s, instance %s", e.Holder.Kind, e.Holder.ID, e.Instance)
	for _, l := range e.Leases {
		line("lease", "%d of %s: %s, %s (%s)", l.Units, l.Pool, l.Decision.State, l.Decision.Reason, l.ID)
	}
	if e.Endpoint != "" {
		line("server", "%s, last answer %s", e.Endpoint, instant(e.LastContact))
	}
	if e.LastError != "" {
		line("error", "%s", e.LastError)
	}
	if e.Usage > 0 {
		line("usage", "events not sent yet: %d", e.Usage)
	}
	return b.String()
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}
