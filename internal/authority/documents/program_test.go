package documents

import (
	"fmt"
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// TestProgramsThatValidateAreSeen checks that they are remembered without a write and within
// limits.
func TestProgramsThatValidateAreSeen(t *testing.T) {
	s := newSightings()
	at := time.Unix(1_800_000_000, 0)
	k := store.LicenseRef{Env: "development", ID: "lic_1"}
	s.Note(k, licensing.Caller{}, at)
	for n := range 3 * maxSeen {
		by := licensing.Caller{Service: "mill", Version: fmt.Sprint(n % (2 * maxSeen))}
		by.Instance = fmt.Sprint("pod-", n)
		s.Note(k, by, at.Add(time.Duration(n)*time.Second))
	}
	seen := s.of(k)
	if len(seen) != maxSeen || seen[0].Instance != fmt.Sprint("pod-", 3*maxSeen-1) || !seen[maxSeen-1].At.After(at.Add(2*maxSeen*time.Second-time.Second)) {
		t.Errorf("%d seen, from %+v to %+v", len(seen), seen[0], seen[len(seen)-1])
	}
	for n := range 2 * maxSeenAll {
		s.Note(store.LicenseRef{Env: "development", ID: licensing.LicenseID(fmt.Sprint("lic_", n))}, licensing.Caller{Service: "mill", Version: "1"}, at)
	}
	counted := 0
	for _, of := range s.all {
		counted += len(of)
	}
	if counted != s.count || counted > maxSeenAll {
		t.Errorf("%d seen, counted as %d, at most %d", counted, s.count, maxSeenAll)
	}
}
