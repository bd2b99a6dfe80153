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
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// changesEvery is how often a server checks for changes by other servers. It announces its own
// changes immediately.
const changesEvery = 3 * time.Second

// A Listener learns about changes that concern one license. Pending notices are combined into one.
// Call Close when done.
type Listener struct {
	streams *streams
	key     store.LicenseRef
	pending atomic.Uint32
	wake    func()
}

// Take returns the changes since the last call.
func (l *Listener) Take() ledger.Notice { return ledger.Notice(l.pending.Swap(0)) }

// Close ends the subscription.
func (l *Listener) Close() {
	l.streams.mu.Lock()
	defer l.streams.mu.Unlock()
	h := l.streams.byKey[l.key]
	h.listeners = slices.DeleteFunc(h.listeners, func(other *Listener) bool { return other == l })
	if len(h.listeners) == 0 {
		delete(l.streams.byKey, l.key)
	}
}

func (l *Listener) notify(n ledger.Notice) {
	l.pending.Or(uint32(n))
	l.wake()
}

// streams are the listeners for changes. They are safe for concurrent use.
type streams struct {
	mu    sync.Mutex
	byKey map[store.LicenseRef]*heard
	sets  map[licensing.Env]setNumbers
}

// heard is a license with listeners, and its state as last announced to them.
type heard struct {
	listeners []*Listener
	seq       license.Seq    // zero until it is known
	mark      store.KeysMark // of its keys, if other servers can change them; zero until it is known
	recall    int64          // time of the last recall
}

type setNumbers struct{ keySet, revocations int64 }

func newStreams() *streams {
	return &streams{byKey: map[store.LicenseRef]*heard{}, sets: map[licensing.Env]setNumbers{}}
}

// Listen returns a listener for future changes of p's license, and of its environment's key set and
// revocations. A recall from before is noticed too. Each change calls wake, which must return at
// once; until the change is taken, more calls may follow.
func (docs *Documents) Listen(ctx context.Context, p access.Principal, wake func()) (*Listener, error) {
	l := &Listener{streams: docs.streams, key: store.LicenseRef{Env: p.Env, ID: p.License}, wake: wake}
	docs.streams.add(l)
	var now licenseState
	err := docs.ledger.View(ctx, func(tx *store.Tx) (err error) {
		now, err = docs.stateOf(ctx, tx, []store.LicenseRef{l.key})
		return err
	})
	if _, found := now.seqs[l.key]; err == nil && !found {
		err = request.NotFound("license", l.key.ID)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	docs.streams.begin(l, now)
	return l, nil
}

func (s *streams) add(l *Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.byKey[l.key]
	if h == nil {
		h = &heard{}
		s.byKey[l.key] = h
	}
	h.listeners = append(h.listeners, l)
}

// begin notes the state of the license of a new listener, unless a later one has been announced
// since it was read.
func (s *streams) begin(l *Listener, now licenseState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.byKey[l.key]
	if h.seq.Compare(now.seqs[l.key]) < 0 {
		h.seq = now.seqs[l.key]
	}
	if h.mark == (store.KeysMark{}) {
		h.mark = now.marks[l.key]
	}
	if at, recalled := now.recalls[l.key]; recalled {
		h.recall = max(h.recall, at)
		l.notify(ledger.LeaseRecalled)
	}
}

// tell notifies the listeners of one license, or of a whole environment if id is empty.
func (s *streams) tell(env licensing.Env, id licensing.LicenseID, n ledger.Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != "" {
		s.byKey[store.LicenseRef{Env: env, ID: id}].notify(n)
		return
	}
	for key, h := range s.byKey {
		if key.Env == env {
			h.notify(n)
		}
	}
}

func (h *heard) notify(n ledger.Notice) {
	if h == nil {
		return
	}
	for _, l := range h.listeners {
		l.notify(n)
	}
}

// changesCommitted drops outdated cache entries and notifies listeners. A version of a license that
// the check for changes has already announced is not announced again.
func (docs *Documents) changesCommitted(changes []ledger.Committed) {
	announced := map[store.LicenseRef]bool{}
	for _, c := range changes {
		if c.Seq != (license.Seq{}) {
			key := store.LicenseRef{Env: c.Env, ID: c.License}
			announced[key] = !docs.streams.advance(key, c.Seq)
			continue
		}
		if c.Notice&(ledger.LicenseChanged|ledger.KeysChanged) != 0 { // documents list the keys of their license
			docs.licenses.Forget(store.LicenseRef{Env: c.Env, ID: c.License})
		}
		own := c.Notice & (ledger.LicenseChanged | ledger.KeysChanged | ledger.LeaseRecalled)
		if announced[store.LicenseRef{Env: c.Env, ID: c.License}] {
			own &^= ledger.LicenseChanged
		}
		if own != 0 {
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

// runChanges notifies listeners about the changes of other servers, until ctx ends.
func (docs *Documents) runChanges(ctx context.Context) {
	docs.ledger.Every(ctx, changesEvery, "changes", docs.LookForChanges)
}

// LookForChanges compares the stored state of all licenses that have listeners with their last
// known state. If no other server can write to the database, this server announces its own changes,
// and only fences and the key sets in memory are compared: a new key set comes into force a moment
// after its commit was announced.
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
	sets := map[licensing.Env]setNumbers{}
	for _, key := range keys {
		sets[key.Env] = setNumbers{keySet: docs.ledger.Ring.KeySetNumber(key.Env)}
	}
	if !docs.ledger.DB.Shared() {
		docs.ledger.Announce(docs.streams.foreign(licenseState{}, sets))
		return nil
	}
	var now licenseState
	err := docs.ledger.View(ctx, func(tx *store.Tx) (err error) {
		for env, set := range sets {
			if set.revocations, err = tx.RevocationNumber(ctx, env); err != nil {
				return err
			}
			sets[env] = set
		}
		now, err = docs.stateOf(ctx, tx, keys)
		return err
	})
	if err != nil {
		return err
	}
	docs.ledger.Announce(docs.streams.foreign(now, sets))
	return nil
}

// licenseState is the stored state of licenses that listeners are told about.
type licenseState struct {
	seqs    map[store.LicenseRef]license.Seq
	marks   map[store.LicenseRef]store.KeysMark // only if other servers can change keys
	recalls map[store.LicenseRef]int64          // only of licenses that have one
}

// stateOf reads the state of licenses.
func (docs *Documents) stateOf(ctx context.Context, tx *store.Tx, keys []store.LicenseRef) (now licenseState, err error) {
	if now.seqs, err = tx.LicenseSeqs(ctx, keys); err != nil {
		return now, err
	}
	if docs.ledger.DB.Shared() {
		if now.marks, err = tx.KeysMarks(ctx, keys); err != nil {
			return now, err
		}
	}
	now.recalls, err = tx.RecallMarks(ctx, keys)
	return now, err
}

// foreign returns the differences from the last known state, and updates that state.
func (s *streams) foreign(now licenseState, sets map[licensing.Env]setNumbers) []ledger.Committed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []ledger.Committed
	for key, seq := range now.seqs {
		h := s.byKey[key]
		if h == nil {
			continue
		}
		if n := h.differ(seq, now.marks[key], now.recalls[key]); n != 0 {
			changed = append(changed, ledger.Committed{Env: key.Env, License: key.ID, Notice: n})
		}
	}
	for env, set := range sets {
		if n := s.compare(env, set); n != 0 {
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

// differ returns what has changed since the last announcement, and notes it as announced. An older
// version of the license was read before the announcement of the current one.
func (h *heard) differ(seq license.Seq, mark store.KeysMark, recall int64) (n ledger.Notice) {
	if h.seq != (license.Seq{}) && h.seq.Compare(seq) < 0 {
		n |= ledger.LicenseChanged
	}
	if h.seq.Compare(seq) < 0 {
		h.seq = seq
	}
	if h.mark != (store.KeysMark{}) && h.mark != mark {
		n |= ledger.KeysChanged
	}
	if recall != 0 && h.recall != recall {
		n |= ledger.LeaseRecalled
	}
	h.mark, h.recall = mark, recall
	return n
}

// advance notes that a version of a license is announced, and reports whether it was not before.
// Nothing is noted for a license without listeners.
func (s *streams) advance(key store.LicenseRef, seq license.Seq) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.byKey[key]
	if h == nil {
		return true
	}
	if h.seq.Epoch == seq.Epoch && h.seq.Counter >= seq.Counter {
		return false
	}
	h.seq = seq
	return true
}

// compare returns which sets of an environment have changed, and updates their last known numbers.
// The caller must hold the lock.
func (s *streams) compare(env licensing.Env, now setNumbers) ledger.Notice {
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
