package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
)

// presented is the credential of a held request.
type presented struct {
	authorization string
	env           licensing.Env
}

func presentedIn(h http.Header) presented {
	return presented{h.Get("Authorization"), licensing.Env(h.Get("Copyhold-Environment"))}
}

// ended returns why the key of a held request is no longer valid, nil if it is valid
// or its state is unknown.
func (s *server) ended(ctx context.Context, k presented) error {
	_, err := s.Authority.Authenticate(ctx, k.authorization, k.env, func() error { return nil })
	if licensing.CodeOf(err) == licensing.Unauthenticated {
		return err
	}
	return nil
}

// watch ends a held request after its key has ended. woken receives a value after
// each change that listener can take. It returns when ctx ends.
func (s *server) watch(ctx context.Context, key presented, listener *documents.Listener, woken <-chan struct{}, end context.CancelCauseFunc) {
	look := time.NewTicker(pingEvery) // a key may reach its end date
	defer look.Stop()
	for {
		if err := s.ended(ctx, key); err != nil {
			end(err)
			return
		}
		for changed := false; !changed; {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
				changed = true
			case <-woken:
				changed = listener.Take()&ledger.KeysChanged != 0
			}
		}
	}
}

// held limits the requests that are held open, streams and waiting acquires. It limits
// their total, and leaves room beside those of any one license.
type held struct {
	limit int

	mu        sync.Mutex
	total     int
	byLicense map[licensing.LicenseID]int
}

func newHeld(limit int) *held { return &held{limit: limit, byLicense: map[licensing.LicenseID]int{}} }

// enter reports whether another request may be held for a license, and returns the
// function that ends it.
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
