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

const (
	freshFor    = 10 * time.Second // a signed answer is as good as asking
	failedFor   = time.Minute      // after which asking may go better
	closeWait   = 300 * time.Millisecond
	dueWait     = 2 * time.Second // in its place once the document asks to be refreshed
	unclosedMax = 3               // runs in a row that may end without Close
	openWait    = time.Second     // for the refresh, after those
	callWait    = time.Second     // for the program's callbacks at the end
)

// A Client knows what a license allows. Open makes one.
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
	wake  chan struct{} // there may be work
	done  chan struct{} // closed when the goroutine has ended
	first chan struct{} // closed when Open's refresh has come to its end, or there is none

	unsettled error // what the end could not settle; read after done

	sending sync.Mutex // held while usage is sent, over the network

	mu        sync.Mutex // held for moments, never over the network
	clock     clock
	trust     trust
	key       licenseKey
	proven    bool // the drawer's license is the key's
	strange   bool // the cache holds licenses, and none of this key
	drawer    drawer
	adopting  bool        // usage that lies elsewhere is to be taken over
	answered  clockRecord // the last signed answer
	last      moment      // of that answer
	failed    moment      // of the last attempt to ask that failed
	asked     int         // questions of what the license allows, ever
	taken     int         // the one whose answer was taken last
	looking   bool        // at the key and license files
	looked    time.Duration
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
	worked    chan struct{} // closed, and replaced, when what was due is done
	contact   contact
	changes   callbacks
	refusals  callbacks
	recalls   callbacks
	quotas    map[string]license.Decision // the last signed decision on a meter
}

// A contact is how asking the server went lately.
type contact struct {
	at  int64 // the server's time in its last signed answer
	err error // nil when the last attempt succeeded
}

// Open returns a client that knows what its cache knows of the license of its key, and keeps
// up with the server until ctx ends or Close is called. It asks the server at once, in the
// background, unless a process of this cache folder has an answer that is younger than 10
// seconds. It waits for the network only when the cache has no license with full function,
// at most Options.Wait: a program that was off for longer than its document lasts is not
// denied what the server is about to grant. After three runs in a row that ended without
// Close it waits up to a second for the answer.
//
// It fails with ErrOptions if the options are wrong, or if the key file can't be read and the
// cache holds no license that was fetched with it. Without a server and a license the state
// is none, and the client goes on trying.
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

// start begins to ask, and waits where nothing would be right without an answer.
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

// refreshFirst asks for what Open has begun to ask.
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

// failedLately reports whether the last attempt to ask failed, within a minute.
func (c *Client) failedLately() bool {
	return c.sys.within(c.failed, failedFor) && c.sys.later(c.last, c.failed) == c.failed
}

// awaitFirst waits until Open's refresh has come to its end, for at most d, and reports
// whether it has.
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

// Close ends the client, as the end of the context given to Open does, and waits for it:
// leases are given back and usage is sent, for at most 5 seconds in all. Before that, Close
// lets the refresh that Open has begun come to its end, see Options.CloseWait; after that, it
// waits for calls of OnUsageRefused, for at most a second. What could not be sent is kept for
// the next process, and Close returns why: ErrUnavailable, ErrCache or both. Checks go on
// answering from memory.
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

// closeWait is how long Close waits for Open's refresh.
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

// Refresh asks the server now what the license allows, and reads the key file and the
// license file again. It returns nil once a signed answer has come, whatever the answer says,
// and otherwise ErrUnavailable with the reason. It takes at most 8 seconds, and ends with ctx.
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

// LastError returns what went wrong last and was not put right since, nil if nothing is
// wrong: the key file or the license file can't be used (ErrOptions), there is no key
// (ErrNoKey), the servers refuse it (ErrKeyRefused), or none of them answered (ErrUnavailable).
// It takes nothing away by itself.
func (c *Client) LastError() error {
	if c == nil {
		return ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault()
}

// fault is LastError with the lock held.
func (c *Client) fault() error {
	key := classify(ErrOptions, c.key.err)
	if c.keyless() && c.key.err == nil {
		key = ErrNoKey
	}
	return errors.Join(key, classify(ErrOptions, c.document.err), classify(ErrUnavailable, c.contact.err))
}

// keyless reports whether servers could be asked, and there is no key to ask with.
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
