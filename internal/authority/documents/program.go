package documents

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

const (
	// maxSeen limits how many kinds of programs are remembered for one license, and maxSeenAll how
	// many for all licenses together.
	maxSeen    = 32
	maxSeenAll = 20_000
)

// sightings are the programs that have validated or checked at this server since it started. They
// are only in memory, because validations and checks write nothing. sightings are safe for
// concurrent use.
type sightings struct {
	mu    sync.Mutex
	all   map[store.LicenseRef]map[licensing.Caller]sighting
	count int
}

// A sighting is the latest program of one kind.
type sighting struct {
	instance string
	at       time.Time
}

func newSightings() *sightings {
	return &sightings{all: map[store.LicenseRef]map[licensing.Caller]sighting{}}
}

// Note records that a program called at a time.
func (s *sightings) Note(k store.LicenseRef, by licensing.Caller, at time.Time) {
	if by == (licensing.Caller{}) {
		return
	}
	last := sighting{by.Instance, at}
	by.Instance = ""
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.all[k]
	if _, known := of[by]; known {
		of[by] = last
		return
	}
	if of == nil {
		s.makeRoom()
		of = map[licensing.Caller]sighting{}
		s.all[k] = of
	}
	if len(of) >= maxSeen {
		oldest := by
		for other, seen := range of {
			if oldest == by || seen.at.Before(of[oldest].at) {
				oldest = other
			}
		}
		delete(of, oldest)
		s.count--
	}
	of[by] = last
	s.count++
}

// makeRoom forgets the programs of some license if there are too many. The caller must hold the
// lock.
func (s *sightings) makeRoom() {
	for other, of := range s.all {
		if s.count+maxSeen <= maxSeenAll {
			return
		}
		delete(s.all, other)
		s.count -= len(of)
	}
}

// of returns the programs that were seen with a license, latest first.
func (s *sightings) of(k store.LicenseRef) []v1.SeenProgram {
	s.mu.Lock()
	defer s.mu.Unlock()
	var programs []v1.SeenProgram
	for by, last := range s.all[k] {
		by.Instance = last.instance
		programs = append(programs, v1.SeenProgram{Caller: by, At: last.at})
	}
	slices.SortFunc(programs, func(x, y v1.SeenProgram) int {
		return cmp.Or(y.At.Compare(x.At), cmp.Compare(x.Service, y.Service), cmp.Compare(x.Version, y.Version), cmp.Compare(x.Region, y.Region))
	})
	return programs
}

// Programs returns the programs that have validated or checked a license at this server since it
// started, latest first. There are at most 32 kinds of programs.
func (docs *Documents) Programs(ctx context.Context, p access.Principal, id licensing.LicenseID) ([]v1.SeenProgram, error) {
	l, err := docs.catalog.License(ctx, p, id)
	if err != nil {
		return nil, err
	}
	return docs.Seen.of(store.LicenseRef{Env: p.Env, ID: l.ID}), nil
}
