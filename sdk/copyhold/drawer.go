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

// Folders of the cache that contain drawers.
const (
	licenseDrawers = "licenses"
	keyDrawers     = "keys"
)

const maxKeysKept = 100 // for one license; the oldest are dropped

// A drawer is the part of the cache that belongs to one license, or to a key whose license is not
// known yet. It has documents, refusals, leases, and unsent usage. The client's lock guards it.
type drawer struct {
	path       string // folder of all slots; "" means in memory
	slot       string // this process's folder in it; "" means in memory
	license    string // the license's id; "" while only the key is known
	keys       []string
	generation uint64
	saved      [sha256.Size]byte // hash of what was written last
	spool      *spool
}

// drawerPath returns the folder of a license's drawer or, for "", of the key's drawer.
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

// openDrawer opens the drawer of a license or, for "", of the key. If the spool can't be used, one
// in memory replaces it.
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
		c.log.Error("the usage spool cannot be used; usage is kept in memory", "error", err)
		d.spool, _, _ = openSpool("", c.options.SpoolLimit)
	}
	if lost > 0 {
		c.log.Error("usage was damaged when the machine lost power", "events", lost)
	}
	return d
}

// remember records that a key fetched the license.
func (d *drawer) remember(digest string) {
	if has(d.keys, digest) {
		return
	}
	d.keys = append(slices.Clip(d.keys), digest)
	d.keys = d.keys[max(0, len(d.keys)-maxKeysKept):]
}

// save writes s as this process's state in the drawer.
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

// use switches to the drawer of a license or, for "", of the key. Unsent usage belongs to the
// earlier license, so it stays where it is, except that usage in memory is lost.
func (c *Client) use(subject string) {
	was := c.drawer
	if was.spool != nil && was.path == "" && was.license == "" && subject != "" {
		c.drawer.license = subject // in memory, and recorded with the key that turned out to be its
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

// prove makes subject the license of the key, after a signed answer or a document has stated it.
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

// moveOn schedules a new acquire for leases of another license. It ends leases that were only the
// fallback of a full pool there.
func (c *Client) moveOn() {
	for _, l := range slices.Clone(c.leases) {
		switch {
		case !c.foreign(l):
		case l.fallback:
			l.lost = &license.Decision{
				Outcome: license.Denied, Code: license.CodeNoLicense, Rule: "lease.state",
				Reason: "the license key now belongs to another license; acquire the units again",
			}
			c.applyLease(l, c.clock.read(), c.sys.boot())
			c.forget(l)
		default:
			l.renew.wait = 0
			l.renew.hasten(c.sys.boot())
		}
	}
}

// foreign reports whether a lease belongs to a license whose drawer is not the open one.
func (c *Client) foreign(l *Lease) bool {
	return c.drawer.license != "" && l.subject != "" && l.subject != c.drawer.license
}

// strike removes a lease that is being given back from the drawer of another license, so that no
// later process reuses it.
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
		c.log.Error("a lease that is being given back stays in the cache", "lease", doc.Lease, "error", err)
	}
}

// sends reports whether the drawer's usage may be sent, which needs the key that it belongs to.
func (c *Client) sends() bool {
	return c.net != nil && c.key.text != "" && (c.drawer.license == "" || c.proven)
}

// adopt takes over data of this license that is stored elsewhere: usage in other slots and in the
// key's own drawer, and whatever earlier versions left. This drawer then sends the usage.
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
			c.log.Error("usage of an earlier process stays in its slot", "error", err)
		}
	}
	c.planFlush()
}

// early returns the slots in which an earlier version of this package kept usage of a license. That
// is the license of the document in the slot or, if there is none, the only license in the folder.
// Leases that were taken over from these slots are removed from them.
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

// moveLeases removes the leases that now belong to the drawer from an earlier version's slot. A
// lease released here is thus not reused there.
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
		c.log.Error("leases of an earlier version are still in its slot, too", "error", err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
