package copyhold

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/sdk/license"
)

// tickEvery is how often the clock is read and the ladder applied. No longer timer is
// used, because timers stop while a machine sleeps.
const tickEvery = time.Second

// freshWithin is how soon after Open the server is asked, when the cache has a license.
const freshWithin = 5 * time.Second

// A Client knows what a license allows. Open makes one.
type Client struct {
	options  Options
	log      *slog.Logger
	sys      system
	net      *transport // nil without endpoints
	cache    *cache
	spool    *spool
	holder   Holder
	instance string
	device   []byte // private X25519 key

	components map[string]string // of this machine, hashed

	features atomic.Pointer[map[string]*Feature]
	view     atomic.Pointer[view]
	now      atomic.Int64 // effective time of the last tick, unix seconds

	stop context.CancelFunc
	wake chan struct{} // there may be work
	done chan struct{} // closed when the goroutine has ended

	unsettled error // what the end could not settle; read after done

	mu        sync.Mutex // held for moments, never over the network
	clock     clock
	trust     trust
	document  document
	leases    []*Lease
	acquiring []*Lease // on their way
	refresh   schedule
	flush     schedule
	stream    stream
	doubt     doubt
	until     int64 // effective time at which what checks see changes by itself; 0 never
	timer     *time.Timer
	closed    bool
	contact   contact
	changes   changes
	quotas    map[string]license.Decision // the last signed decision on a meter
}

// A contact is how asking the server went lately.
type contact struct {
	at  int64 // the server's time in its last signed answer
	err error // nil when the last attempt succeeded
}

// Open returns a client that knows what its cache knows, and keeps up with the server
// until ctx ends or Close is called. It waits for the network only when the cache has no
// license with full function, at most Options.Wait: who was off for longer than its
// document lasts is not denied what the server is about to grant. It fails only when the
// options are wrong: without a server and a license the state is none, and the client goes
// on trying.
func Open(ctx context.Context, o Options) (*Client, error) {
	return open(ctx, o, realSystem(os.Getenv))
}

func open(ctx context.Context, o Options, sys system) (*Client, error) {
	o, err := o.ready(sys.getenv)
	if err != nil {
		return nil, err
	}
	c := &Client{
		options: o, log: o.Logger, sys: sys,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		clock:  clock{wall: sys.now, boot: sys.boot},
		quotas: map[string]license.Decision{},
	}
	c.features.Store(&map[string]*Feature{})
	c.view.Store(&view{})
	if c.trust, err = o.trust(); err != nil {
		return nil, err
	}
	if len(o.Endpoints) > 0 {
		if c.net, err = newTransport(o, sys.boot); err != nil {
			return nil, err
		}
	}
	c.openCache()
	c.readFile()
	c.mu.Lock()
	c.apply()
	c.mu.Unlock()
	if c.net != nil && !c.view.Load().standing.State.Full() && o.Wait > 0 {
		waiting, cancel := context.WithTimeout(ctx, o.Wait)
		c.refreshNow(waiting, foregroundAttempts)
		cancel()
	}
	ctx, c.stop = context.WithCancel(ctx)
	c.mu.Lock()
	c.timer = time.AfterFunc(tickEvery, c.tick)
	c.mu.Unlock()
	go c.run(ctx)
	return c, nil
}

// run is the client's one goroutine.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	defer c.end()
	for ctx.Err() == nil {
		c.guard("working", func() { c.work(ctx) })
		c.guard("listening", func() { c.rest(ctx) })
	}
}

// guard keeps a panic of ours from ending the program that we are a guest in.
func (c *Client) guard(doing string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("a fault of the license client", "doing", doing, "panic", r)
			c.mu.Lock()
			c.refresh.failed(c.sys.boot(), time.Minute, time.Minute, 0)
			c.stream.retryAt = c.sys.boot() + time.Minute
			c.mu.Unlock()
		}
	}()
	f()
}

// end settles what can be settled and leaves nothing running.
func (c *Client) end() {
	c.mu.Lock()
	c.closed = true
	c.timer.Stop()
	c.mu.Unlock()
	c.guard("settling", func() { c.unsettled = c.settle() })
	c.guard("ending", func() {
		c.unsettled = errors.Join(c.unsettled, c.spool.close())
		c.cache.close()
		if c.net != nil {
			c.net.close()
		}
	})
	if c.unsettled != nil {
		c.log.Warn("not everything could be settled", "error", c.unsettled)
	}
}

// Close ends the client, as the end of the context given to Open does, and waits for it:
// leases are given back and usage is sent, for at most 5 seconds in all. What could not
// be sent is kept for the next process, and Close returns why. Checks go on answering from
// memory.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	c.stop()
	<-c.done
	return c.unsettled
}

// poke makes the goroutine look for work.
func (c *Client) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream.interrupt != nil {
		c.stream.interrupt()
	}
}
