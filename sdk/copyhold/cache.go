package copyhold

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"copyhold.dev/sdk/license"
)

const (
	maxSlots = 4096
	maxState = 64 << 20 // bytes of a slot's file
	maxKept  = 128      // bytes of the instance and of the device's key
)

var errLocked = errors.New("another process has locked it")

// A cache is the folder that lets a program work offline and after a restart. Processes share the
// folder. Each process locks a slot and writes only to the folders of its slot. Data about the
// machine is at the top; data about one license is in that license's drawer. Without a folder, the
// cache is empty and stores nothing. Layout:
//
//	instance              identity of this copy of the folder
//	device.key            private X25519 key
//	slot-N/lock           locked by process N of this folder
//	slot-N/unclosed       how many runs in a row ended without Close
//	licenses/ID/slot-N/   one license: state.0 and state.1 (two copies), usage/ (not acknowledged)
//	keys/ID/slot-N/       the same for a key whose license is not known yet
//
// Earlier versions of this package kept state and usage directly in slot-N, for any license. They
// and this version can use a folder at the same time.
type cache struct {
	dir      string // "" means in memory
	slot     int
	lock     *os.File
	instance string
	unclosed int  // runs in a row that ended without Close, including this one, as last written
	failed   bool // a write failed, and this was logged
}

// openCache locks the first free slot of dir and creates dir if necessary. If that fails, it
// returns a cache in memory together with the error.
func openCache(dir string) (*cache, error) {
	memory := &cache{instance: rand.Text()}
	if dir == "" {
		return memory, nil
	}
	id, err := instanceOf(dir)
	if err != nil {
		return memory, err
	}
	c := &cache{dir: dir, instance: id}
	for c.slot = range maxSlots {
		err = os.MkdirAll(c.path(), 0o700)
		if err == nil {
			c.lock, err = lockFile(c.path("lock"))
		}
		if !errors.Is(err, errLocked) {
			break
		}
	}
	if err != nil {
		return memory, fmt.Errorf("locking a slot of %s: %w", dir, err)
	}
	return c, nil
}

// instanceOf returns the identity of this copy of dir. It creates both if they do not exist.
func instanceOf(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	id, err := keep(filepath.Join(dir, "instance"), func() ([]byte, error) { return []byte(rand.Text()), nil })
	if err == nil && bytes.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		err = errors.New("the file named instance contains no valid id") // no server would accept it
	}
	return string(id), err
}

// readRegular reads a file in the folder. Another user with write access could have replaced it
// with a link, a pipe that blocks, or a file without end.
func readRegular(path string, limit int64) ([]byte, error) {
	if err := checkRegular(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return data, err
}

// checkRegular refuses a path that exists but is not a file.
func checkRegular(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	return err
}

// path returns a path in the slot's own folder, where earlier versions kept everything.
func (c *cache) path(names ...string) string {
	return filepath.Join(append([]string{c.dir, slotName(c.slot)}, names...)...)
}

func slotName(n int) string { return "slot-" + strconv.Itoa(n) }

// close frees the slot.
func (c *cache) close() {
	if c.lock != nil {
		_ = c.lock.Close()
		c.lock = nil
	}
}

// process returns the name of this process among those that share the cache folder.
func (c *cache) process() string { return c.instance + "." + strconv.Itoa(c.slot) }

// begin records that a run has begun. It returns how many runs in a row before it ended without
// Close.
func (c *cache) begin() int {
	if c.lock == nil {
		return 0
	}
	content, err := readRegular(c.path("unclosed"), maxKept)
	if err != nil {
		content = nil
	}
	before, err := strconv.Atoi(string(content))
	if err != nil || before < 0 {
		before = 0
	}
	c.count(min(before, maxSlots) + 1)
	return before
}

// count writes how many runs in a row have not been closed, including this one. The file need not
// survive a power failure.
func (c *cache) count(unclosed int) {
	if c.lock == nil || c.unclosed == unclosed {
		return
	}
	c.unclosed = unclosed
	path := c.path("unclosed")
	if err := checkRegular(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return
	}
	_ = os.WriteFile(path, []byte(strconv.Itoa(unclosed)), 0o600) // if this fails, Open merely does not wait
}

// keep returns the content of the file, and creates the file if it does not exist. If several
// processes create it at once, all of them get the same content.
func keep(path string, create func() ([]byte, error)) ([]byte, error) {
	data, err := readRegular(path, maxKept)
	if err == nil && len(data) > 0 {
		return data, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if data, err = create(); err != nil {
		return nil, err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	_, err = temporary.Write(data)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(temporary.Name(), path); err != nil {
		if there, readErr := readRegular(path, maxKept); readErr == nil && len(there) > 0 {
			return there, nil
		}
		if err := os.Rename(temporary.Name(), path); err != nil { // the file system has no hard links
			return nil, err
		}
	}
	return data, nil
}

// A state is the data that a slot stores. Every document in it is verified again when it is read.
type state struct {
	Generation  uint64        `json:"generation"`
	Clock       clockRecord   `json:"clock"`
	RootSets    [][]string    `json:"rootsets,omitempty"`
	KeySet      []string      `json:"keyset,omitempty"`
	License     string        `json:"license,omitempty"`
	Chain       []string      `json:"chain,omitempty"`
	Revocations string        `json:"revocations,omitempty"`
	Leases      []leaseRecord `json:"leases,omitempty"`
	Refusal     *refusal      `json:"refusal,omitempty"`
	Mismatch    int64         `json:"mismatch,omitempty"` // signed time since which the fingerprint does not match
	Keys        []string      `json:"keys,omitempty"`     // digests of the keys that fetched this license
	KeyFile     string        `json:"key_file,omitempty"` // file from which the last of them was read
	Failed      *moment       `json:"failed,omitempty"`   // time of the last request, if it failed
}

// A kept value is the state of one slot, with its location and the documents in it that were
// verified.
type kept struct {
	state
	dir     string
	own     bool             // it is in this process's slot
	early   bool             // an earlier version wrote it, and did not sort by license
	subject string           // id of its license, "" if not known
	doc     *license.License // nil without one
	no      *refusal
}

// load returns the state of every slot, this process's own slots last. A new process thus knows
// what its neighbors have learned.
func (c *cache) load() (all []kept) {
	if c.dir == "" {
		return nil
	}
	places := []string{c.dir}
	for _, kind := range []string{licenseDrawers, keyDrawers} {
		places = append(places, folders(filepath.Join(c.dir, kind), "")...)
	}
	var own []kept
	for _, place := range places {
		for _, dir := range folders(place, "slot-") {
			k := kept{state: readSlot(dir), own: filepath.Base(dir) == slotName(c.slot), early: place == c.dir, dir: dir}
			switch {
			case k.Generation == 0:
			case k.own:
				own = append(own, k)
			default:
				all = append(all, k)
			}
		}
	}
	return append(all, own...)
}

// folders returns the folders in dir whose names begin with prefix, except links.
func folders(dir, prefix string) (paths []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

// readSlot returns the newest intact copy of a slot's state.
func readSlot(dir string) (newest state) {
	for _, name := range []string{"state.0", "state.1"} {
		content, err := readRegular(filepath.Join(dir, name), maxState)
		if err != nil {
			continue
		}
		sum, body, _ := bytes.Cut(content, []byte("\n"))
		want := sha256.Sum256(body)
		var s state
		if string(sum) != hex.EncodeToString(want[:]) || json.Unmarshal(body, &s) != nil {
			continue
		}
		if s.Generation > newest.Generation {
			newest = s
		}
	}
	return newest
}

// writeSlot writes the older of the two copies in dir.
func writeSlot(dir string, s state) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	content := append(append([]byte(hex.EncodeToString(sum[:])), '\n'), body...)
	path := filepath.Join(dir, "state."+strconv.FormatUint(s.Generation%2, 10))
	if err := checkRegular(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// adopt moves the usage in a slot's folder into s. It fails with errLocked if another process is
// using the slot.
func (c *cache) adopt(slot string, into *spool) error {
	if name := filepath.Base(slot); name != slotName(c.slot) {
		top := filepath.Join(c.dir, name)
		if err := os.MkdirAll(top, 0o700); err != nil {
			return err
		}
		lock, err := lockFile(filepath.Join(top, "lock"))
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	from, _, err := openSpool(filepath.Join(slot, "usage"), 1<<62)
	if err != nil {
		return err
	}
	for {
		events, m, err := from.batch(1000)
		if err != nil || len(events) == 0 && m.bytes == 0 {
			return err
		}
		if err := errors.Join(into.append(events...), into.sync()); err != nil {
			return err
		}
		if err := from.drop(m); err != nil {
			return err
		}
	}
}
