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

// tickEvery is how often the client reads the clock and applies the ladder. It uses no longer
// timers because they stop while a machine sleeps.
const tickEvery = time.Second

const (
	freshFor    = 10 * time.Second // so long, a signed answer is as good as a new request
	failedFor   = time.Minute      // after this, a request may succeed again
	closeWait   = 300 * time.Millisecond
	dueWait     = 2 * time.Second // replaces closeWait once the document is due for a refresh
	unclosedMax = 3               // runs in a row that may end without Close
	openWait    = time.Second     // how long Open waits for the refresh after that many
	callWait    = time.Second     // how long Close waits for the program's callbacks
)

// A Client knows what a license allows. Open returns one.
type Client struct {
	options  Options
	log      *slog.Logger
	sys      system
	net      *transport // nil without endpoints
	cache    *cache
	holder   Holder
	instance string
	device   []byte // private X25519 key

	components map[string]string // of this machine, hashed

	features atomic.Pointer[map[string]*Feature]
	view     atomic.Pointer[view]
	now      atomic.Int64 // effective time of the last tick, unix seconds

	stop  context.CancelFunc
	wake  chan struct{} // signals that there may be work
	done  chan struct{} // closed when the goroutine has ended
	first chan struct{} // closed when the refresh that Open started has finished, or if there is none

	unsettled error // what could not be settled at the end; read it only after done is closed

	sending sync.Mutex // held while usage is sent over the network

	mu        sync.Mutex // held for moments, never over the network
	clock     clock
	trust     trust
	key       licenseKey
	proven    bool // the drawer's license is known to belong to the key
	strange   bool // the cache has licenses, but none of this key
	drawer    drawer
	adopting  bool        // usage stored elsewhere still has to be moved here
	answered  clockRecord // the last signed answer
	last      moment      // time of that answer
	failed    moment      // time of the last request that failed
	asked     int         // number of validation requests so far
	taken     int         // number of the one whose answer was accepted last
	looking   bool        // the key and license files are being read
	looked    time.Duration
	document  document
	leases    []*Lease
	acquiring []*Lease // acquires in progress
	refresh   schedule
	flush     schedule
	stream    stream
	doubt     doubt
	until     int64 // effective time at which checks next change by themselves; 0 means never
	timer     *time.Timer
	closed    bool
	worked    chan struct{} // closed and replaced each time all due work is done
	contact   contact
	changes   callbacks
	refusals  callbacks
	recalls   callbacks
	quotas    map[string]license.Decision // the last signed decision on a meter
}

// A contact records how the last requests to the server ended.
type contact struct {
	at  int64 // the server's time in its last signed answer
	err error // nil if the last request succeeded
}

// Open returns a client for a license. The client starts with what the cache has for the license
// key, and keeps up with the server until ctx ends or Close is called. It asks the server at once,
// in the background, unless a process that shares the cache folder has an answer less than 10
// seconds old. It waits for the network only if the cache has no license with full function, for at
// most Options.Wait. A program that was off for longer than its document lasts is thus not denied
// what the server is about to grant. After three runs in a row that ended without Close, Open waits
// up to a second for the answer.
//
// Open fails with ErrOptions if the options are wrong, or if the key file can't be read and the
// cache has no license that was fetched with it. Without a server and without a license, Open
// succeeds, the state is none, and the client keeps trying.
func Open(ctx context.Context, o Options) (*Client, error) {
	if m, ok := o.simulated(); ok {
		return open(ctx, o, simulatedSystem(m))
	}
	return open(ctx, o, realSystem(os.Getenv))
}

func open(ctx context.Context, o Options, sys system) (*Client, error) {
	o, key, err := o.ready(sys.getenv)
	if err != nil {
		return nil, classify(ErrOptions, err)
	}
	c := &Client{
		options: o, log: o.Logger, sys: sys, key: key, looked: sys.boot(),
		wake: make(chan struct{}, 1), done: make(chan struct{}), first: make(chan struct{}), worked: make(chan struct{}),
		clock:  clock{wall: sys.now, boot: sys.boot},
		quotas: map[string]license.Decision{},
	}
	c.features.Store(&map[string]*Feature{})
	c.view.Store(&view{})
	if c.trust, err = o.trust(); err != nil {
		return nil, classify(ErrOptions, err)
	}
	if len(o.Endpoints) > 0 {
		if c.net, err = newTransport(o, key.text, sys.boot); err != nil {
			return nil, classify(ErrOptions, err)
		}
		c.net.reread = c.reread
	}
	unclosed := c.openCache()
	c.readFile()
	c.mu.Lock()
	c.apply()
	c.mu.Unlock()
	waits := o.AllowNoKey && errors.Is(key.err, os.ErrNotExist)
	if key.err != nil && c.document.license == nil && c.trust.no == nil && !waits {
		c.cache.close()
		return nil, classify(ErrOptions, key.err)
	}
	c.start(ctx, unclosed)
	if m, ok := o.simulated(); ok {
		c.attach(m)
	}
	return c, nil
}

// start sends the first request. It waits if no result would be right without an answer.
func (c *Client) start(ctx context.Context, unclosed int) {
	fresh := c.sys.within(c.last, freshFor)
	if fresh || c.net == nil || c.keyless() && c.key.err == nil {
		close(c.first)
	} else {
		c.refresh.hasten(c.sys.boot())
	}
	within, stop := context.WithCancel(ctx)
	c.stop = stop
	c.mu.Lock()
	c.timer = time.AfterFunc(tickEvery, c.tick)
	c.mu.Unlock()
	v, wait := c.view.Load(), time.Duration(0)
	refused := v.refusal != nil || v.standing.Cause == license.CauseRevoked
	switch {
	case fresh || c.net == nil || (refused || v.standing.State.Full()) && c.failedLately():
	case !v.standing.State.Full():
		wait = c.options.Wait
	case unclosed >= unclosedMax:
		wait = min(openWait, c.options.Wait)
	}
	go c.run(within)
	c.awaitFirst(ctx, wait)
}

// refreshFirst does the refresh that Open started.
func (c *Client) refreshFirst(ctx context.Context) {
	select {
	case <-c.first:
		return
	default:
	}
	defer close(c.first)
	within, cancel := context.WithTimeout(ctx, foregroundTimeout)
	defer cancel()
	_ = c.refreshNow(within, foregroundAttempts)
}

// failedLately reports whether the last request failed and is less than a minute old.
func (c *Client) failedLately() bool {
	return c.sys.within(c.failed, failedFor) && c.sys.later(c.last, c.failed) == c.failed
}

// awaitFirst waits at most d for the refresh that Open started, and reports whether it has
// finished.
func (c *Client) awaitFirst(ctx context.Context, d time.Duration) bool {
	select {
	case <-c.first:
		return true
	default:
	}
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-c.first:
		return true
	case <-timer.C:
	case <-ctx.Done():
	case <-c.done:
	}
	return false
}

// run is the client's one goroutine.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	defer c.end()
	c.guard("asking", func() { c.refreshFirst(ctx) })
	for ctx.Err() == nil {
		c.guard("working", func() { c.work(ctx) })
		c.round()
		c.guard("listening", func() { c.rest(ctx) })
	}
}

// guard keeps a panic in the client from ending the program that hosts it.
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

// end settles everything it can and leaves nothing running.
func (c *Client) end() {
	c.mu.Lock()
	c.closed = true
	c.timer.Stop()
	c.mu.Unlock()
	c.guard("settling", func() { c.unsettled = c.settle() })
	c.guard("ending", func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unsettled = errors.Join(c.unsettled, classify(ErrCache, c.drawer.spool.close()))
		c.cache.count(0)
		c.cache.close()
		if c.net != nil {
			c.net.close()
		}
	})
	if c.unsettled != nil {
		c.log.Warn("not everything could be settled", "error", c.unsettled)
	}
}

// Close gives leases back, sends usage, and ends the client, as does the end of the context given
// to Open. Giving back and sending take at most 5 seconds. First, Close lets the refresh that Open
// started finish; see Options.CloseWait. Last, it waits at most a second for calls of
// OnUsageRefused. Anything that could not be sent is kept for the next process, and Close returns
// the reason: ErrUnavailable, ErrCache, or both. Checks continue to answer from memory.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	if d := c.closeWait(); d > 0 && !c.awaitFirst(context.Background(), d) {
		c.mu.Lock()
		c.failed = c.sys.moment()
		c.mu.Unlock()
	}
	c.stop()
	<-c.done
	c.mu.Lock()
	idle := c.refusals.idle
	c.mu.Unlock()
	if idle != nil {
		timer := time.NewTimer(callWait)
		defer timer.Stop()
		select {
		case <-idle:
		case <-timer.C:
		}
	}
	return c.unsettled
}

// closeWait returns how long Close waits for the refresh that Open started.
func (c *Client) closeWait() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.options.CloseWait < 0 || c.failedLately() {
		return 0
	}
	if doc := c.document.license; doc != nil && c.clock.read().now >= doc.Refresh[0] {
		return max(c.options.CloseWait, dueWait)
	}
	return c.options.CloseWait
}

// Refresh asks the server now what the license allows. It also reads the key file and the license
// file again. It returns nil if a signed answer arrived, whatever the answer says, and otherwise
// ErrUnavailable with the reason. It takes at most 8 seconds and ends early with ctx.
func (c *Client) Refresh(ctx context.Context) error {
	if c == nil {
		return unavailable(ErrClosed)
	}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return unavailable(ErrClosed)
	}
	c.look()
	if c.net == nil {
		if err := c.LastError(); err != nil {
			return unavailable(err)
		}
		return nil
	}
	within, cancel := context.WithTimeout(ctx, foregroundTimeout)
	defer cancel()
	if err := c.refreshNow(within, foregroundAttempts); err != nil {
		return unavailable(err)
	}
	return nil
}

// LastError returns the last problem that has not been resolved, or nil. The problem is that the
// key file or the license file can't be used (ErrOptions), that there is no key (ErrNoKey), that
// the servers refuse the key (ErrKeyRefused), or that no server answered (ErrUnavailable). An error
// here does not by itself take anything away.
func (c *Client) LastError() error {
	if c == nil {
		return ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault()
}

// fault is LastError with the lock already held.
func (c *Client) fault() error {
	key := classify(ErrOptions, c.key.err)
	if c.keyless() && c.key.err == nil {
		key = ErrNoKey
	}
	return errors.Join(key, classify(ErrOptions, c.document.err), classify(ErrUnavailable, c.contact.err))
}

// keyless reports whether there are servers but no key to ask them with.
func (c *Client) keyless() bool { return c.net != nil && c.key.text == "" }

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
