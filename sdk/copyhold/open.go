package copyhold

import (
	"path/filepath"

	"copyhold.dev/sdk/license"
)

// openCache takes over what an earlier process left. A fault in the folder costs only the data that
// it affects. openCache returns how many runs in a row before this one ended without Close.
func (c *Client) openCache() (unclosed int) {
	var err error
	if c.cache, err = openCache(c.options.CacheDir); err != nil {
		c.log.Warn("the cache folder cannot be used; nothing survives a restart", "folder", c.options.CacheDir, "error", err)
	}
	c.device = c.deviceKey()
	c.components = c.sys.machine().hashed(c.options.salt(c.trust.verifier.Issuer()))
	c.holder = c.sys.holder(c.options, c.cache.instance, c.components)
	c.instance = identifier(c.options.Instance)
	if c.instance == "" {
		c.instance = c.cache.process()
	}
	c.restoreAll()
	c.adopt()
	if c.net == nil {
		return 0
	}
	return c.cache.begin()
}

// deviceKey returns the device's private key, which is stored in the cache folder.
func (c *Client) deviceKey() []byte {
	create := func() ([]byte, error) {
		_, priv, err := license.GenerateX25519()
		return priv, err
	}
	if c.cache.dir != "" {
		key, err := keep(filepath.Join(c.cache.dir, "device.key"), create)
		if err == nil && len(key) == 32 {
			return key
		}
		c.log.Warn("the device key cannot be stored", "error", err)
	}
	key, err := create()
	if err != nil {
		c.log.Error("there is no device key; sealed data cannot be opened", "error", err)
	}
	return key
}
