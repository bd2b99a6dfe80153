package copyhold

import (
	"math"
	"time"

	"copyhold.dev/sdk/internal/simulation"
)

// simulated returns the machine that package copyholdtest substitutes for the real one.
func (o Options) simulated() (simulation.Machine, bool) {
	if o.HTTPClient == nil {
		return simulation.Machine{}, false
	}
	carrier, ok := o.HTTPClient.Transport.(simulation.Carrier)
	if !ok {
		return simulation.Machine{}, false
	}
	return carrier.Machine(), true
}

func simulatedSystem(m simulation.Machine) system {
	return system{
		now: m.Now, boot: m.Boot, bootID: "simulated", countSleep: true,
		getenv:  func(string) string { return "" },
		machine: func() machine { return machine{} },
	}
}

// attach lets the simulation drive the client.
func (c *Client) attach(m simulation.Machine) {
	m.Attach(simulation.Program{Settle: c.catchUp, Hurry: c.hurry, Next: c.nextEvent, Closed: func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.closed
	}})
}

// round signals that the client's goroutine has done all due work.
func (c *Client) round() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.worked)
	c.worked = make(chan struct{})
}

// catchUp applies the clock. It returns once the client has done all due work and the program's
// callbacks have run.
func (c *Client) catchUp() {
	<-c.first
	for {
		c.tick()
		c.mu.Lock()
		due, worked := !c.closed && c.hasWork(c.clock.read().now, c.sys.boot()), c.worked
		calls := []chan struct{}{c.changes.idle, c.refusals.idle, c.recalls.idle}
		c.mu.Unlock()
		if !due {
			for _, idle := range calls {
				if idle != nil {
					<-idle
				}
			}
			return
		}
		c.poke()
		select {
		case <-worked:
		case <-c.done:
			return
		}
	}
}

// hurry makes every kind of request to the server due.
func (c *Client) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.sys.boot()
	due := []*schedule{&c.refresh}
	if events, _ := c.drawer.spool.pending(); events > 0 {
		due = append(due, &c.flush)
	}
	for _, l := range c.leases {
		due = append(due, &l.renew)
	}
	for _, s := range due {
		s.wait = 0
		s.hasten(boot)
	}
}

// nextEvent returns the next time at which something changes on its own or a request is due.
func (c *Client) nextEvent() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, next := c.clock.read().now, int64(math.MaxInt64)
	at := func(t int64) {
		if t > now && t < next {
			next = t
		}
	}
	at(c.until)
	at(c.refresh.point)
	for _, l := range c.leases {
		at(l.standing.At)
		at(l.renew.point)
		if l.stop != 0 {
			at(now + int64((l.stop-c.sys.boot()+time.Second-1)/time.Second))
		}
	}
	return next
}
