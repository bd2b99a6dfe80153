package copyhold

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"copyhold.dev/sdk/license"
)

// holdFor is how long one request waits at the server. A longer wait takes several requests.
const holdFor = 25 * time.Second

// AcquireOptions describe the requested units: how many, for whom, and for how long.
type AcquireOptions struct {
	Units    int64         // 0 means 1
	Wait     time.Duration // how long to queue for a unit of a full pool
	For      time.Duration // borrow: keep the units this long without a server, even after Close
	Holder   *Holder       // overrides the client's holder
	Instance string        // overrides the default: a separate instance for each lease of the pool
}

type acquireRequest struct {
	RequestID string `json:"request_id"`
	Nonce     string `json:"nonce"`
	Pool      string `json:"pool"`
	Units     int64  `json:"units"`
	Holder    Holder `json:"holder"`
	For       int64  `json:"for,omitempty"`
	Wait      int64  `json:"wait,omitempty"`
	caller
}

// Acquire takes units of a pool. Each call takes additional units, except that a holder has only
// one lease without end. If an earlier process in this slot left a matching lease, such as a
// borrowed unit, Acquire reuses it without asking a server.
//
// It fails with ErrDenied if a signed answer denies the request. The *DecisionError then shows the
// reason, the current holders if the plan allows that, and by when a unit is free. It fails with
// ErrUnavailable if no signed answer arrived; the package comment describes what a program can do
// then. It fails with ErrRequest if the request is invalid, for example because a holder's id
// contains spaces.
func (c *Client) Acquire(ctx context.Context, pool string, o AcquireOptions) (*Lease, error) {
	if c == nil {
		return nil, unavailable(ErrClosed)
	}
	l, err := c.newLease(pool, o)
	if err != nil {
		return nil, err
	}
	defer c.reserve(l)()
	if held := c.claim(l); held != nil {
		return held, nil
	}
	if c.net == nil {
		return nil, unavailable(errors.New("no endpoint is configured, and the cache has no lease of the pool " + pool))
	}
	c.mu.Lock()
	keyless := c.keyless()
	c.mu.Unlock()
	if keyless {
		return nil, unavailable(ErrNoKey)
	}
	got, err := c.await(ctx, l, o)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.leaseOf(got.doc); held != nil {
		l = held
	}
	if err := c.install(l, got); err != nil {
		return nil, unavailable(err)
	}
	l.claimed = true
	if !c.holds(l) {
		c.leases = append(c.leases, l)
	}
	c.apply()
	c.persist()
	return l, nil
}

// leaseOf returns the lease that is already held under the same id, or nil.
func (c *Client) leaseOf(doc *license.Lease) *Lease {
	for _, l := range c.leases {
		if doc != nil && l.doc != nil && !l.released && l.doc.Lease == doc.Lease && l.doc.Subject == doc.Subject {
			return l
		}
	}
	return nil
}

// reserve keeps concurrent calls of Acquire from using the instance of l. It gives l an instance of
// its own unless the caller named one.
func (c *Client) reserve(l *Lease) (free func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	base := l.instance
	for n := 2; !l.named && c.uses(l); n++ {
		l.instance = base + "." + strconv.Itoa(n)
	}
	c.acquiring = append(c.acquiring, l)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.acquiring = slices.DeleteFunc(c.acquiring, func(other *Lease) bool { return other == l })
	}
}

// uses reports whether another lease of the pool has the instance of l.
func (c *Client) uses(l *Lease) bool {
	same := func(other *Lease) bool {
		return other.pool == l.pool && other.holder.ID == l.holder.ID && other.instance == l.instance
	}
	return slices.ContainsFunc(c.acquiring, same) || slices.ContainsFunc(c.leases, func(other *Lease) bool {
		return same(other) && (other.claimed || other.units != l.units)
	})
}

func (c *Client) newLease(pool string, o AcquireOptions) (*Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, unavailable(ErrClosed)
	}
	l := &Lease{
		client: c, pool: pool, units: max(o.Units, 1), holder: c.holderOf(pool), instance: c.instance,
		request: rand.Text(), borrowed: o.For, keep: o.For > 0, ended: make(chan struct{}),
	}
	if o.Holder != nil {
		l.holder = *o.Holder
	}
	if o.Instance != "" {
		l.instance, l.named = o.Instance, true
	}
	if err := checkIdentifiers(map[string]string{"the pool": pool, "the holder's id": l.holder.ID, "the holder's kind": l.holder.Kind, "the instance": l.instance}); err != nil {
		return l, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return l, nil
}

// holderOf returns the default holder for units of a pool.
func (c *Client) holderOf(pool string) Holder {
	if doc := c.document.license; doc != nil {
		return c.options.holderOf(doc.Pools[pool].Holder, c.holder)
	}
	return c.holder
}

// claim takes over a lease that an earlier process in this slot left, or returns nil.
func (c *Client) claim(want *Lease) *Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apply()
	for _, l := range c.leases {
		if l.claimed || l.released || c.foreign(l) || l.pool != want.pool || l.units != want.units ||
			l.holder.Kind != want.holder.Kind || l.holder.ID != want.holder.ID || l.instance != want.instance || !l.standing.State.Full() {
			continue
		}
		l.claimed, l.keep, l.borrowed = true, l.keep || want.keep, want.borrowed
		l.renew.hasten(c.sys.boot())
		return l
	}
	return nil
}

// await asks until units are granted or denied, or o.Wait is over.
func (c *Client) await(ctx context.Context, l *Lease, o AcquireOptions) (grant, error) {
	deadline := c.sys.boot() + o.Wait
	request := l.acquire(rand.Text())
	for {
		wait := min(max(deadline-c.sys.boot(), 0), holdFor)
		request.Wait = int64(wait / time.Second)
		got, err := c.ask(ctx, request, wait)
		if err != nil {
			return grant{}, err
		}
		switch {
		case got.doc != nil:
			return got, nil
		case got.ticket != "":
		case got.reply.Decision.Outcome == license.Allowed:
			return got, nil
		default:
			return grant{}, &DecisionError{Decision: got.reply.Decision}
		}
		if c.sys.boot() >= deadline || ctx.Err() != nil {
			c.leaveQueue(got.ticket)
			return grant{}, tooLong(l.pool, got.reply)
		}
	}
}

// tooLong returns the error for a unit that did not become free in time, with the server's signed
// decision.
func tooLong(pool string, queued *license.Reply) error {
	err := fmt.Errorf("waiting for a unit of %s: %w", pool, context.DeadlineExceeded)
	if queued == nil {
		return unavailable(err)
	}
	d := queued.Decision
	d.Outcome, d.Code = license.Denied, license.CodePoolFull
	return &DecisionError{Decision: d, cause: err}
}

func (l *Lease) acquire(nonce string) acquireRequest {
	return acquireRequest{
		RequestID: l.request, Nonce: nonce, Pool: l.pool, Units: l.units, Holder: l.holder,
		For: int64(l.borrowed / time.Second), caller: l.client.caller(l.instance),
	}
}

// ask sends one acquire request. The server may hold it for up to wait.
func (c *Client) ask(ctx context.Context, request acquireRequest, wait time.Duration) (got grant, err error) {
	within, cancel := context.WithTimeout(ctx, foregroundTimeout+wait)
	defer cancel()
	err = c.net.do(within, call{
		method: http.MethodPost, path: "/v1/leases", body: request, attempts: foregroundAttempts, timeout: attemptTimeout + wait,
		accept: func(ctx context.Context, from string, a answer) (err error) {
			got, err = c.readGrant(ctx, from, request.Nonce, a)
			if err == nil && got.doc != nil {
				err = request.matches(got.doc)
			}
			return err
		},
	})
	var u *unreachable
	switch {
	case err == nil:
		return got, nil
	case errors.As(err, &u) && u.invalid:
		return grant{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return grant{}, unavailable(err)
}

func (r acquireRequest) matches(doc *license.Lease) error {
	if doc.Pool != r.Pool || doc.Units != r.Units || doc.Instance != r.Instance && doc.Instance != "" {
		return errors.New("the server granted a lease of another pool, amount, or instance")
	}
	return nil
}

// leaveQueue gives up a place in the queue. If the request fails, the server notices by itself.
func (c *Client) leaveQueue(ticket string) {
	ctx, cancel := context.WithTimeout(context.Background(), retryCap)
	defer cancel()
	err := c.net.do(ctx, call{
		method: http.MethodDelete, path: "/v1/tickets/" + url.PathEscape(ticket), attempts: 1, timeout: retryCap,
		accept: func(context.Context, string, answer) error { return nil },
	})
	if err != nil {
		c.log.Debug("leaving the queue", "error", err)
	}
}
