package copyhold

import (
	"context"
	"errors"
	"fmt"

	"copyhold.dev/sdk/license"
)

// SetKey makes text the license key, as an activation dialog does. It asks the server at
// once, for at most 8 seconds and until ctx ends. It returns nil if a signed answer grants a
// license, or if no server answers and the cache holds a license of this key that gives full
// function. Otherwise nothing has changed, and the error says why:
//
//   - ErrRequest: the key is mistyped. Nothing was sent.
//   - ErrDenied: the server has signed that the key gives nothing here, such as a key of
//     another product.
//   - ErrKeyRefused: the server does not know the key, or the key has ended.
//   - ErrUnavailable: nobody answered. Let the user try again.
//
// The client does not store the key: keep it where the program keeps its settings, and give it
// to Open the next time. A key file is no longer read once SetKey has set a key.
//
// If the new key is of the same license, everything goes on. If it is of another one, unsent
// usage of the license before is sent first, and waits in the cache folder if that fails.
// Leases are acquired again from the new license; what Close would give back is then given back
// to the license before, and what Close would keep stays there: release an activation
// first if it has to move. A lease that was only the fallback of a full pool ends.
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

// licenseOfKey finds out what license a key is of: it asks a server, or else the cache.
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
		return got, "", unavailable(fmt.Errorf("%w, and the cache holds no license of this key", err))
	}
	return validated{}, subject, nil
}

// cached returns the license of a key that the cache holds and that gives full function, ""
// for none.
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
			return "" // a server has signed a no since
		}
	}
	if latest == nil || !latest.Standing(c.facts(subject, nil), c.clock.read().now).State.Full() {
		return ""
	}
	return subject
}

// settleUsage sends the usage of the license that is held before another takes its place.
func (c *Client) settleUsage(ctx context.Context, subject string) {
	c.mu.Lock()
	leaves := c.drawer.license != "" && c.drawer.license != subject && c.sends()
	c.mu.Unlock()
	if !leaves {
		return
	}
	if err := c.sendUsage(ctx); err != nil {
		c.log.Warn("usage of the license before is not sent yet", "error", err)
	}
}

// adoptKey goes on with a key whose license is known, by a server's answer or by the cache.
func (c *Client) adoptKey(k licenseKey, got validated, subject string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if d := c.drawer; d.path == "" && d.license != "" && d.license != subject {
		if n, _ := d.spool.pending(); n > 0 {
			return fmt.Errorf("%d events of usage of the license before are not sent, and there is no cache folder to keep them in", n)
		}
	}
	c.changeKey(k)
	var err error
	if got.license != nil {
		got.asked = max(got.asked, c.taken) // what was asked for another key did not overtake it
		err = c.take(got)
	} else {
		c.prove(subject)
	}
	c.persist()
	c.apply()
	return err
}
