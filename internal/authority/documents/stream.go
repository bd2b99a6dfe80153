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

// changesEvery is how often a server checks for changes by other servers. It announces its own
// changes immediately.
const changesEvery = 3 * time.Second

// A Listener learns about changes that concern one license. Pending notices are combined into one.
// Call Close when done.
type Listener struct {
	streams *streams
	key     store.LicenseRef
	pending atomic.Uint32
	wake    chan struct{}
}

// Wake receives a value when there are notices to take.
func (l *Listener) Wake() <-chan struct{} { return l.wake }

// Take returns the changes since the last call.
func (l *Listener) Take() ledger.Notice { return ledger.Notice(l.pending.Swap(0)) }

// Close ends the subscription.
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
	default: // the last wakeup is still pending
	}
}

// streams are the listeners for changes. They are safe for concurrent use.
type streams struct {
	mu      sync.Mutex
	byKey   map[store.LicenseRef]map[*Listener]bool
	seqs    map[store.LicenseRef]license.Seq // as last announced
	marks   map[store.LicenseRef]store.KeysMark
	recalls map[store.LicenseRef]int64 // time of the last recall
	sets    map[licensing.Env]setNumbers
}

type setNumbers struct{ keySet, revocations int64 }

func newStreams() *streams {
	return &streams{byKey: map[store.LicenseRef]map[*Listener]bool{}, seqs: map[store.LicenseRef]license.Seq{}, marks: map[store.LicenseRef]store.KeysMark{}, recalls: map[store.LicenseRef]int64{}, sets: map[licensing.Env]setNumbers{}}
}

// Listen returns a listener for future changes of p's license, and of its environment's key set and
// revocations.
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

// tell notifies the listeners of one license, or of a whole environment if id is empty.
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
		docs.ledger.Announce(docs.streams.foreign(nil, nil, nil, sets))
		return nil
	}
	var seqs map[store.LicenseRef]license.Seq
	var marks map[store.LicenseRef]store.KeysMark
	var recalls map[store.LicenseRef]int64
	err := docs.ledger.View(ctx, func(tx *store.Tx) (err error) {
		if seqs, err = tx.LicenseSeqs(ctx, keys); err != nil {
			return err
		}
		if marks, err = tx.KeysMarks(ctx, keys); err != nil {
			return err
		}
		if recalls, err = tx.RecallMarks(ctx, keys); err != nil {
			return err
		}
		for env, now := range sets {
			if now.revocations, err = tx.RevocationNumber(ctx, env); err != nil {
				return err
			}
			sets[env] = now
		}
		return nil
	})
	if err != nil {
		return err
	}
	docs.ledger.Announce(docs.streams.foreign(seqs, marks, recalls, sets))
	return nil
}

// foreign returns the differences from the last known state, and updates that state.
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

// differ returns the licenses whose seq has changed, and updates the last known seq.
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

// advance notes that a version of a license is announced, and reports whether it was not before.
// Nothing is noted for a license without listeners.
func (s *streams) advance(key store.LicenseRef, seq license.Seq) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[key] == nil {
		return true
	}
	was, seen := s.seqs[key]
	if seen && was.Epoch == seq.Epoch && was.Counter >= seq.Counter {
		return false
	}
	s.seqs[key] = seq
	return true
}

// rekeyed returns the licenses whose keys have changed, and updates their last known state.
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

// recalled returns the licenses with a lease that was recalled since the last check, and updates
// the last known times. The first check reports every license that has a recall, so a listener may
// get one extra notice.
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

// compare returns which sets of an environment have changed, and updates their last known numbers.
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
