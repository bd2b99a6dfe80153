package documents

import (
	"testing"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A check for the changes of other servers may have read a license just before this server announced
// its next version. Neither that check nor the next one announces it again.
func TestAVersionThatWasReadEarlierIsNotAnnounced(t *testing.T) {
	s := newStreams()
	key := store.LicenseRef{Env: "production", ID: "lic_1"}
	l := &Listener{streams: s, key: key, wake: func() {}}
	s.add(l)
	at := func(counter int64) licenseState {
		return licenseState{seqs: map[store.LicenseRef]license.Seq{key: {Epoch: 1, Counter: counter}}}
	}
	s.begin(l, at(1))
	if !s.advance(key, license.Seq{Epoch: 1, Counter: 2}) {
		t.Fatal("a new version is not announced")
	}
	for _, counter := range []int64{1, 2} {
		if changed := s.foreign(at(counter), nil); len(changed) != 0 {
			t.Errorf("version %d is announced after version 2: %v", counter, changed)
		}
	}
	if changed := s.foreign(at(3), nil); len(changed) != 1 || changed[0].Notice != ledger.LicenseChanged {
		t.Errorf("version 3: %v", changed)
	}
	s.begin(l, at(2)) // a second listener whose state was read before version 3 was announced
	if changed := s.foreign(at(3), nil); len(changed) != 0 {
		t.Errorf("version 3 is announced again: %v", changed)
	}
}
