package copyhold

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

const (
	lookEvery  = time.Minute // how often the key file and the license file are read
	maxKeyFile = 64 << 10    // bytes
)

// A licenseKey is the key that requests carry. The client's lock guards the client's own.
type licenseKey struct {
	text string // in normal form; "" if there is none, or if its file can't be read
	hash [32]byte
	file string // file it was read from; "" if the program or the environment gave it
	err  error  // why the file contains no usable key
}

func newKey(text, source string) (licenseKey, error) {
	normal, err := license.NormalKey(text)
	if err != nil {
		return licenseKey{}, fmt.Errorf("copyhold: the license key in %s is mistyped: %w", source, err)
	}
	return licenseKey{text: normal, hash: license.KeyHash(normal)}, nil
}

// readKeyIn returns the key in the content of a file, a variable, or an option.
func readKeyIn(source string, content []byte) (licenseKey, error) {
	text, err := license.DecodeSecret(source, content)
	if err != nil {
		return licenseKey{}, fmt.Errorf("copyhold: reading the license key: %w", err)
	}
	return newKey(text, source)
}

// digest identifies the key in documents and in the cache.
func (k licenseKey) digest(issuer, subject string) string {
	return license.KeyDigest(issuer, subject, k.hash)
}

// findKey returns the key that the options name. If its file can't be read, the error is in the key
// and not returned, because the cache may be sufficient.
func (o Options) findKey(getenv func(string) string) (licenseKey, error) {
	if strings.TrimSpace(o.Key) != "" {
		return readKeyIn("Options.Key", []byte(o.Key))
	}
	path := o.KeyFile
	if path == "" {
		if text := getenv("COPYHOLD_LICENSE_KEY"); strings.TrimSpace(text) != "" {
			return readKeyIn("COPYHOLD_LICENSE_KEY", []byte(text))
		}
		path = getenv("COPYHOLD_LICENSE_KEY_FILE")
	}
	if path == "" {
		return licenseKey{hash: license.KeyHash("")}, nil
	}
	k := readKey(path)
	if errors.Is(k.err, license.ErrLicenseKey) {
		return licenseKey{}, k.err
	}
	return k, nil
}

// readKey reads a key file.
func readKey(path string) licenseKey {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	content, err := readAtMost(path, maxKeyFile)
	if err != nil {
		return licenseKey{file: path, err: fmt.Errorf("copyhold: reading the license key: %w", err)}
	}
	k, err := readKeyIn(path, content)
	k.file, k.err = path, err
	return k
}

// readAtMost reads a file that a person or a system provided. It may be a link, such as a mounted
// secret.
func readAtMost(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// reread reads the key file again and reports whether it contains a different key. If the file
// can't be read, only LastError changes.
func (c *Client) reread() bool {
	c.mu.Lock()
	path := c.key.file
	c.mu.Unlock()
	if path == "" {
		return false
	}
	k := readKey(path)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key.file != path { // SetKey has set another key in the meantime
		return false
	}
	if k.err != nil {
		if c.key.err == nil {
			c.log.Error("the license key file cannot be used; the client continues with the key that it read before", "file", path, "error", k.err)
		}
		c.key.err = k.err
		return false
	}
	changed := k.text != c.key.text
	c.key.err = nil
	if changed && !c.closed {
		c.changeKey(k)
	}
	return changed
}

// changeKey continues with another key. Everything held stays held until a signed answer names the
// key's license. Usage of the license is not sent with the earlier key.
func (c *Client) changeKey(k licenseKey) {
	for _, l := range c.leases {
		if l.key == "" && c.proven && l.doc != nil && l.doc.Subject == c.drawer.license {
			l.key = c.key.text
		}
	}
	c.key = k
	if c.net != nil {
		c.net.setKey(k.text)
	}
	switch doc, known := c.document.license, k.digest(c.trust.verifier.Issuer(), c.drawer.license); {
	case c.drawer.license == "":
		c.use("")
	case has(c.drawer.keys, known), doc != nil && doc.Subject == c.drawer.license && doc.HasKey(k.hash):
		c.prove(c.drawer.license)
	default:
		c.proven = false
	}
	c.log.Info("the license key has changed", "file", k.file)
	c.refresh.wait = 0
	c.refresh.hasten(c.sys.boot())
}
