package copyhold

import (
	"errors"
	"os"
	"slices"

	"copyhold.dev/sdk/license"
)

// A document is the license that is held. The client's lock guards it.
type document struct {
	license  *license.License
	compact  string
	mismatch int64           // signed time since which its binding does not match, 0 when it does
	file     *license.Bundle // a license file that is not admitted yet
}

// hold makes a verified license the one in force, unless it is older than the one that is
// held: what replaces it has a higher sequence.
func (c *Client) hold(doc *license.License, compact string) error {
	if held := c.document.license; held != nil {
		if err := mayReplace(doc.MayReplace(held), doc.Claims, held.Claims); err != nil {
			return err
		}
	}
	if c.trust.no != nil && doc.IssuedAt > c.trust.no.at {
		c.trust.no = nil
	}
	c.document.license, c.document.compact = doc, compact
	c.clock.advance(doc.IssuedAt, false)
	c.refresh.between(doc.Refresh)
	return nil
}

// mayReplace judges a newer document by what MayReplace said. The same sequence says the
// same about rights, with dates that count from a later issue; and another subject is
// another license, by another key or file.
func mayReplace(err error, next, held license.Claims) error {
	if errors.Is(err, license.ErrSubject) || next.Seq == held.Seq && next.IssuedAt >= held.IssuedAt {
		return nil
	}
	return err
}

// readFile reads Options.LicenseFile, once.
func (c *Client) readFile() {
	if c.options.LicenseFile == "" {
		return
	}
	content, err := os.ReadFile(c.options.LicenseFile)
	if err != nil {
		c.log.Error("reading the license file", "error", err)
		return
	}
	b, err := license.DecodeBundle(content)
	if err != nil {
		c.log.Error("the license file is not one", "file", c.options.LicenseFile, "error", err)
		return
	}
	c.document.file = &b
}

// admitFile verifies the license file. A file that only the time of day speaks against is
// tried again: the clock may be wrong.
func (c *Client) admitFile(now int64) {
	b := c.document.file
	if b == nil {
		return
	}
	err := c.takeFile(*b, now)
	if errors.Is(err, license.ErrExpired) || errors.Is(err, license.ErrNotYet) {
		if c.contact.err == nil {
			c.log.Error("the license file does not count now", "file", c.options.LicenseFile, "error", err)
			c.contact.err = err
		}
		return
	}
	c.document.file, c.contact.err = nil, err
	if err != nil {
		c.log.Error("the license file is not believed", "file", c.options.LicenseFile, "error", err)
	}
}

// takeFile holds the license in a file, unless a newer one of the same license is held,
// or a server has given another.
func (c *Client) takeFile(b license.Bundle, now int64) error {
	v, err := c.trust.verifier.WithBundle(b, now)
	if err != nil {
		return err
	}
	doc, err := v.Filed().License(b.Doc, now)
	if err != nil {
		return err
	}
	if held := c.document.license; held != nil && c.net != nil && held.Subject != doc.Subject {
		return nil
	}
	if newer(v, c.trust.verifier) {
		if v.RootSet().Number > c.trust.verifier.RootSet().Number {
			c.trust.rootSets = append(slices.Clip(c.trust.rootSets), b.RootSets()...)
		}
		if v.KeySet().Number != c.trust.verifier.KeySet().Number {
			c.trust.keySet = b.KeySet
		}
		c.trust.verifier = v
	}
	if err := c.hold(doc, b.Doc); err != nil && !errors.Is(err, license.ErrSeq) {
		return err
	}
	c.persist()
	return nil
}

// matches reports whether this machine is the one a document is bound to.
func (c *Client) matches(b *license.Binding) bool {
	if b.Device != "" && b.Device != c.deviceName() {
		return false
	}
	if b.Need == 0 || len(b.Components) == 0 {
		return true
	}
	return license.Compare(b.Components, c.components, b.Need).Same
}
