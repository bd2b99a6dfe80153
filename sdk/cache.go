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
)

const (
	maxSlots = 4096
	maxState = 64 << 20 // bytes of a slot's file
	maxKept  = 128      // bytes of the instance and of the device's key
)

var errLocked = errors.New("another process holds it")

// A cache is the folder that lets a program work offline and after a restart. Processes
// share it: each locks a slot of its own and writes only there. Without a folder it
// remembers nothing. Layout:
//
//	instance    identity of this copy of the folder
//	device.key  private X25519 key
//	slot-N/     lock, state.0 and state.1 (two copies), usage/ (events not acknowledged)
type cache struct {
	dir        string // "" in memory
	slot       int
	lock       *os.File
	instance   string
	generation uint64
	failed     bool // a write failed, and it was said
}

// openCache locks the first free slot of dir, which is created. When it cannot, it
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

// instanceOf returns the identity of this copy of dir; both are created when missing.
func instanceOf(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	id, err := keep(filepath.Join(dir, "instance"), func() ([]byte, error) { return []byte(rand.Text()), nil })
	if err == nil && bytes.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		err = errors.New("the file instance does not hold an id") // no server would take it
	}
	return string(id), err
}

// readRegular reads a file of the folder. Whoever else may write there could have put a
// link, a pipe that never answers, or a file without end in its place.
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

// checkRegular refuses what is there and not a file.
func checkRegular(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	return err
}

func (c *cache) path(names ...string) string {
	return filepath.Join(append([]string{c.dir, "slot-" + strconv.Itoa(c.slot)}, names...)...)
}

// spoolDir is where usage waits, "" in memory.
func (c *cache) spoolDir() string {
	if c.dir == "" {
		return ""
	}
	return c.path("usage")
}

// close frees the slot.
func (c *cache) close() {
	if c.lock != nil {
		_ = c.lock.Close()
		c.lock = nil
	}
}

// keep returns what the file holds, and creates it when it is missing: of several
// processes that do so at once, all get the same.
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
		if err := os.Rename(temporary.Name(), path); err != nil { // a file system without links
			return nil, err
		}
	}
	return data, nil
}

// A state is what a slot remembers. All documents in it are verified again when read.
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
}

// save writes the older of the two copies.
func (c *cache) save(s state) error {
	if c.dir == "" {
		return nil
	}
	s.Generation = c.generation + 1
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	content := append(append([]byte(hex.EncodeToString(sum[:])), '\n'), body...)
	path := c.path("state." + strconv.FormatUint(s.Generation%2, 10))
	if err := checkRegular(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	c.generation = s.Generation
	return nil
}

// load returns the newer copy of the own slot that is whole, and of every other slot: a
// new process knows what its neighbours learnt.
func (c *cache) load() (own state, others []state) {
	if c.dir == "" {
		return state{}, nil
	}
	own = readSlot(c.path())
	c.generation = own.Generation
	slots, err := filepath.Glob(filepath.Join(c.dir, "slot-*"))
	if err != nil {
		return own, nil
	}
	for _, slot := range slots {
		if slot != c.path() {
			others = append(others, readSlot(slot))
		}
	}
	return own, others
}

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

// adopt moves the usage of slots whose process is gone into s.
func (c *cache) adopt(s *spool) error {
	if c.dir == "" {
		return nil
	}
	dirs, err := filepath.Glob(filepath.Join(c.dir, "slot-*", "usage"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if dir == c.spoolDir() {
			continue
		}
		if err := adoptSpool(dir, s); err != nil && !errors.Is(err, errLocked) {
			return fmt.Errorf("taking over usage from %s: %w", dir, err)
		}
	}
	return nil
}

func adoptSpool(dir string, into *spool) error {
	lock, err := lockFile(filepath.Join(filepath.Dir(dir), "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	from, _, err := openSpool(dir, 1<<62)
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
