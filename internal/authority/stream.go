package authority

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// changesEvery is how soon a server tells its listeners of a change that
// another made. Its own it tells at once.
const changesEvery = 3 * time.Second

// A Notice says what has changed. What it is now has to be fetched, signed.
type Notice uint32

// The notices; one can hold several.
const (
	LicenseChanged Notice = 1 << iota
	RevocationsChanged
	KeySetChanged
	KeysChanged // of the license: who listens may have to stop
	LeaseRecalled
)

// A Listener learns that something about one license has changed. Notices that
// nobody has taken yet become one. Close it when done.
type Listener struct {
	streams *streams
	key     store.LicenseKey
	pending atomic.Uint32
	wake    chan struct{}
}

// Wake receives when there are notices to take.
func (l *Listener) Wake() <-chan struct{} { return l.wake }

// Take returns what has changed since it was last called.
func (l *Listener) Take() Notice { return Notice(l.pending.Swap(0)) }

// Close ends the listening.
func (l *Listener) Close() {
	l.streams.mu.Lock()
	defer l.streams.mu.Unlock()
	delete(l.streams.byKey[l.key], l)
	if len(l.streams.byKey[l.key]) == 0 {
		delete(l.streams.byKey, l.key)
		delete(l.streams.seqs, l.key)
		delete(l.streams.marks, l.key)
		delete(l.streams.recalls, l.key)
	}
}

func (l *Listener) notify(n Notice) {
	l.pending.Or(uint32(n))
	select {
	case l.wake <- struct{}{}:
	default: // it has not taken the last one yet
	}
}

// streams are who listens for changes. Safe for concurrent use.
type streams struct {
	mu      sync.Mutex
	byKey   map[store.LicenseKey]map[*Listener]bool
	seqs    map[store.LicenseKey]license.Seq // as last told
	marks   map[store.LicenseKey]store.KeysMark
	recalls map[store.LicenseKey]int64 // when a lease was last recalled
	sets    map[licensing.Env]setNumbers
}

type setNumbers struct{ keySet, revocations int64 }

func newStreams() *streams {
	return &streams{byKey: map[store.LicenseKey]map[*Listener]bool{}, seqs: map[store.LicenseKey]license.Seq{}, marks: map[store.LicenseKey]store.KeysMark{}, recalls: map[store.LicenseKey]int64{}, sets: map[licensing.Env]setNumbers{}}
}

// Listen returns a listener for changes of p's license, of the key set and of
// the revocations of its environment, from now on.
func (a *Authority) Listen(ctx context.Context, p access.Principal) (*Listener, error) {
	l := &Listener{streams: a.streams, key: store.LicenseKey{Env: p.Env, ID: p.License}, wake: make(chan struct{}, 1)}
	a.streams.add(l)
	f, err := a.inForce(ctx, p.Env, p.License, a.db.Latest())
	if err != nil {
		l.Close()
		return nil, err
	}
	a.streams.differ(map[store.LicenseKey]license.Seq{l.key: f.terms.Seq})
	return l, nil
}

func (s *streams) add(l *Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[l.key] == nil {
		s.byKey[l.key] = map[*Listener]bool{}
	}
	s.byKey[l.key][l] = true
}

// tell notifies those who listen for one license, or all of an environment when id is empty.
func (s *streams) tell(env licensing.Env, id licensing.LicenseID, n Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != "" {
		for l := range s.byKey[store.LicenseKey{Env: env, ID: id}] {
			l.notify(n)
		}
		return
	}
	for key, listeners := range s.byKey {
		if key.Env != env {
			continue
		}
		for l := range listeners {
			l.notify(n)
		}
	}
}

// noticeOf returns what listeners are told of an event, 0 for nothing.
func noticeOf(kind string) Notice {
	switch kind {
	case licensing.LicenseRevoked:
		return LicenseChanged | RevocationsChanged
	case licensing.LicenseTransferred: // its keys are another customer's now
		return LicenseChanged | KeysChanged
	}
	switch noun, _, _ := strings.Cut(kind, "."); noun {
	case "license", "exception":
		return LicenseChanged
	case "key":
		return KeysChanged
	case "lease":
		if kind == licensing.LeaseRecalled {
			return LeaseRecalled
		}
	case "signing_key", "root_set":
		return KeySetChanged
	}
	return 0
}

// changesCommitted forgets what changes made untrue and tells who listens.
func (a *Authority) changesCommitted(changes []committed) {
	for _, c := range changes {
		if c.notice&(LicenseChanged|KeysChanged) != 0 { // its documents list its keys
			a.licenses.forget(store.LicenseKey{Env: c.env, ID: c.license})
		}
		if own := c.notice & (LicenseChanged | KeysChanged | LeaseRecalled); own != 0 {
			a.streams.tell(c.env, c.license, own)
		}
		if c.notice&RevocationsChanged != 0 {
			a.revocations.forget(c.env)
		}
		if all := c.notice & (RevocationsChanged | KeySetChanged); all != 0 {
			a.streams.tell(c.env, "", all)
		}
	}
}

// runChanges tells listeners of what other servers changed, until ctx ends.
func (a *Authority) runChanges(ctx context.Context) {
	a.every(ctx, changesEvery, "changes", a.lookForChanges)
}

// lookForChanges compares what is stored about the licenses listened to with
// what was last seen of them.
func (a *Authority) lookForChanges(ctx context.Context) error {
	if a.db.Shared() {
		if err := a.db.LookClosed(ctx); err != nil {
			return err
		}
	}
	if len(*a.fences.Load()) > 0 {
		if err := a.loadFences(ctx); err != nil {
			return err
		}
	}
	keys := a.streams.listened()
	if len(keys) == 0 {
		return nil
	}
	var seqs map[store.LicenseKey]license.Seq
	var marks map[store.LicenseKey]store.KeysMark
	var recalls map[store.LicenseKey]int64
	sets := map[licensing.Env]setNumbers{}
	err := a.view(ctx, func(tx *store.Tx) (err error) {
		if seqs, err = tx.LicenseSeqs(ctx, keys); err != nil {
			return err
		}
		if a.db.Shared() { // what this server does to keys it tells at once
			if marks, err = tx.KeysMarks(ctx, keys); err != nil {
				return err
			}
			if recalls, err = tx.RecallMarks(ctx, keys); err != nil {
				return err
			}
		}
		for _, key := range keys {
			if _, done := sets[key.Env]; done {
				continue
			}
			now := setNumbers{keySet: a.ring.KeySetNumber(key.Env)}
			if now.revocations, err = tx.RevocationNumber(ctx, key.Env); err != nil {
				return err
			}
			sets[key.Env] = now
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.announce(a.streams.foreign(seqs, marks, recalls, sets))
	return nil
}

// foreign returns what is not as it was last seen, and notes it.
func (s *streams) foreign(seqs map[store.LicenseKey]license.Seq, marks map[store.LicenseKey]store.KeysMark, recalls map[store.LicenseKey]int64, sets map[licensing.Env]setNumbers) []committed {
	var changed []committed
	for _, key := range s.differ(seqs) {
		changed = append(changed, committed{env: key.Env, license: key.ID, notice: LicenseChanged})
	}
	for _, key := range s.rekeyed(marks) {
		changed = append(changed, committed{env: key.Env, license: key.ID, notice: KeysChanged})
	}
	for _, key := range s.recalled(recalls) {
		changed = append(changed, committed{env: key.Env, license: key.ID, notice: LeaseRecalled})
	}
	for env, now := range sets {
		if n := s.compare(env, now); n != 0 {
			changed = append(changed, committed{env: env, notice: n})
		}
	}
	return changed
}

func (s *streams) listened() []store.LicenseKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.byKey))
}

// differ returns the licenses whose seq is not the one last seen, and notes it.
func (s *streams) differ(seqs map[store.LicenseKey]license.Seq) []store.LicenseKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []store.LicenseKey
	for key, seq := range seqs {
		if s.byKey[key] == nil {
			continue
		}
		if was, seen := s.seqs[key]; seen && was != seq {
			changed = append(changed, key)
		}
		s.seqs[key] = seq
	}
	return changed
}

// rekeyed returns the licenses whose keys are not those last seen, and notes them.
func (s *streams) rekeyed(marks map[store.LicenseKey]store.KeysMark) []store.LicenseKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []store.LicenseKey
	for key, mark := range marks {
		if s.byKey[key] == nil {
			continue
		}
		if was, seen := s.marks[key]; seen && was != mark {
			changed = append(changed, key)
		}
		s.marks[key] = mark
	}
	return changed
}

// recalled returns the licenses of which another lease was recalled since it was
// last looked, and notes it. The first look tells too: a listener is told once
// more at worst.
func (s *streams) recalled(at map[store.LicenseKey]int64) []store.LicenseKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []store.LicenseKey
	for key, last := range at {
		if s.byKey[key] != nil && s.recalls[key] != last {
			changed = append(changed, key)
			s.recalls[key] = last
		}
	}
	return changed
}

// compare returns what of an environment's sets is not as last seen, and notes it.
func (s *streams) compare(env licensing.Env, now setNumbers) Notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, seen := s.sets[env]
	s.sets[env] = now
	var n Notice
	if seen && was.keySet != now.keySet {
		n |= KeySetChanged
	}
	if seen && was.revocations != now.revocations {
		n |= RevocationsChanged
	}
	return n
}
