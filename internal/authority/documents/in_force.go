package documents

import (
	"context"
	"slices"
	"time"
	"unsafe"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/cache"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// BelievedFor is how long another server may not know about a change on this server. This server
// knows immediately.
const BelievedFor = 2 * time.Second

// inForce is the current state of a license: its compiled terms, the usage of its meters, and its
// signed documents. Terms and usage never change after publication; documents are added.
type inForce struct {
	key      store.LicenseRef
	terms    licensing.Terms
	revision licensing.Revision // shared by its licenses
	used     map[string]licensing.Used
	sealed   []licensing.FeatureKey // the product's features with sealed data
	keys     [][32]byte             // hashes of the license keys that the documents list
	until    time.Time              // when to load the license again

	documents documents
	bindings  bindings
}

// size estimates the memory of a license in bytes, without its revision.
func (f *inForce) size() int {
	n := 512 + f.terms.Size() + 32*len(f.keys) + f.documents.size() + f.bindings.size()
	for _, used := range f.used {
		n += 64 + int(unsafe.Sizeof(used))
	}
	for _, k := range f.sealed {
		n += int(unsafe.Sizeof(k)) + len(k.Feature) + len(k.Public) + len(k.Sealed)
	}
	return n
}

// licensesInForce caches recently used licenses.
type licensesInForce = cache.Cache[store.LicenseRef, *inForce]

func newLicensesInForce(budget int64) *licensesInForce {
	return cache.New(budget, func(_ store.LicenseRef, f *inForce) int { return f.size() })
}

// inForce returns the state of the license at now. It uses the cache if the license was loaded in
// the last seconds and nothing on this server has changed it since.
func (docs *Documents) inForce(ctx context.Context, env licensing.Env, id licensing.LicenseID, now time.Time) (*inForce, error) {
	key := store.LicenseRef{Env: env, ID: id}
	return docs.licenses.Load(ctx, key,
		func(f *inForce) bool { return now.Before(f.until) },
		func(ctx context.Context, before *inForce) (*inForce, error) {
			return docs.loadInForce(ctx, key, before)
		})
}

// loadInForce reads a license. Its earlier documents remain in use if nothing in their contents has
// changed.
func (docs *Documents) loadInForce(ctx context.Context, key store.LicenseRef, before *inForce) (*inForce, error) {
	f := &inForce{key: key}
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
