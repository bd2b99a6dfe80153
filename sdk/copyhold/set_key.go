package copyhold

import (
	"context"
	"errors"
	"fmt"

	"copyhold.dev/sdk/license"
)

// SetKey makes text the license key. It is for a dialog in which a user enters a key. It asks the
// server at once, for at most 8 seconds and until ctx ends. It returns nil if a signed answer
// grants a license, or if no server answers and the cache has a license of this key with full
// function. Otherwise it changes nothing and returns one of these errors:
//
//   - ErrRequest: the key is mistyped. Nothing was sent.
//   - ErrDenied: a signed answer says that the key grants nothing here, for example because it belongs to another product.
//   - ErrKeyRefused: the server does not know the key, or the key has expired.
//   - ErrUnavailable: no server answered. Let the user try again.
//
// The client does not store the key. Keep it with the program's settings, and pass it to Open the
// next time. Once SetKey has set a key, the client no longer reads a key file.
//
// If the new key belongs to the same license, nothing else changes. If it belongs to another
// license, the client first sends unsent usage of the earlier license, or keeps it in the cache
// folder if that fails. It then acquires the leases again from the new license. Leases that Close
// would give back are given back to the earlier license. Leases that Close would keep stay with the
// earlier license, so release an activation first if it must move. A lease that was only the
// fallback of a full pool ends.
func (c *Client) SetKey(ctx context.Context, text string) error {
	if c == nil {
		return unavailable(ErrClosed)
	}
	k, err := readKeyIn("SetKey", []byte(text))
	if err != nil {
		return classify(ErrRequest, err)
	}
	within, cancel := context.WithTimeout(ctx, foregroundTimeout)
	defer cancel()
	got, subject, err := c.licenseOfKey(within, k)
	if err != nil {
		return err
	}
	c.settleUsage(within, subject)
	if err := c.adoptKey(k, got, subject); err != nil {
		return unavailable(err)
	}
	c.poke()
	return nil
}

// licenseOfKey finds the license that a key belongs to. It asks a server, and then the cache.
func (c *Client) licenseOfKey(ctx context.Context, k licenseKey) (got validated, subject string, err error) {
	err = errors.New("no endpoint is configured")
	if c.net != nil {
		got, err = c.validate(ctx, foregroundAttempts, k.text)
	}
	switch {
	case err == nil && got.reply.Decision.Outcome == license.Denied:
		return got, "", &DecisionError{Decision: got.reply.Decision}
	case err == nil:
		return got, got.reply.Subject, nil
	case errors.Is(err, ErrKeyRefused):
		return got, "", unavailable(err)
	}
	if subject = c.cached(k); subject == "" {
		return got, "", unavailable(fmt.Errorf("%w, and the cache has no license of this key", err))
	}
	return validated{}, subject, nil
}

// cached returns the license with full function that the cache has for a key, or "".
func (c *Client) cached(k licenseKey) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if doc := c.document.license; doc != nil && doc.HasKey(k.hash) && c.view.Load().standing.State.Full() {
		return doc.Subject
	}
	all := c.cache.load()
	c.verifyAll(all)
	subject, sure := c.licenseOf(all, k)
	if !sure {
		return ""
	}
	var latest *license.License
	for _, one := range all {
		if one.subject != subject {
			continue
		}
		if one.doc != nil && (latest == nil || one.doc.MayReplace(latest) == nil) {
			latest = one.doc
		}
		if one.no != nil && (latest == nil || one.no.at >= latest.IssuedAt) {
			return "" // a server has signed a denial since then
		}
	}
	if latest == nil || !latest.Standing(c.facts(subject, nil), c.clock.read().now).State.Full() {
		return ""
	}
	return subject
}

// settleUsage sends the usage of the current license before another license replaces it.
func (c *Client) settleUsage(ctx context.Context, subject string) {
	c.mu.Lock()
	leaves := c.drawer.license != "" && c.drawer.license != subject && c.sends()
	c.mu.Unlock()
	if !leaves {
		return
	}
	if err := c.sendUsage(ctx); err != nil {
		c.log.Warn("usage of the earlier license has not been sent yet", "error", err)
	}
}

// adoptKey continues with a key whose license is known from a server's answer or from the cache.
func (c *Client) adoptKey(k licenseKey, got validated, subject string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if d := c.drawer; d.path == "" && d.license != "" && d.license != subject {
		if n, _ := d.spool.pending(); n > 0 {
			return fmt.Errorf("%d unsent usage events belong to the earlier license, and there is no cache folder to keep them in", n)
		}
	}
	c.changeKey(k)
	var err error
	if got.license != nil {
		got.asked = max(got.asked, c.taken) // no later answer, which was for another key, may supersede this one
		err = c.take(got)
	} else {
		c.prove(subject)
	}
	c.persist()
	c.apply()
	return err
}
