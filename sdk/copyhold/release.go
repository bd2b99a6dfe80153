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

// Release gives the units back. If no server answers it returns ErrUnavailable, and the
// client goes on trying: calling it again changes nothing.
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

// A holding is what names a lease to the server that gave it.
type holding struct {
	doc               *license.Lease
	compact           string
	nonce             string // of a renewal that was not answered and may have raised the generation
	key               string // of its license; "" is the key in use
	pool, instance    string
	outlivesItsClient bool
}

// holding returns what l is now.
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
		if l.doc == h.doc { // else a renewal was under way, and gives back what it brought
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

// surrender tells the server that a lease is not held any more.
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
	if err == nil && unknown { // a restored server knows by the document what to give back
		query.Set("lease", h.compact)
		if refused := release(); refused != nil {
			c.log.Debug("giving a lease back that the server does not know", "pool", h.pool, "error", refused)
		}
	}
	return err
}

// isGone reads the answer to a release. Believing a false one loses nothing: the server
// takes the units back at the lease's end.
// Unknown says that the server has another generation of it, or none.
func isGone(a answer, id string) (unknown bool, err error) {
	var body struct{ ID, Code string }
	if json.Unmarshal(a.body, &body) != nil {
		return false, errors.New("the answer is not JSON of this interface")
	}
	unknown = body.Code == "not_found" || body.Code == "conflict"
	if a.status == http.StatusOK && body.ID == id || body.Code == "gone" || unknown {
		return unknown, nil
	}
	return false, errors.New("the lease was not released")
}
