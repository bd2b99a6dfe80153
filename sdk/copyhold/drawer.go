package copyhold

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"copyhold.dev/sdk/license"
)

// Folders of a cache that hold drawers.
const (
	licenseDrawers = "licenses"
	keyDrawers     = "keys"
)

const maxKeysKept = 100 // of one license; the oldest are forgotten

// A drawer is the part of the cache that belongs to one license, or to a key whose license
// is not known yet: documents, refusals, leases and unsent usage. The client's lock guards
// it.
type drawer struct {
	path       string // of all slots; "" in memory
	slot       string // this process's folder in it; "" in memory
	license    string // its id; "" while only the key is known
	keys       []string
	generation uint64
	saved      [sha256.Size]byte // of what was written last
	spool      *spool
}

// drawerPath returns the folder of a license's drawer or, for "", of the key's.
func (c *Client) drawerPath(subject string) string {
	if c.cache.dir == "" {
		return ""
	}
	kind, id := licenseDrawers, subject
	if subject == "" {
		kind, id = keyDrawers, hex.EncodeToString(c.key.hash[:])
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{c.trust.verifier.Issuer(), c.options.Product, id}, "\x00")))
	return filepath.Join(c.cache.dir, kind, hex.EncodeToString(sum[:16]))
}

// openDrawer opens the drawer of a license or, for "", of the key. A spool that can't be
// used is replaced by one in memory.
func (c *Client) openDrawer(subject string) drawer {
	d := drawer{license: subject, path: c.drawerPath(subject)}
	usage := ""
	if d.path != "" {
		d.slot = filepath.Join(d.path, slotName(c.cache.slot))
		d.generation = readSlot(d.slot).Generation
		usage = filepath.Join(d.slot, "usage")
	}
	lost := 0
	var err error
	if d.spool, lost, err = openSpool(usage, c.options.SpoolLimit); err != nil {
		c.log.Error("the spool of usage is not usable: usage is kept in memory", "error", err)
		d.spool, _, _ = openSpool("", c.options.SpoolLimit)
	}
	if lost > 0 {
		c.log.Error("usage was torn when the machine lost power", "events", lost)
	}
	return d
}

// remember notes that a key fetched the license.
func (d *drawer) remember(digest string) {
	if has(d.keys, digest) {
		return
	}
	d.keys = append(slices.Clip(d.keys), digest)
	d.keys = d.keys[max(0, len(d.keys)-maxKeysKept):]
}

// save writes s as this process's state of the drawer.
func (d *drawer) save(s state) error {
	if d.slot == "" {
		return nil
	}
	if err := os.MkdirAll(d.slot, 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	if sum == d.saved {
		return nil
	}
	s.Generation = d.generation + 1
	if err := writeSlot(d.slot, s); err != nil {
		return err
	}
	d.generation, d.saved = s.Generation, sum
	return nil
}

// use makes the drawer of a license, or of the key, the one that what happens from now on
// belongs to. Usage that waits stays where it is, in memory apart: it is another license's.
func (c *Client) use(subject string) {
	was := c.drawer
	if was.spool != nil && was.path == "" && was.license == "" && subject != "" {
		c.drawer.license = subject // in memory, and recorded with the key that proved to be its
		return
	}
	c.drawer = c.openDrawer(subject)
	if was.spool == nil {
		return
	}
	if err := was.spool.close(); err != nil {
		c.log.Error("syncing usage", "error", err)
	}
	if n, _ := was.spool.pending(); n > 0 && was.path == "" {
		c.log.Error("usage is lost: it belongs to another license, and there is no cache folder", "events", n)
	}
}

// prove makes subject the license of the key: a server has said so, signed, or a document.
func (c *Client) prove(subject string) {
	c.adopting = c.adopting || !c.proven || c.drawer.license != subject
	if c.drawer.license != subject {
		if held := c.document.license; held != nil && held.Subject != subject {
			c.document.license, c.document.compact, c.document.mismatch = nil, "", 0
			c.refresh.point = 0
		}
		if no := c.trust.no; no != nil && no.subject != subject {
			c.trust.no = nil
		}
		c.use(subject)
		all := c.cache.load()
		c.verifyAll(all)
		c.restoreLicense(all, subject)
		c.moveOn()
	}
	c.proven, c.strange = true, false
	c.drawer.remember(c.key.digest(c.trust.verifier.Issuer(), subject))
}

// moveOn has leases of another license asked for again, and ends those that were only the
// fallback of its full pools.
func (c *Client) moveOn() {
	for _, l := range slices.Clone(c.leases) {
		switch {
		case !c.foreign(l):
		case l.fallback:
			l.lost = &license.Decision{
				Outcome: license.Denied, Code: license.CodeNoLicense, Rule: "lease.state",
				Reason: "the license key is of another license now; acquire the units again",
			}
			c.applyLease(l, c.clock.read(), c.sys.boot())
			c.forget(l)
		default:
			l.renew.wait = 0
			l.renew.hasten(c.sys.boot())
		}
	}
}

// foreign reports whether a lease is of another license than the one whose drawer is open.
func (c *Client) foreign(l *Lease) bool {
	return c.drawer.license != "" && l.subject != "" && l.subject != c.drawer.license
}

// strike takes a lease that is given back out of the drawer of another license, so that no
// later process takes it up.
func (c *Client) strike(doc *license.Lease) {
	path := c.drawerPath(doc.Subject)
	if path == "" || doc.Subject == c.drawer.license {
		return
	}
	slot, known := filepath.Join(path, slotName(c.cache.slot)), c.trust.verifier.Known()
	s := readSlot(slot)
	rest := slices.DeleteFunc(slices.Clone(s.Leases), func(r leaseRecord) bool {
		kept, err := known.Lease(r.Lease, 0)
		return err == nil && kept.Subject == doc.Subject && kept.Lease == doc.Lease && kept.Generation <= doc.Generation
	})
	if len(rest) == len(s.Leases) {
		return
	}
	s.Leases, s.Generation = rest, s.Generation+1
	if err := writeSlot(slot, s); err != nil {
		c.log.Error("a lease that is given back stays in the cache", "lease", doc.Lease, "error", err)
	}
}

// sends reports whether usage of the drawer may be sent: with the key that it belongs to.
func (c *Client) sends() bool {
	return c.net != nil && c.key.text != "" && (c.drawer.license == "" || c.proven)
}

// adopt takes over what belongs to the license and lies elsewhere: usage that other slots
// and the key's own drawer hold, and what earlier versions left. It is sent from here on.
func (c *Client) adopt() {
	c.mu.Lock()
	d, wanted, proven := c.drawer, c.adopting, c.proven
	key := c.drawerPath("")
	c.adopting = false
	c.mu.Unlock()
	if !wanted || d.path == "" {
		return
	}
	slots := folders(d.path, "slot-")
	if d.license != "" {
		slots = append(slots, c.early(d.license)...)
	}
	if proven {
		slots = append(slots, folders(key, "slot-")...)
	}
	for _, slot := range slots {
		if slot == d.slot {
			continue
		}
		if err := c.cache.adopt(slot, d.spool); err != nil && !errors.Is(err, errLocked) {
			c.log.Error("usage of an earlier process waits in its slot", "error", err)
		}
	}
	c.planFlush()
}

// early returns the slots in which an earlier version of this package kept usage of a
// license: that of the document beside it or, without one, the only license of the folder.
// Leases that were taken over from there are taken out.
func (c *Client) early(subject string) (slots []string) {
	left := slices.DeleteFunc(folders(c.cache.dir, "slot-"), func(slot string) bool {
		return !exists(filepath.Join(slot, "usage")) && !exists(filepath.Join(slot, "state.0"))
	})
	if len(left) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.cache.load()
	c.verifyAll(all)
	only := true
	states := map[string]kept{}
	for _, k := range all {
		only = only && (k.subject == subject || k.subject == "")
		if k.early {
			states[k.dir] = k
		}
	}
	for _, slot := range left {
		k := states[slot]
		if k.subject == subject || k.subject == "" && only {
			slots = append(slots, slot)
		}
		if k.own {
			c.moveLeases(k)
		}
	}
	return slots
}

// moveLeases takes the leases that are the drawer's now out of an earlier version's slot, so
// that what is released here is not taken up again there.
func (c *Client) moveLeases(k kept) {
	known := c.trust.verifier.Known()
	rest := slices.DeleteFunc(slices.Clone(k.Leases), func(r leaseRecord) bool {
		doc, err := known.Lease(r.Lease, 0)
		return err == nil && doc.Subject == c.drawer.license
	})
	if len(rest) == len(k.Leases) || !c.persist() {
		return
	}
	s := k.state
	s.Leases, s.Generation = rest, s.Generation+1
	if err := writeSlot(k.dir, s); err != nil {
		c.log.Error("leases of an earlier version stay in its slot, too", "error", err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
