package copyhold

import (
	"time"

	"copyhold.dev/sdk/license"
)

// A Change is a step on the ladder.
type Change struct {
	From, To license.Decision
	Cause    license.Cause // why the state is not better; "" if valid
	Lease    *Lease        // the lease whose state changed; nil for the license
}

// callbacks run one at a time, outside of any lock and outside of the client's goroutine. The
// client's lock guards this queue.
type callbacks struct {
	queue []func()
	idle  chan struct{} // closed when the queue is empty; nil if nothing was ever queued
}

// later calls f after everything that is already queued.
func (c *Client) later(q *callbacks, f func()) {
	q.queue = append(q.queue, f)
	if len(q.queue) == 1 {
		q.idle = make(chan struct{})
		time.AfterFunc(0, func() { c.deliver(q) })
	}
}

// tell logs a change and queues a call of OnChange.
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

// deliver calls the queued functions until the queue is empty.
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

// called runs one of the program's callbacks. A panic in it is not a fault of the client.
func (c *Client) called(name string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error(name+" panicked", "panic", r)
		}
	}()
	f()
}
