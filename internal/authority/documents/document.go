package documents

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// maxVariants limits the cached documents of one license: one for all holders, and one for each
// device or holder that a document is bound to.
const maxVariants = 256

// A signedDocument is a license document in its signed form.
type signedDocument struct {
	compact string
	hash    string
	until   time.Time // when a new one must be signed
	keySet  int64     // the key set in force when it was signed
}

// A variant identifies the audience of a document. The zero variant is for all holders.
type variant struct {
	device string            // X25519 public key, base64url
	lease  licensing.LeaseID // the lease that binds the document
}

// documents are the signed documents of one license. They are safe for concurrent use.
type documents struct {
	common atomic.Pointer[signedDocument]
	mu     sync.Mutex
	bound  map[variant]*signedDocument
}

func (d *documents) get(v variant, now time.Time, keySet int64) *signedDocument {
	s := d.common.Load()
	if v != (variant{}) {
		d.mu.Lock()
		s = d.bound[v]
		d.mu.Unlock()
	}
	if s == nil || !now.Before(s.until) || s.keySet != keySet {
		return nil
	}
	return s
}

func (d *documents) put(v variant, s *signedDocument) {
	if v == (variant{}) {
		d.common.Store(s)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bound == nil {
		d.bound = map[variant]*signedDocument{}
	}
	if _, known := d.bound[v]; !known && len(d.bound) >= maxVariants {
		for other := range d.bound {
			delete(d.bound, other)
			break
		}
	}
	d.bound[v] = s
}

// size estimates the memory of the documents, in bytes.
func (d *documents) size() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.common.Load(); s != nil {
		n = s.size()
	}
	for v, s := range d.bound {
		n += 96 + len(v.device) + len(v.lease) + s.size()
	}
	return n
}

func (s *signedDocument) size() int { return 80 + len(s.compact) + len(s.hash) }

// takeOver copies the documents of before.
func (d *documents) takeOver(before *documents) {
	d.common.Store(before.common.Load())
	before.mu.Lock()
	defer before.mu.Unlock()
	if len(before.bound) == 0 {
		return
	}
	d.bound = make(map[variant]*signedDocument, len(before.bound))
	for v, s := range before.bound {
		d.bound[v] = s
	}
}

// document returns the signed license document for a holder. It returns the cached document until
// its refresh, and then signs a new one. The error is Gone after the end of the term and of its
// fallback.
func (docs *Documents) document(f *inForce, v variant, b *license.Binding, now time.Time) (*signedDocument, error) {
	env := f.terms.Env
	if len(f.sealed) == 0 {
		v.device = "" // the document would not depend on it
	}
	keySet := docs.ledger.Ring.KeySetNumber(env)
	if s := f.documents.get(v, now, keySet); s != nil {
		return s, nil
	}
	doc, err := f.terms.Document(now, f.used)
	if err != nil {
		return nil, err
	}
	if err := docs.address(&doc, f, v.device, b, now); err != nil {
		return nil, err
	}
	compact, err := docs.ledger.Ring.Sign(env, license.TypeLicense, doc, now)
	if doc.Status != license.Active && errors.Is(err, license.ErrFormat) {
		// The license was granted before sizes were checked. Its holder must still learn that it
		// has ended.
		doc.Features, doc.Fallback, doc.Pools, doc.Meters = nil, nil, nil, nil
		compact, err = docs.ledger.Ring.Sign(env, license.TypeLicense, doc, now)
	}
	if err != nil {
		return nil, err
	}
	s := &signedDocument{compact: compact, hash: license.DocumentHash(compact), keySet: keySet,
		until: time.Unix(doc.Refresh[0], 0)}
	f.documents.put(v, s)
	docs.licenses.Resized(f.key, f)
	return s, nil
}

// address sets the issuer, the subject and the audience of the document.
func (docs *Documents) address(doc *license.License, f *inForce, device string, b *license.Binding, now time.Time) error {
	env := f.terms.Env
	doc.Issuer = docs.ledger.Ring.Issuer(env)
	doc.Audience = []string{string(f.terms.Product)}
	doc.ID = DocumentID(now)
	doc.Head = docs.ledger.Head(env)
	doc.Binding = b
	for _, hash := range f.keys {
		doc.LicenseKeys = append(doc.LicenseKeys, license.KeyDigest(doc.Issuer, doc.Subject, hash))
	}
	docs.trim(env, &doc.Claims, &doc.Dates, now)
	if device == "" {
		return nil
	}
	point, err := devicePoint(device)
	if err != nil {
		return err
	}
	if doc.Keys, err = docs.wrappedKeys(f, doc, point, now); err != nil {
		return err
	}
	bound := license.Binding{}
	if b != nil {
		bound = *b
	}
	bound.Device = license.DeviceThumbprint(point)
	doc.Binding = &bound
	return nil
}

// trim ends a document when trust in its signing key ends.
func (docs *Documents) trim(env licensing.Env, c *license.Claims, d *license.Dates, now time.Time) {
	last := docs.ledger.Ring.TrustUntil(env, now)
	if last.IsZero() {
		return
	}
	for _, at := range []*int64{&d.Refresh[0], &d.Refresh[1], &d.Stale, &d.Due, &c.Expires, &d.Degraded} {
		*at = min(*at, last.Unix())
	}
}

// wrappedKeys returns the keys of the sealed features in force, each wrapped for the device.
func (docs *Documents) wrappedKeys(f *inForce, doc *license.License, point []byte, now time.Time) (map[string]string, error) {
	keys := map[string]string{}
	for _, k := range f.sealed {
		if f.terms.Feature(k.Feature, now).Outcome != license.Allowed {
			continue
		}
		wrapped, err := docs.ledger.Ring.WrapFeatureKey(k, doc.Subject, point)
		if err != nil {
			return nil, err
		}
		keys[k.Feature] = wrapped
	}
	return keys, nil
}

// devicePoint decodes a device's X25519 public key.
func devicePoint(device string) ([]byte, error) {
	point, err := base64.RawURLEncoding.DecodeString(device)
	if err != nil || len(point) != 32 {
		return nil, licensing.Errorf(licensing.Invalid, "device_key must be 32 bytes in base64url without padding").At("device_key")
	}
	return point, nil
}

// DocumentPrefix begins the jti of a document.
const DocumentPrefix = "doc"

// DocumentID returns a new jti.
func DocumentID(now time.Time) string {
	var random [10]byte
	rand.Read(random[:])
	return licensing.NewID(DocumentPrefix, now, random)
}
