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

// callbacks are called one at a time, outside of any lock and of the goroutine. The client's
// lock guards it.
type callbacks struct {
	queue []func()
	idle  chan struct{} // closed once the queue is empty; nil while nothing was ever queued
}

// later has f called after what is queued.
func (c *Client) later(q *callbacks, f func()) {
	q.queue = append(q.queue, f)
	if len(q.queue) == 1 {
		q.idle = make(chan struct{})
		time.AfterFunc(0, func() { c.deliver(q) })
	}
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
	c.later(&c.changes, func() { c.called("OnChange", func() { c.options.OnChange(ch) }) })
}

// deliver calls what is queued until the queue is empty.
func (c *Client) deliver(q *callbacks) {
	for {
		c.mu.Lock()
		f := q.queue[0]
		c.mu.Unlock()
		f()
		c.mu.Lock()
		q.queue = q.queue[1:]
		empty := len(q.queue) == 0
		if empty {
			close(q.idle)
		}
		c.mu.Unlock()
		if empty {
			return
		}
	}
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
