package api

import (
	"sync"

	"copyhold.dev/internal/licensing"
)

// held bounds the requests that are held open, streams and waiting acquires:
// all together, and so that one license leaves room for the others.
type held struct {
	limit int

	mu        sync.Mutex
	total     int
	byLicense map[licensing.LicenseID]int
}

func newHeld(limit int) *held { return &held{limit: limit, byLicense: map[licensing.LicenseID]int{}} }

// enter reports whether one more may be held for a license, and returns what
// ends it.
func (h *held) enter(id licensing.LicenseID) (leave func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.total >= h.limit || h.byLicense[id] >= (h.limit+3)/4 {
		return nil, false
	}
	h.total++
	h.byLicense[id]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.total--
		if h.byLicense[id]--; h.byLicense[id] == 0 {
			delete(h.byLicense, id)
		}
	}, true
}
