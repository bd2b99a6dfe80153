package documents

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

const (
	// BelievedFor is how long another server may not know about a change on this server. This
	// server knows immediately.
	BelievedFor = 2 * time.Second
	// maxInForce limits how many licenses are cached with their documents.
	maxInForce = 100_000
)

// inForce is the current state of a license: its compiled terms, the usage of its meters, and its
// signed documents. Terms and usage never change after publication; documents are added.
type inForce struct {
	terms    licensing.Terms
	revision licensing.Revision
	used     map[string]licensing.Used
	sealed   []licensing.FeatureKey // the product's features with sealed data
	keys     [][32]byte             // hashes of the license keys that the documents list
	until    time.Time              // when to load the license again

	documents documents
	bindings  bindings
}

// licensesInForce caches recently used licenses. It is safe for concurrent use.
type licensesInForce struct {
	mu      sync.RWMutex
	byKey   map[store.LicenseRef]*inForce
	loading map[store.LicenseRef]*loading
	epoch   atomic.Uint64 // raised by each change; data that was loaded under an earlier epoch is not kept
}

// loading is a load that several requests wait for.
type loading struct {
	done   chan struct{}
	result *inForce
	err    error
}

func newLicensesInForce() *licensesInForce {
	return &licensesInForce{byKey: map[store.LicenseRef]*inForce{}, loading: map[store.LicenseRef]*loading{}}
}

// inForce returns the state of the license at now. It uses the cache if the license was loaded in
// the last seconds and nothing on this server has changed it since.
func (docs *Documents) inForce(ctx context.Context, env licensing.Env, id licensing.LicenseID, now time.Time) (*inForce, error) {
	m, key := docs.licenses, store.LicenseRef{Env: env, ID: id}
	m.mu.RLock()
	held := m.byKey[key]
	m.mu.RUnlock()
	if held != nil && now.Before(held.until) {
		return held, nil
	}
	m.mu.Lock()
	if l := m.loading[key]; l != nil {
		m.mu.Unlock()
		select {
		case <-l.done:
			return l.result, l.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	l := &loading{done: make(chan struct{})}
	m.loading[key] = l
	epoch := m.epoch.Load()
	m.mu.Unlock()

	// The load serves all requests that wait for it. The first one may be canceled.
	l.result, l.err = docs.loadInForce(context.WithoutCancel(ctx), key, held)
	m.mu.Lock()
	if m.loading[key] == l {
		delete(m.loading, key)
	}
	if l.err == nil && m.epoch.Load() == epoch {
		m.keep(key, l.result)
	}
	m.mu.Unlock()
	close(l.done)
	return l.result, l.err
}

// keep caches a license, and removes another one if there are too many. The caller must hold the
// lock.
func (m *licensesInForce) keep(key store.LicenseRef, f *inForce) {
	if _, known := m.byKey[key]; !known && len(m.byKey) >= maxInForce {
		for other := range m.byKey {
			delete(m.byKey, other)
			break
		}
	}
	m.byKey[key] = f
}

// forget makes the next request for a license load it again, without waiting for a load that began
// earlier.
func (m *licensesInForce) forget(key store.LicenseRef) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch.Add(1)
	delete(m.byKey, key)
	delete(m.loading, key)
}

// loadInForce reads a license. Its earlier documents remain in use if nothing in their contents has
// changed.
func (docs *Documents) loadInForce(ctx context.Context, key store.LicenseRef, before *inForce) (*inForce, error) {
	f := &inForce{}
	err := docs.ledger.View(ctx, func(tx *store.Tx) error {
		l, ok, err := tx.License(ctx, key.Env, key.ID)
		if err == nil && !ok {
			err = request.NotFound("license", key.ID)
		}
		if err != nil {
			return err
		}
		if f.revision, err = catalog.RevisionOf(ctx, tx, l); err != nil {
			return err
		}
		if f.terms, err = licensing.Compile(f.revision, l, tx.Now()); err != nil {
			return err
		}
		if f.sealed, err = tx.FeatureKeys(ctx, key.Env, l.Product); err != nil {
			return err
		}
		if f.keys, err = listedKeys(ctx, tx, key); err != nil {
			return err
		}
		f.used, err = catalog.UsedOf(ctx, tx, f.terms)
		f.until = tx.Now().Add(BelievedFor)
		return err
	})
	if err != nil {
		return nil, err
	}
	if t := f.terms.Until; !t.IsZero() && t.Before(f.until) {
		f.until = t
	}
	if before != nil && before.terms.Seq == f.terms.Seq && before.terms.Revision == f.terms.Revision && before.terms.Until.Equal(f.terms.Until) && len(before.sealed) == len(f.sealed) && slices.Equal(before.keys, f.keys) {
		f.documents.takeOver(&before.documents)
	}
	return f, nil
}

// listedKeys returns the hashes of the license keys that the documents list: keys that have not
// ended and that Copyhold made. An imported key may be short enough to guess.
func listedKeys(ctx context.Context, tx *store.Tx, l store.LicenseRef) ([][32]byte, error) {
	keys, err := tx.Keys(ctx, l.Env, l.ID)
	if err != nil {
		return nil, err
	}
	var listed [][32]byte
	for _, k := range keys {
		if k.Imported || !k.ExpiresAt.IsZero() && !tx.Now().Before(k.ExpiresAt) {
			continue
		}
		if digest, err := access.ParseDigest(k.Digest); err == nil { // a damaged row matches no key
			listed = append(listed, digest)
		}
	}
	return listed, nil
}
