package copyhold

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"copyhold.dev/sdk/license"
)

// A document is the license that the client has. The client's lock guards it.
type document struct {
	license  *license.License
	compact  string
	mismatch int64           // signed time since which the binding has not matched, 0 if it matches
	matched  bool            // this process has seen it match
	filed    bool            // it came from the license file
	file     *license.Bundle // a license file that is not verified yet
	content  [32]byte        // hash of the license file as last read
	err      error           // what is wrong with the file
}

// hold puts a verified license in force, unless it is older than the current one. A replacement
// must have a higher sequence.
func (c *Client) hold(doc *license.License, compact string) error {
	if held := c.document.license; held != nil {
		if err := mayReplace(doc.MayReplace(held), doc.Claims, held.Claims); err != nil {
			return err
		}
	}
	if no := c.trust.no; no != nil && no.subject == doc.Subject && doc.IssuedAt > no.at {
		c.trust.no = nil
	}
	c.document.license, c.document.compact, c.document.filed = doc, compact, false
	c.clock.advance(doc.IssuedAt, false)
	c.refresh.between(doc.Refresh)
	return nil
}

// mayReplace interprets the result of MayReplace for a newer document. A document with the same
// sequence grants the same rights, with dates that count from a later issue. A document with
// another subject is another license, from another key or file.
func mayReplace(err error, next, held license.Claims) error {
	if errors.Is(err, license.ErrSubject) || next.Seq == held.Seq && next.IssuedAt >= held.IssuedAt {
		return nil
	}
	return err
}

// readFile reads Options.LicenseFile. Unchanged content has no effect.
func (c *Client) readFile() {
	if c.options.LicenseFile == "" {
		return
	}
	content, err := readAtMost(c.options.LicenseFile, license.MaxBundle)
	var b license.Bundle
	if err == nil {
		b, err = license.DecodeBundle(content)
	}
	hash := sha256.Sum256(content)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.fileFault(fmt.Errorf("copyhold: reading the license file %s: %w", c.options.LicenseFile, err))
		c.document.content = [32]byte{} // the same content may appear again
		return
	}
	if hash != c.document.content {
		c.document.content, c.document.file = hash, &b
	}
}

// fileFault records what is wrong with the license file, and logs it once.
func (c *Client) fileFault(err error) {
	if c.document.err == nil || c.document.err.Error() != err.Error() {
		c.log.Error("the license file cannot be used", "error", err)
	}
	c.document.err = err
}

// admitFile verifies the license file. If only the time of day rules it out, it is tried again: the
// clock may be wrong.
func (c *Client) admitFile(now int64) {
	b := c.document.file
	if b == nil {
		return
	}
	err := c.takeFile(*b, now)
	if err != nil {
		c.fileFault(fmt.Errorf("copyhold: the license file %s: %w", c.options.LicenseFile, err))
	}
	if errors.Is(err, license.ErrExpired) || errors.Is(err, license.ErrNotYet) {
		return
	}
	c.document.file = nil
	if err == nil {
		c.document.err = nil
	}
}

// takeFile puts the license from a file in force, unless the client has a newer document of the
// same license, or a server has provided another license.
func (c *Client) takeFile(b license.Bundle, now int64) error {
	v, err := c.trust.verifier.WithBundle(b, now)
	if err != nil {
		return err
	}
	doc, err := v.Filed().License(b.Doc, now)
	if err != nil {
		return err
	}
	if doc.HasKey(c.key.hash) && !c.proven || c.net == nil {
		c.prove(doc.Subject)
	}
	if held := c.document.license; held != nil && held.Subject != doc.Subject && !c.document.filed {
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
	switch err := c.hold(doc, b.Doc); {
	case err == nil:
		c.document.filed = true
	case !errors.Is(err, license.ErrSeq):
		return err
	}
	c.persist()
	return nil
}

// matches reports whether the document is bound to this machine.
func (c *Client) matches(b *license.Binding) bool {
	if b.Device != "" && b.Device != c.deviceName() {
		return false
	}
	if b.Need == 0 || len(b.Components) == 0 {
		return true
	}
	return license.Compare(b.Components, c.components, b.Need).Same
}
