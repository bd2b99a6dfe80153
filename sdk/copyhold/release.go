package copyhold

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
)

// Release gives the units back. When no server answers it returns an error for which
// IsUnavailable is true, and the client goes on trying: a repetition changes nothing.
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

// giveBack tells the server that a lease is released.
func (c *Client) giveBack(ctx context.Context, l *Lease, attempts int) error {
	c.mu.Lock()
	doc, query := l.doc, c.caller(l.instance).query()
	query.Set("generation", strconv.FormatInt(doc.Generation, 10))
	if l.nonce != "" { // a renewal was not answered and may have raised the generation
		query.Set("nonce", l.nonce)
	}
	compact := l.compact
	c.mu.Unlock()
	path, unknown := "/v1/leases/"+url.PathEscape(doc.Lease)+"?", false
	release := func() error {
		return c.net.do(ctx, call{
			method: http.MethodDelete, path: path + query.Encode(), attempts: attempts, timeout: attemptTimeout,
			accept: func(_ context.Context, _ string, a answer) (err error) {
				unknown, err = isGone(a, doc.Lease)
				return err
			},
		})
	}
	err := release()
	if err == nil && unknown { // a restored server knows by the document what to give back
		query.Set("lease", compact)
		if refused := release(); refused != nil {
			c.log.Debug("giving a lease back that the server does not know", "pool", l.pool, "error", refused)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		if l.doc == doc { // else a renewal was under way, and gives back what it brought
			c.forget(l)
			c.persist()
		}
		return nil
	}
	floor, limit := pace(l.doc.Claims, l.doc.Dates)
	l.renew.failed(c.sys.boot(), floor, limit, 0)
	return unavailable(err)
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
