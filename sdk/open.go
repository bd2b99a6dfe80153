package copyhold

import (
	"path/filepath"

	"copyhold.dev/sdk/license"
)

// openCache takes up what an earlier process left. Whatever is wrong with the folder
// costs only that.
func (c *Client) openCache() {
	var err error
	if c.cache, err = openCache(c.options.CacheDir); err != nil {
		c.log.Warn("the cache folder is not usable: nothing survives a restart", "folder", c.options.CacheDir, "error", err)
	}
	c.device = c.deviceKey()
	c.components = c.sys.machine().hashed(c.options.salt(c.trust.verifier.Issuer()))
	c.holder = c.sys.holder(c.options, c.cache.instance, c.components)
	c.instance = identifier(c.options.Instance)
	if c.instance == "" {
		c.instance = c.cache.process()
	}
	c.openSpool()
	own, others := c.cache.load()
	for _, s := range append(others, own) {
		c.restore(s)
	}
	c.restoreLeases(own.Leases)
	// What the cache says may have changed while no process ran.
	c.refresh.hasten(c.sys.boot() + jitter(freshWithin))
	c.planFlush()
}

func (c *Client) openSpool() {
	var lost int
	var err error
	if c.spool, lost, err = openSpool(c.cache.spoolDir(), c.options.SpoolLimit); err != nil {
		c.log.Error("the spool of usage is not usable: usage is kept in memory", "error", err)
		c.spool, _, _ = openSpool("", c.options.SpoolLimit)
		return
	}
	if lost > 0 {
		c.log.Error("usage was torn when the machine lost power", "events", lost)
	}
	if err := c.cache.adopt(c.spool); err != nil {
		c.log.Error("usage of an earlier process waits in its slot", "error", err)
	}
}

// deviceKey is the device's private key, kept in the cache folder.
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
		c.log.Warn("the device's key cannot be kept", "error", err)
	}
	key, err := create()
	if err != nil {
		c.log.Error("the device has no key: nothing sealed can be opened", "error", err)
	}
	return key
}
