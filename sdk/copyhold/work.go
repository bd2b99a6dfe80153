package copyhold

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"copyhold.dev/sdk/license"
)

// settleWithin limits how long the end of a client may take.
const settleWithin = 5 * time.Second

// isDue reports whether there is work to do.
func (c *Client) isDue() bool {
	if c.net == nil {
		return false
	}
	now, boot := c.clock.read().now, c.sys.boot()
	if c.hasWork(now, boot) || boot-c.stream.heard > streamQuiet && c.stream.interrupt != nil {
		return true
	}
	return c.stream.interrupt == nil && c.license() != nil && boot >= c.stream.retryAt
}

// hasWork reports whether there is something to send to the server or ask it, apart from the
// stream.
func (c *Client) hasWork(now int64, boot time.Duration) bool {
	due := c.adopting || c.refresh.due(now, boot) || c.flush.due(now, boot)
	for _, l := range c.leases {
		due = due || l.due(now, boot)
	}
	return due
}

func (c *Client) license() *license.License { return c.document.license }

// due reports whether l needs a request to the server.
func (l *Lease) due(now int64, boot time.Duration) bool {
	if l.fallback || l.lost != nil && !l.released {
		return false
	}
	if l.released || l.abandoned(boot) {
		return boot >= l.renew.wait
	}
	if l.doc != nil && l.doc.Recall != nil { // a recalled lease is not renewed
		return l.stopped(now, boot)
	}
	return l.claimed && l.renew.due(now, boot)
}

// abandoned reports whether a lease of an earlier process was not acquired again in time.
func (l *Lease) abandoned(boot time.Duration) bool {
	return !l.claimed && !l.keep && boot-l.since >= claimWithin
}

// work does everything that is due. It runs on the client's goroutine only.
func (c *Client) work(ctx context.Context) {
	c.adopt()
	c.mu.Lock()
	spool := c.drawer.spool
	c.mu.Unlock()
	if err := spool.sync(); err != nil {
		c.log.Error("syncing usage", "error", err)
	}
	if c.net == nil {
		return
	}
	if c.check(func(now int64, boot time.Duration) bool { return c.refresh.due(now, boot) }) {
		within, cancel := context.WithTimeout(ctx, backgroundTimeout)
		_ = c.refreshNow(within, 0)
		cancel()
		c.adopt()
	}
	for _, l := range c.dueLeases() {
		if ctx.Err() == nil {
			c.tend(ctx, l)
		}
	}
	if c.check(func(now int64, boot time.Duration) bool { return c.flush.due(now, boot) }) {
		within, cancel := context.WithTimeout(ctx, backgroundTimeout)
		if err := c.sendUsage(within); err != nil {
			c.log.Warn("usage has not been sent yet", "error", err)
		}
		cancel()
	}
}

func (c *Client) check(due func(now int64, boot time.Duration) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return due(c.clock.read().now, c.sys.boot())
}

func (c *Client) dueLeases() (due []*Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, boot := c.clock.read().now, c.sys.boot()
	for _, l := range c.leases {
		if l.due(now, boot) {
			due = append(due, l)
		}
	}
	return due
}

// tend renews a lease or gives it back.
func (c *Client) tend(ctx context.Context, l *Lease) {
	within, cancel := context.WithTimeout(ctx, backgroundTimeout)
	defer cancel()
	c.mu.Lock()
	if !l.released && l.stopped(c.clock.read().now, c.sys.boot()) {
		l.released, l.dropped = true, true
		c.apply()
		c.persist()
	}
	l.released = l.released || l.abandoned(c.sys.boot())
	released, foreign, was := l.released, c.foreign(l), c.holding(l)
	c.mu.Unlock()
	if released {
		if err := c.giveBack(within, l, 0); err != nil {
			c.log.Debug("giving a lease back", "pool", l.pool, "error", err)
		}
		return
	}
	got, err := c.prolong(within, l, foreign)
	if errors.Is(err, errReleased) {
		return
	}
	c.renewed(within, l, got, err)
	c.moved(within, l, was)
	if c.late(l, was.doc) {
		if err := c.giveBack(within, l, 0); err != nil {
			c.log.Debug("giving back a lease that arrived after its release", "pool", l.pool, "error", err)
		}
	}
}

// prolong asks for more time: by a renewal, by presenting the signed lease to a restored server, or
// by an acquire. For a lease of another license it only acquires.
func (c *Client) prolong(ctx context.Context, l *Lease, foreign bool) (got grant, err error) {
	if foreign {
		return c.reacquire(ctx, l)
	}
	got, err = c.renewal(ctx, l, false)
	for _, again := range []func() (grant, error){
		func() (grant, error) { return c.renewal(ctx, l, true) },
		func() (grant, error) { return c.reacquire(ctx, l) },
	} {
		if !errors.Is(err, errNoLease) {
			break
		}
		if other, retry := again(); retry == nil {
			got, err = other, nil
		}
	}
	return got, err
}

// moved gives back the holding of l under an earlier license, once the key's current license has
// granted the units. If the lease outlives its client, it stays in the cache of the earlier
// license, as it does when a client ends.
func (c *Client) moved(ctx context.Context, l *Lease, was holding) {
	c.mu.Lock()
	left := l.doc != nil && was.doc != nil && l.doc.Subject != was.doc.Subject && was.key != "" && !was.outlivesItsClient
	c.mu.Unlock()
	if !left {
		return
	}
	if err := c.surrender(ctx, was, 0); err != nil {
		c.log.Warn("units of the earlier license stay in use until their lease ends", "pool", was.pool, "error", err)
	}
}

// late reports whether l was released during a renewal and received a document other than was. The
// release may not have named the new document, so it is repeated.
func (c *Client) late(l *Lease, was *license.Lease) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !l.released || l.doc == was {
		return false
	}
	if !c.holds(l) {
		c.leases = append(c.leases, l)
		c.persist()
	}
	return true
}

type renewRequest struct {
	Generation int64  `json:"generation"`
	Nonce      string `json:"nonce"`
	For        int64  `json:"for,omitempty"`
	Lease      string `json:"lease,omitempty"`
	caller
}

// errNoLease reports that a server answered, unsigned, that it does not know the lease.
var errNoLease = errors.New("the server does not know the lease")

// errReleased reports that the lease needs no more requests.
var errReleased = errors.New("the lease was released")

// renewal asks for more time. With show, it presents the signed lease. A server that was restored
// from a backup made before the lease was granted or renewed then takes it back.
func (c *Client) renewal(ctx context.Context, l *Lease, show bool) (got grant, err error) {
	c.mu.Lock()
	if l.released {
		c.mu.Unlock()
		return grant{}, errReleased
	}
	if l.nonce == "" {
		// The nonce lets the server distinguish a repeated request from a copy of this lease, so it
		// is kept until an answer arrives.
		l.nonce = rand.Text()
		c.persist()
	}
	request := renewRequest{Generation: l.doc.Generation, Nonce: l.nonce, For: int64(l.borrowed / time.Second), caller: c.caller(l.instance)}
	if show {
		request.Lease = l.compact
	}
	id := l.doc.Lease
	c.mu.Unlock()
	missing := false
	err = c.net.do(ctx, call{
		method: http.MethodPost, path: "/v1/leases/" + url.PathEscape(id) + "/renew", body: request, timeout: attemptTimeout,
		accept: func(ctx context.Context, from string, a answer) (err error) {
			missing = missing || a.status == http.StatusNotFound || a.status == http.StatusGone
			got, err = c.readGrant(ctx, from, request.Nonce, a)
			if err == nil && got.doc != nil && (got.doc.Lease != id || got.doc.Pool != l.pool) {
				err = errors.New("the server renewed another lease")
			}
			return err
		},
	})
	if err != nil && missing {
		err = errors.Join(errNoLease, err)
	}
	return got, err
}

// reacquire acquires the units again if an unsigned answer says that the lease is gone, for example
// after an outage that outlasted it. Meanwhile, the current lease counts by its dates.
func (c *Client) reacquire(ctx context.Context, l *Lease) (grant, error) {
	c.mu.Lock()
	if l.released {
		c.mu.Unlock()
		return grant{}, errReleased
	}
	l.request = rand.Text()
	request := l.acquire(rand.Text())
	c.mu.Unlock()
	got, err := c.ask(ctx, request, 0)
	if err == nil && got.doc == nil {
		err = errors.New("no units are free")
	}
	return got, err
}

// renewed records the outcome of a renewal.
func (c *Client) renewed(ctx context.Context, l *Lease, got grant, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && got.doc == nil {
		c.learn(got.proof, got.reply.Time)
		d := got.reply.Decision
		if d.Outcome == license.Denied {
			l.lost = &d
			c.apply()
			c.forget(l)
			c.persist()
			return
		}
		err = errors.New("the answer contains no lease")
	}
	if err == nil {
		err = c.install(l, got)
	}
	boot := c.sys.boot()
	if err != nil {
		if ctx.Err() == nil || boot >= l.renew.wait {
			floor, limit := pace(l.doc.Claims, l.doc.Dates)
			l.renew.failed(boot, floor, limit, retryOf(err))
		}
		c.log.Warn("the lease cannot be renewed; it remains in force until its dates", "pool", l.pool, "error", err)
		return
	}
	c.recalled(l, boot)
	if l.renew.due(c.clock.read().now, boot) {
		l.renew.wait = boot + time.Second
	}
	c.apply()
	c.persist()
}

// retryOf returns how long the servers asked for no requests.
func retryOf(err error) time.Duration {
	var u *unreachable
	if errors.As(err, &u) {
		return u.retry
	}
	return 0
}

// settle sends usage and gives leases back at the end. It returns an error for what it could not
// settle.
func (c *Client) settle() error {
	if c.net == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
	defer cancel()
	c.adopt()
	c.mu.Lock()
	var held []*Lease
	for _, l := range c.leases {
		if l.doc != nil && (l.claimed && !l.keep || l.released) {
			l.released = true
			held = append(held, l)
		}
	}
	c.apply()
	c.persist()
	c.mu.Unlock()
	var errs []error
	for _, l := range held {
		if err := c.giveBack(ctx, l, 0); err != nil {
			errs = append(errs, fmt.Errorf("giving back a lease of %s; it will expire on its own: %w", l.pool, err))
		}
	}
	return errors.Join(append(errs, c.sendUsage(ctx))...)
}
