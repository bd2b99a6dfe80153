package documents

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// changesEvery is how soon a server tells its listeners of a change that
// another made. Its own it tells at once.
const changesEvery = 3 * time.Second

// A Listener learns that something about one license has changed. Notices that
// nobody has taken yet become one. Close it when done.
type Listener struct {
	streams *streams
	key     store.LicenseRef
	pending atomic.Uint32
	wake    chan struct{}
}

// Wake receives when there are notices to take.
func (l *Listener) Wake() <-chan struct{} { return l.wake }

// Take returns what has changed since it was last called.
func (l *Listener) Take() ledger.Notice { return ledger.Notice(l.pending.Swap(0)) }

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

func (l *Listener) notify(n ledger.Notice) {
	l.pending.Or(uint32(n))
	select {
	case l.wake <- struct{}{}:
	default: // it has not taken the last one yet
	}
}

// streams are who listens for changes. Safe for concurrent use.
type streams struct {
	mu      sync.Mutex
	byKey   map[store.LicenseRef]map[*Listener]bool
	seqs    map[store.LicenseRef]license.Seq // as last told
	marks   map[store.LicenseRef]store.KeysMark
	recalls map[store.LicenseRef]int64 // when a lease was last recalled
	sets    map[licensing.Env]setNumbers
}

type setNumbers struct{ keySet, revocations int64 }

func newStreams() *streams {
	return &streams{byKey: map[store.LicenseRef]map[*Listener]bool{}, seqs: map[store.LicenseRef]license.Seq{}, marks: map[store.LicenseRef]store.KeysMark{}, recalls: map[store.LicenseRef]int64{}, sets: map[licensing.Env]setNumbers{}}
}

// Listen returns a listener for changes of p's license, of the key set and of
// the revocations of its environment, from now on.
func (docs *Documents) Listen(ctx context.Context, p access.Principal) (*Listener, error) {
	l := &Listener{streams: docs.streams, key: store.LicenseRef{Env: p.Env, ID: p.License}, wake: make(chan struct{}, 1)}
	docs.streams.add(l)
	f, err := docs.inForce(ctx, p.Env, p.License, docs.ledger.DB.Latest())
	if err != nil {
		l.Close()
		return nil, err
	}
	docs.streams.differ(map[store.LicenseRef]license.Seq{l.key: f.terms.Seq})
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
func (s *streams) tell(env licensing.Env, id licensing.LicenseID, n ledger.Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != "" {
		for l := range s.byKey[store.LicenseRef{Env: env, ID: id}] {
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

// changesCommitted forgets what changes made untrue and tells who listens.
func (docs *Documents) changesCommitted(changes []ledger.Committed) {
	for _, c := range changes {
		if c.Notice&(ledger.LicenseChanged|ledger.KeysChanged) != 0 { // its documents list its keys
			docs.licenses.forget(store.LicenseRef{Env: c.Env, ID: c.License})
		}
		if own := c.Notice & (ledger.LicenseChanged | ledger.KeysChanged | ledger.LeaseRecalled); own != 0 {
			docs.streams.tell(c.Env, c.License, own)
		}
		if c.Notice&ledger.RevocationsChanged != 0 {
			docs.revocations.forget(c.Env)
		}
		if all := c.Notice & (ledger.RevocationsChanged | ledger.KeySetChanged); all != 0 {
			docs.streams.tell(c.Env, "", all)
		}
	}
}

// runChanges tells listeners of what other servers changed, until ctx ends.
func (docs *Documents) runChanges(ctx context.Context) {
	docs.ledger.Every(ctx, changesEvery, "changes", docs.LookForChanges)
}

// LookForChanges compares what is stored about the licenses listened to with
// what was last seen of them.
func (docs *Documents) LookForChanges(ctx context.Context) error {
	if docs.ledger.DB.Shared() {
		if err := docs.ledger.DB.LookClosed(ctx); err != nil {
			return err
		}
	}
	if len(*docs.ledger.Fences.Load()) > 0 {
		if err := docs.ledger.LoadFences(ctx); err != nil {
			return err
		}
	}
	keys := docs.streams.listened()
	if len(keys) == 0 {
		return nil
	}
	var seqs map[store.LicenseRef]license.Seq
	var marks map[store.LicenseRef]store.KeysMark
	var recalls map[store.LicenseRef]int64
	sets := map[licensing.Env]setNumbers{}
	err := docs.ledger.View(ctx, func(tx *store.Tx) (err error) {
		if seqs, err = tx.LicenseSeqs(ctx, keys); err != nil {
			return err
		}
		if docs.ledger.DB.Shared() { // what this server does to keys it tells at once
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
			now := setNumbers{keySet: docs.ledger.Ring.KeySetNumber(key.Env)}
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
	docs.ledger.Announce(docs.streams.foreign(seqs, marks, recalls, sets))
	return nil
}

// foreign returns what is not as it was last seen, and notes it.
func (s *streams) foreign(seqs map[store.LicenseRef]license.Seq, marks map[store.LicenseRef]store.KeysMark, recalls map[store.LicenseRef]int64, sets map[licensing.Env]setNumbers) []ledger.Committed {
	var changed []ledger.Committed
	for _, key := range s.differ(seqs) {
		changed = append(changed, ledger.Committed{Env: key.Env, License: key.ID, Notice: ledger.LicenseChanged})
	}
	for _, key := range s.rekeyed(marks) {
		changed = append(changed, ledger.Committed{Env: key.Env, License: key.ID, Notice: ledger.KeysChanged})
	}
	for _, key := range s.recalled(recalls) {
		changed = append(changed, ledger.Committed{Env: key.Env, License: key.ID, Notice: ledger.LeaseRecalled})
	}
	for env, now := range sets {
		if n := s.compare(env, now); n != 0 {
			changed = append(changed, ledger.Committed{Env: env, Notice: n})
		}
	}
	return changed
}

func (s *streams) listened() []store.LicenseRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.byKey))
}

// differ returns the licenses whose seq is not the one last seen, and notes it.
func (s *streams) differ(seqs map[store.LicenseRef]license.Seq) []store.LicenseRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []store.LicenseRef
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
func (s *streams) rekeyed(marks map[store.LicenseRef]store.KeysMark) []store.LicenseRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []store.LicenseRef
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
func (s *streams) recalled(at map[store.LicenseRef]int64) []store.LicenseRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []store.LicenseRef
	for key, last := range at {
		if s.byKey[key] != nil && s.recalls[key] != last {
			changed = append(changed, key)
			s.recalls[key] = last
		}
	}
	return changed
}

// compare returns what of an environment's sets is not as last seen, and notes it.
func (s *streams) compare(env licensing.Env, now setNumbers) ledger.Notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, seen := s.sets[env]
	s.sets[env] = now
	var n ledger.Notice
	if seen && was.keySet != now.keySet {
		n |= ledger.KeySetChanged
	}
	if seen && was.revocations != now.revocations {
		n |= ledger.RevocationsChanged
	}
	return n
}
