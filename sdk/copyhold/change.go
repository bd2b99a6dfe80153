package copyhold

import (
	"time"

	"copyhold.dev/sdk/license"
)

// A Change is a step on the ladder.
type Change struct {
	From, To license.Decision
	Cause    license.Cause // why it is not better; "" when valid
	Lease    *Lease        // the lease whose state changed, nil for the license
}

// changes are told one at a time, outside of any lock and of the goroutine. The client's
// lock guards it.
type changes struct {
	queue   []Change
	telling bool
}

// tell logs a change and has OnChange called soon.
func (c *Client) tell(ch Change) {
	about := "license"
	if ch.Lease != nil {
		about = "lease of " + ch.Lease.pool
	}
	c.log.Info("state changed", "of", about, "from", ch.From.State, "to", ch.To.State, "cause", ch.Cause, "reason", ch.To.Reason)
	if c.options.OnChange == nil {
		return
	}
	c.changes.queue = append(c.changes.queue, ch)
	if !c.changes.telling {
		c.changes.telling = true
		time.AfterFunc(0, c.deliver)
	}
}

// deliver calls OnChange until the queue is empty.
func (c *Client) deliver() {
	for {
		c.mu.Lock()
		if len(c.changes.queue) == 0 {
			c.changes.telling = false
			c.mu.Unlock()
			return
		}
		ch := c.changes.queue[0]
		c.changes.queue = c.changes.queue[1:]
		c.mu.Unlock()
		c.call(ch)
	}
}

func (c *Client) call(ch Change) {
	c.called("OnChange", func() { c.options.OnChange(ch) })
}

// called runs what the program wants to be told with. Its panic is no fault of the client.
func (c *Client) called(name string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error(name+" panicked", "panic", r)
		}
	}()
	f()
}
