package copyhold

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"copyhold.dev/sdk/license"
)

// Release gives the units back. If no server answers, it returns ErrUnavailable and the client
// keeps trying in the background. There is no need to call it again.
func (l *Lease) Release(ctx context.Context) error {
	if l == nil {
		return nil
	}
	c := l.client
	c.mu.Lock()
	done := l.released && !c.holds(l) || l.doc == nil
	l.released = true
	c.apply()
	if l.doc == nil {
		c.forget(l)
		c.apply()
	}
	c.persist()
	c.mu.Unlock()
	if done {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, foregroundTimeout)
	defer cancel()
	return c.giveBack(within, l, foregroundAttempts)
}

// A holding identifies a lease to the server that granted it.
type holding struct {
	doc               *license.Lease
	compact           string
	nonce             string // of an unanswered renewal, which may have raised the generation
	key               string // key of its license; "" means the key in use
	pool, instance    string
	outlivesItsClient bool
}

// holding returns the current holding of l.
func (c *Client) holding(l *Lease) holding {
	h := holding{doc: l.doc, compact: l.compact, nonce: l.nonce, pool: l.pool, instance: l.instance, outlivesItsClient: l.keep}
	if c.foreign(l) {
		h.key = l.key
	}
	return h
}

// giveBack tells the server that a lease is released.
func (c *Client) giveBack(ctx context.Context, l *Lease, attempts int) error {
	c.mu.Lock()
	h := c.holding(l)
	c.mu.Unlock()
	err := c.surrender(ctx, h, attempts)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		if l.doc == h.doc { // otherwise a renewal was in progress and gives back its own result
			c.forget(l)
			c.persist()
		}
		return nil
	}
	if c.foreign(l) && c.clock.read().now >= l.doc.Expires { // its key may never work again
		c.forget(l)
		return nil
	}
	floor, limit := pace(l.doc.Claims, l.doc.Dates)
	l.renew.failed(c.sys.boot(), floor, limit, 0)
	return unavailable(err)
}

// surrender tells the server that a lease is no longer held.
func (c *Client) surrender(ctx context.Context, h holding, attempts int) error {
	c.mu.Lock()
	c.strike(h.doc)
	query := c.caller(h.instance).query()
	c.mu.Unlock()
	query.Set("generation", strconv.FormatInt(h.doc.Generation, 10))
	if h.nonce != "" {
		query.Set("nonce", h.nonce)
	}
	path, unknown := "/v1/leases/"+url.PathEscape(h.doc.Lease)+"?", false
	release := func() error {
		return c.net.do(ctx, call{
			method: http.MethodDelete, path: path + query.Encode(), attempts: attempts, timeout: attemptTimeout, key: h.key,
			accept: func(_ context.Context, _ string, a answer) (err error) {
				unknown, err = isGone(a, h.doc.Lease)
				return err
			},
		})
	}
	err := release()
	if err == nil && unknown { // a restored server needs the document to know what to give back
		query.Set("lease", h.compact)
		if refused := release(); refused != nil {
			c.log.Debug("giving back a lease that the server does not know", "pool", h.pool, "error", refused)
		}
	}
	return err
}

// isGone reads the answer to a release. A false answer does no harm if it is believed, because the
// server reclaims the units when the lease ends. Unknown means that the server has no such lease,
// or another generation of it.
func isGone(a answer, id string) (unknown bool, err error) {
	var body struct{ ID, Code string }
	if json.Unmarshal(a.body, &body) != nil {
		return false, errors.New("the answer is not JSON of this API")
	}
	unknown = body.Code == "not_found" || body.Code == "conflict"
	if a.status == http.StatusOK && body.ID == id || body.Code == "gone" || unknown {
		return unknown, nil
	}
	return false, errors.New("the lease was not released")
}
